"""Scores that compare: those of one metric on the same dev data. No JAX here.

The name of a task does not tell: files of several folders may share a name,
and a grid may cross metrics.
"""

from collections.abc import Iterable, Sequence
import functools
from typing import Any

from adapters_jax.downloads import paths
from adapters_jax import errors
from adapters_jax.downloads import file_hash
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import identity
from adapters_jax.runs import records as records_lib

# Settings that change the meaning of a dev score, the data apart.
MEASURES = ('metric', 'mask_rate', 'whole_words')
# Settings of own files that change the examples or labels of dev. Its rows do
# not depend on `test_fraction`; scores of pairs may, see `_ranked_data`.
_READINGS = (
    'dev_fraction', 'label_column', 'label_separator', 'choice_columns',
    'negative_column', 'file_task')


def measure_of(run: config_lib.Config) -> tuple[Any, ...]:
  """Returns the settings that change the meaning of a dev score."""
  return tuple(getattr(run, name) for name in MEASURES)


def measure_in(record: records_lib.Record) -> tuple[Any, ...]:
  """Returns `measure_of` a finished run, perhaps of an earlier version."""
  settings = identity.completed(record.config)
  return tuple(settings[name] for name in MEASURES)


def group_of(run: config_lib.Config) -> tuple[Any, ...]:
  """Returns the task and the measure that runs to compare share."""
  return run.task_name, *measure_of(run)


def _content(path: str) -> str:
  """Returns the hash of a file, or the path of one that cannot be read."""
  try:
    return file_hash.kept_sha256(
        paths.expanded(path, 'train_file')) if path else ''
  except (OSError, ValueError):  # Its run reports it.
    return path


def _dev_data(run: config_lib.Config) -> tuple[Any, ...]:
  """Returns the facts by which dev data are told apart."""
  if not run.files:
    return (run.task,)
  readings = tuple(getattr(run, name) for name in _READINGS)
  columns = run.text_columns if run.file_task in ('pairs', 'text') else ''
  return (_content(run.dev_file or run.train_file), columns, *readings,
          *_ranked_data(run))


def _ranked_data(run: config_lib.Config) -> tuple[Any, ...]:
  """Returns facts of the data beside dev that decide scores on dev.

  Queries of pairs without scores rank documents of training too, and leave out
  texts that any split pairs with them.
  """
  if run.file_task != 'pairs':
    return ()
  path = paths.expanded(run.dev_file or run.train_file, 'dev_file')
  if _has_scores(path, _content(path), run.label_column):
    return ()
  return _content(run.train_file), _content(run.test_file), run.test_fraction


@functools.cache
def _has_scores(path: str, content: str, label_column: str) -> bool:
  """Returns whether `data.pairs` finds scores in a file of this content."""
  del content  # Part of the key alone: the file may change.
  from adapters_jax.data import rows  # Imports numpy, as the next one does.
  from adapters_jax.data import tables
  try:
    return not path.endswith('.json') and not all(
        tables.is_empty(row, label_column) for _, row in rows.read(path))
  except errors.UserError:  # Its run reports it.
    return False


def check_tasks(runs: Sequence[config_lib.Config]) -> None:
  """Checks that each name of a task stands for one set of dev data.

  Args:
    runs: Settings of all runs.

  Raises:
    errors.UserError: it stands for several, which would compete and share the
      rows of tables.
  """
  found: dict[str, tuple[Any, ...]] = {}
  for run in runs:
    here = _dev_data(run)
    if found.setdefault(run.task_name, here) != here:
      raise errors.UserError(
          f'`grid`: {run.task_name} names several sets of dev data, whose '
          "scores do not compare; name each, as in 'task=a train_file=...; "
          "task=b train_file=...'")


def check_pick(
    runs: Iterable[config_lib.Config], pick: Sequence[str],
    others_of: Any,
) -> None:
  """Checks that picked settings compete on the same dev data and measure.

  Args:
    runs: Settings of all runs.
    pick: Names of the fields whose values compete.
    others_of: (run, pick) -> the settings that rivals share.

  Raises:
    errors.UserError: rivals differ in their dev data or their measure.
  """
  found: dict[Any, tuple[Any, ...]] = {}
  for run in runs:
    here = *measure_of(run), *_dev_data(run)
    if found.setdefault(others_of(run, pick), here) != here:
      raise errors.UserError(
          f'`pick={",".join(pick)}`: scores of several metrics or dev data do '
          'not compare; leave out those that name them')
