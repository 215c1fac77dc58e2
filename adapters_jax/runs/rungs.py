"""Scores of runs at the rungs of a sweep that stops weak settings. No JAX.

A rung is a number of epochs after which runs wait for the sweep to decide which
of them train further. A file in the workdir keeps the scores at each rung, so
that a restarted sweep makes the same decisions.
"""

from collections.abc import Iterable, Mapping
import dataclasses
import math
import os
from typing import Any

from adapters_jax import errors
from adapters_jax.downloads import atomic
from adapters_jax.downloads import file_hash
from adapters_jax.downloads import json_files

_FILE = 'rungs.json'
_HASH = 'sha256'  # Of the other values of the file.


@dataclasses.dataclass(frozen=True)
class Paused:
  """A run that waits at a rung, with its state saved.

  Attributes:
    score: Best dev score until the rung.
    step: Steps before the rung; the state may have more.
  """
  score: float
  step: int


@dataclasses.dataclass(frozen=True)
class Rungs:
  """Scores of one run at its rungs.

  Attributes:
    scores: {epochs as text: best dev score until then}.
    waits: Epochs trained by the state that waits in the run's own folder; 0 if
      none waits.
    stopped: Epochs after which the sweep stopped the run; 0 if it did not.
    data: Data of the scores, as in a record; {} in files of earlier versions.
    base: Base of the scores, as in a record; '' in files of earlier versions.
    base_files: Small files of the base, as in a record; {} in files of earlier
      versions.
  """
  scores: Mapping[str, float] = dataclasses.field(default_factory=dict)
  waits: float = 0.0
  stopped: float = 0.0
  data: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  base: str = ''
  base_files: Mapping[str, str] = dataclasses.field(default_factory=dict)


def key(epochs: float) -> str:
  """Returns the name of a rung among the scores."""
  return f'{epochs:g}'


def step_of(epochs: float, steps_per_epoch: int) -> int:
  """Returns the number of steps before a rung, at least 1; 0 without a rung.

  Args:
    epochs: Epochs before the rung; 0 for none.
    steps_per_epoch: Steps an epoch.
  """
  return max(1, round(epochs * steps_per_epoch)) if epochs else 0


def score_at(
    history: Iterable[Mapping[str, Any]], metric: str, step: int
) -> float:
  """Returns the best dev score up to a step, -inf without an evaluation.

  Args:
    history: Evaluations of a run.
    metric: Metric that picks the best step.
    step: Steps taken at the rung.
  """
  return max((entry['dev'][metric] for entry in history
              if entry['step'] <= step), default=-math.inf)


def demand_score(epochs: float, step: int, eval_every: int) -> None:
  """Checks that a run is evaluated at or before a rung, before it trains.

  Args:
    epochs: Epochs before the rung.
    step: Steps before the rung.
    eval_every: Steps between evaluations.

  Raises:
    errors.SweepError: it is not.
  """
  if step < eval_every:
    raise errors.SweepError(
        f'`halving_first`: the rung at {epochs:g} epochs is step {step}, and '
        f'the first evaluation step {eval_every}; give more, or a smaller '
        '`eval_every`')


def read(folder: str) -> Rungs:
  """Returns the rungs of a workdir, empty ones without the file.

  Args:
    folder: Workdir of the run.

  Raises:
    errors.UserError: the file is damaged.
  """
  path = path_of(folder)
  if not os.path.exists(path):
    return Rungs()
  values = json_files.read(path, what='`workdir`: ')
  saved = values.pop(_HASH, None)  # Files of earlier versions have none.
  try:
    if saved is not None and saved != atomic.json_digest(values):
      raise ValueError('it has changed since it was written')
    scores = {str(name): _finite(score)
              for name, score in values['scores'].items()}
    return Rungs(
        scores, _finite(values['waits']), _finite(values['stopped']),
        dict(values.get('data', {})), str(values.get('base', '')),
        dict(values.get('base_files', {})))
  except (AttributeError, KeyError, OverflowError, TypeError,
          ValueError) as error:
    raise errors.UserError(
        f'`workdir`: {path} is damaged; delete {folder} to run again'
    ) from error


def _finite(value: Any) -> float:
  """Returns a number; raises ValueError for NaN and infinity."""
  if not math.isfinite(number := float(value)):
    raise ValueError(f'{number} is not finite')
  return number


def path_of(folder: str) -> str:
  """Returns the path of the file of rungs in a workdir."""
  return os.path.join(folder, _FILE)


def reached(
    before: Rungs, epochs: float, score: float, waits: float,
    inputs: Mapping[str, Any],
) -> Rungs:
  """Returns the rungs of a run that has come to a further one.

  Args:
    before: Its rungs; their scores go if they are of other data or base, or of
      other files of it.
    epochs: Epochs before the rung.
    score: Best dev score until then.
    waits: Epochs trained by the state that waits.
    inputs: Inputs of the state, see `runs.same_inputs`; {} if they are unknown.
  """
  data, base = inputs.get('data', {}), inputs.get('base', '')
  files = inputs.get('base_files', {})
  known = not (before.data or before.base) or (
      before.data == data and before.base == base
      and not file_hash.changed(before.base_files, files))
  return Rungs({**(before.scores if known else {}), key(epochs): score},
               waits=waits, data=data, base=base, base_files=files)


def write(folder: str, rungs: Rungs) -> None:
  """Writes the rungs of a run.

  Args:
    folder: Workdir of the run.
    rungs: Its rungs.
  """
  values = dataclasses.asdict(rungs)
  atomic.write_json(
      path_of(folder), {**values, _HASH: atomic.json_digest(values)})


def leave(folder: str) -> None:
  """Notes that a run trains again, and no longer waits at a rung.

  Args:
    folder: Workdir of the run.
  """
  rungs = read(folder)
  if rungs != dataclasses.replace(rungs, waits=0.0, stopped=0.0):
    write(folder, dataclasses.replace(rungs, waits=0.0, stopped=0.0))
