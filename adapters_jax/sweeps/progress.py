"""Logs the progress of a sweep. No JAX here."""

import logging
import time
from typing import Any

from adapters_jax.runs import config as config_lib
from adapters_jax.runs import records as records_lib
from adapters_jax.runs import rungs
from adapters_jax.sweeps import halving
from adapters_jax.sweeps import rivals

_log = logging.getLogger(__name__)


class SweepProgress:
  """Reports finished runs, and forecasts the rest by their mean time."""

  def __init__(self, todo: int):
    """Starts the clock.

    Args:
      todo: Number of runs.
    """
    self._todo, self._done, self._start = todo, 0, time.monotonic()
    self._best: dict[Any, float] = {}  # By task and measure.

  def add(self, name: str, found: halving.Result) -> None:
    """Counts a run that has finished, waits at a rung, or failed.

    Args:
      name: Line that describes the run, from `grid.difference_line`.
      found: Its record, its pause, or the message of its failure.
    """
    self._done += 1
    if isinstance(found, str):
      text = f'failed: {found}'
    elif isinstance(found, rungs.Paused):
      text = f'dev {100 * found.score:.2f} after {found.step} steps'
    else:
      score = 100 * records_lib.primary(found)
      task = (config_lib.task_of(found.config),
              *(found.config.get(name) for name in rivals.MEASURES))
      best = self._best[task] = max(score, self._best.get(task, score))
      text = f'dev {score:.2f} (best so far {best:.2f})'
    left = self._todo - self._done
    passed = time.monotonic() - self._start
    rest = (f'; about {passed / self._done * left / 60:.1f} min for the other '
            f'{left}' if left else '')
    _log.info('%d of %d runs: %s: %s%s', self._done, self._todo, name, text,
              rest)
