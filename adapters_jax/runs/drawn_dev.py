"""Remarks on dev examples that were drawn and say little about a step."""

import numpy as np

from adapters_jax import errors
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import setup as setup_lib
from adapters_jax.runs.kinds import kind as kind_lib

START = 'dev: '  # Beginning of the note.
_FEW = 20  # Examples below which a score moves by more than a twentieth.


def notes(
    config: config_lib.Config, kind: kind_lib.Kind, setup: setup_lib.Setup
) -> list[str]:
  """Returns a remark on few drawn dev examples, or on classes they lack.

  Of equal scores the first is the best. So on a handful of examples, or without
  a class, an early step may be kept.

  Args:
    config: Settings.
    kind: Kind of the task.
    setup: Setup of the run.
  """
  if not (config.dev_fraction or kind.drawn) or setup.steps <= setup.eval_every:
    return []  # Given examples are the user's choice; a single step is none.
  count = setup.data['dev']['examples']
  lacking = _lacking(setup)
  if count >= _FEW and not lacking:
    return []
  without = f', without {errors.listed(lacking, 3)}' if lacking else ''
  return [f'{START}the best step is chosen on {count} '
          f'example{"" if count == 1 else "s"}{without}; give '
          f'`{"dev_file" if config.files else "dev"}`']


def _lacking(setup: setup_lib.Setup) -> list[str]:
  """Returns the classes of training texts that no dev example has."""
  task = setup.task
  # Choices are no classes, and tags, of which many are rare, no array.
  if not task.labels or task.form == 'multiple_choice' or not isinstance(
      setup.splits['dev'].labels, np.ndarray):
    return []
  used = []
  for split in ('train', 'dev'):
    labels = setup.splits[split].labels
    used.append(labels.any(0) if task.form == 'multilabel' else
                np.isin(np.arange(len(task.labels)), labels))
  return [repr(name) for name, one, other in zip(task.labels, *used)
          if one and not other]
