"""When the state of a group of runs is saved."""

from collections.abc import Callable, Mapping
import time
from typing import Any

import jax

from adapters_jax.runs import log as log_lib
from adapters_jax.runs import signals
from adapters_jax.training import hosts
from adapters_jax.training import loop
from adapters_jax.training import resume as resume_lib

_LITTLE = 5.0  # Seconds of work that are not worth a save.
_CALLS = 32  # Steps between exchanges with other hosts, which cost time.
# {field of Log: clock that measures it}
_CLOCKS = {'seconds': time.perf_counter, 'cpu_seconds': time.process_time}


class Saver:
  """Saves progress and log: at evaluations, before compiles, every few minutes.

  Compiling for a new batch shape takes seconds or minutes, during which no
  signal handler runs. If the state is saved before, the process can end at any
  time.
  """

  def __init__(
      self, resume: resume_lib.Resume | None, log: log_lib.Log,
      start: loop.Progress, minutes: float, stop: signals.Stop,
  ):
    """Starts the clocks of a sitting.

    Args:
      resume: Store of the states; None saves nothing.
      log: Log of the group, as restored; saved with the progress.
      start: Progress at the start of the sitting, saved or at step 0.
      minutes: Maximum minutes between saves; 0 for no such limit.
      stop: Requests to stop; its `unsaved` is kept up to date.
    """
    self._resume, self._log, self._stop = resume, log, stop
    self._seconds = 60 * minutes
    # Added to now(), they continue the times of earlier sittings.
    self._offsets = {name: getattr(log, name) - now()
                     for name, now in _CLOCKS.items()}
    self._saved = self._point(start)
    self._last, self._calls = time.monotonic(), 0
    self._shapes: set[Any] = set()

  def _point(self, progress: loop.Progress) -> tuple[int, int]:
    return loop.steps_taken(progress), self._log.evaluated()

  def save(self, progress: loop.Progress) -> None:
    """Saves the progress, unless it is that of the last save."""
    for name, now in _CLOCKS.items():
      setattr(self._log, name, self._offsets[name] + now())
    point = self._point(progress)
    if self._resume and point != self._saved:
      self._resume.save(progress, self._log.to_json())
    self._saved, self._last = point, time.monotonic()
    self._stop.unsaved = False

  def due(self, batch: Mapping[str, Any] | None) -> bool:
    """Returns whether to save before the step on a batch.

    Args:
      batch: Arrays of the step; None before an evaluation.
    """
    # New shapes and evaluations may block the process for long.
    fresh = True
    if batch is not None:
      shape = tuple((name, value.shape) for name, value in batch.items())
      fresh = shape not in self._shapes
      self._shapes.add(shape)
    if not self._resume or not self._stop.unsaved:
      return False
    self._calls += 1
    passed = time.monotonic() - self._last
    found = (fresh and passed > _LITTLE) or bool(
        self._seconds and passed > self._seconds)
    if fresh or self._calls % _CALLS == 0 or jax.process_count() == 1:
      return hosts.agreed(found)  # All hosts save at the same step.
    return False

  def counted(self, train_step: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a training step that marks its work as unsaved."""

    def step(*args):
      found = train_step(*args)
      self._stop.unsaved = True
      return found

    return step
