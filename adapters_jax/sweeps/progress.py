"""Logs the progress of a sweep. No JAX here."""

from collections.abc import Sequence
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

  def add(self, unit: Sequence[tuple[str, halving.Result]]) -> None:
    """Counts runs of one unit that finished, wait at a rung, or failed.

    Results of a group arrive together, so the rest follows from all of them.

    Args:
      unit: (line that names the run, its record, its pause or the message of
        its failure) of each.
    """
    done = self._done + len(unit)
    left = self._todo - done
    passed = time.monotonic() - self._start
    rest = (f'; about {passed / done * left / 60:.1f} min for the other {left}'
            if left else '')
    for name, found in unit:
      self._done += 1
      _log.info('%d of %d runs: %s: %s%s', self._done, self._todo, name,
                self._described(found), rest if self._done == done else '')

  def _described(self, found: halving.Result) -> str:
    """Returns a result in words; a record may be the best one so far."""
    if isinstance(found, str):
      return f'failed: {found}'
    if isinstance(found, rungs.Paused):
      return f'dev {100 * found.score:.2f} after {found.step} steps'
    score = 100 * records_lib.primary(found)
    task = config_lib.task_of(found.config), *rivals.measure_in(found)
    best = self._best[task] = max(score, self._best.get(task, score))
    return f'dev {score:.2f} (best so far {best:.2f})'
