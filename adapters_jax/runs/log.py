"""Log of the runs that train together, saved with their progress."""

from collections.abc import Sequence
import dataclasses
from typing import Any

import numpy as np

from adapters_jax.data import tasks


@dataclasses.dataclass
class RunLog:
  """Log of one run.

  Attributes:
    history: One entry per evaluation: step, mean loss, dev metrics.
    losses: Losses of the steps since the last evaluation.
    failed: Reason why the run ended before its last step, '' otherwise.
    stopped: Step after which patience ended the run, 0 otherwise.
    last: {split: metrics} after the step `stopped`.
    sittings: Result of `sittings.add`: {'step': steps taken before, 'place':
      facts} for each place where the run trained, one after another.
  """
  history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
  losses: list[float] = dataclasses.field(default_factory=list)
  failed: str = ''
  stopped: int = 0
  last: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
  sittings: list[dict[str, Any]] = dataclasses.field(default_factory=list)

  def add_evaluation(
      self, step: int, dev: dict[str, float], predictions: np.ndarray,
      labels: Any, task: tasks.Task,
  ) -> dict[str, Any]:
    """Appends an evaluation on dev to the history.

    Args:
      step: Steps taken.
      dev: {metric: value}
      predictions: [examples] Classes or scores.
      labels: [examples] Correct ones.
      task: Task.

    Returns:
      The new entry.
    """
    entry = {'step': step, 'loss': float(np.mean(self.losses)), 'dev': dev}
    if (label := collapsed_to(task, predictions, labels)) is not None:
      entry['collapsed_to'] = label
    self.history.append(entry)
    self.losses = []
    return entry

  def marked(self, best: int) -> tuple[dict[str, Any], ...]:
    """Returns the history, with 'kept': True in the entry of the best step.

    Args:
      best: Number of the best step.
    """
    return tuple({**entry, 'kept': True} if entry['step'] == best else entry
                 for entry in self.history)


@dataclasses.dataclass
class Log:
  """Log of a group of runs.

  Attributes:
    runs: One log per run.
    seconds: Wall time of the group, summed over its sittings.
    cpu_seconds: Processor time of the same, over all threads.
    inputs: Result of `same_inputs.of_group`; {} in states of earlier versions.
  """
  runs: list[RunLog]
  seconds: float = 0.0
  cpu_seconds: float = 0.0
  inputs: dict[str, Any] = dataclasses.field(default_factory=dict)

  def alive(self) -> list[tuple[int, RunLog]]:
    """Returns (index, log) of the runs that have not failed."""
    return [(i, run) for i, run in enumerate(self.runs) if not run.failed]

  def training(self) -> list[tuple[int, RunLog]]:
    """Returns (index, log) of the runs that still train."""
    return [(i, run) for i, run in self.alive() if not run.stopped]

  def evaluated(self) -> int:
    """Returns the step of the last evaluation, 0 before the first."""
    return max((run.history[-1]['step'] for run in self.runs if run.history),
               default=0)

  def to_json(self) -> dict[str, Any]:
    """Returns the log as plain values."""
    return dataclasses.asdict(self)

  @classmethod
  def from_json(cls, values: dict[str, Any]) -> 'Log':
    """Returns the log of `to_json`'s values."""
    return cls(**{**values, 'runs': [RunLog(**run) for run in values['runs']]})


def since_best(scores: Sequence[float]) -> int:
  """Returns the number of evaluations after the best one.

  Args:
    scores: Dev score of each evaluation; of equal ones the first is the best.
  """
  best, since = -np.inf, 0
  for score in np.asarray(scores, np.float32):  # As compared by `keep_best`.
    since = 0 if score > best else since + 1
    best = max(best, score)  # NaN is never better.
  return since


def collapsed_to(
    task: tasks.Task, predictions: Sequence[Any] | np.ndarray, labels: Any
) -> str | None:
  """Returns the class, or labels, that all predictions share, or else None.

  Equal predictions are no collapse if all correct labels are equal too. ''
  means that no example has a label, where an example may have several.

  Args:
    task: Task; a regression task never collapses.
    predictions: [examples] Classes or scores.
    labels: [examples] Correct ones.
  """
  # Scores and answers have no labels.
  if not task.labels:
    return None
  found = np.asarray(predictions)
  if np.any(found != found[0]):
    return None
  if len({np.asarray(one).tobytes() for one in labels}) < 2:
    return None
  if found.ndim > 1:  # Several labels.
    return ','.join(np.array(task.labels)[found[0] > 0])
  return task.labels[found[0]]
