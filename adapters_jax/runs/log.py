"""What travels with a run's progress as JSON: history, losses and times."""

import time
from typing import Any

import numpy as np

from adapters_jax.data import tasks

# What is measured of a run, and by which clock.
CLOCKS = {'seconds': time.perf_counter, 'cpu_seconds': time.process_time}


def new() -> dict[str, Any]:
  """Returns the log of a run that has not begun.

  Returns:
    'history': the evaluations; 'losses' since the last one; 'seconds' (wall)
    and 'cpu_seconds' of all sittings.
  """
  return {'history': [], 'losses': [], **dict.fromkeys(CLOCKS, 0.0)}


def collapsed_to(task: tasks.Task, predictions: np.ndarray) -> str | None:
  """Returns the class that all predictions are, None if they differ."""
  if not task.labels or np.ptp(predictions):
    return None
  return task.labels[predictions[0]]


def add_evaluation(
    log: dict[str, Any], step: int, dev: dict[str, float],
    predictions: np.ndarray, task: tasks.Task,
) -> dict[str, Any]:
  """Puts an evaluation on dev into the history, and returns its entry."""
  entry = {'step': step, 'loss': float(np.mean(log['losses'])), 'dev': dev}
  if (label := collapsed_to(task, predictions)) is not None:
    entry['collapsed_to'] = label
  log['history'].append(entry)
  log['losses'] = []
  return entry


class Clocks:
  """Adds the times of this sitting to those of a log."""

  def __init__(self, log: dict[str, Any]):
    self._offsets = {name: log[name] - now() for name, now in CLOCKS.items()}

  def update(self, log: dict[str, Any]) -> None:
    """Sets the times of all sittings."""
    log.update({name: self._offsets[name] + now()
                for name, now in CLOCKS.items()})
