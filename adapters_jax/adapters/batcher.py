"""Requests from many threads, computed together in mixed batches.

Whenever the device is free, the worker takes all waiting inputs; requests that
arrive during a batch share the next one. Before it computes, the worker waits
until it has as many inputs as the last batch and the queue had together, but at
most half the time of that batch. Otherwise, as clients with fresh answers ask
again one by one, the first would be computed alone. A lone client never waits.
"""

from collections.abc import Callable, Mapping
from concurrent import futures
import queue
import threading
import time
from typing import Any

from adapters_jax import errors
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import prediction
from adapters_jax.adapters import readings
from adapters_jax.adapters import resident
from adapters_jax.model import base as base_lib


class Full(Exception):
  """Too many inputs wait."""


class Batcher:
  """A worker thread that predicts for all other threads.

  Attributes:
    bank: {name: adapter}, fixed.
  """

  def __init__(
      self, base: base_lib.Base, bank: Mapping[str, adapter_lib.Adapter], *,
      max_batch: int = 32, max_queue: int = 1024,
      seen: Callable[[int], None] = lambda size: None,
  ):
    """Places the bank on the device, and starts the worker.

    Args:
      base: Pretrained encoder.
      bank: Adapters.
      max_batch: Maximum inputs of a batch.
      max_queue: Maximum inputs that may wait.
      seen: Called with the size of each batch.

    Raises:
      errors.UserError: an adapter that does not fit the base.
    """
    self.bank = dict(bank)
    self._placed = resident.place(base, self.bank)
    self._max_batch = max_batch
    self._seen = seen
    self._waiting: queue.Queue = queue.Queue(max_queue)
    self._thread = threading.Thread(target=self._work, daemon=True)
    self._thread.start()

  @property
  def waiting(self) -> int:
    """Number of inputs that wait."""
    return self._waiting.qsize()

  def submit(self, name: str, given: Any) -> futures.Future:
    """Queues an input, and returns a future of its prediction.

    Args:
      name: Name of the adapter.
      given: Input, as for `prediction.predict`.

    Raises:
      errors.UserError: an unknown adapter, or an input of another form.
      Full: too many inputs wait.
    """
    if name not in self.bank:
      raise errors.unknown('adapter', name, self.bank)
    readings.check(self.bank[name], 0, given)
    future: futures.Future = futures.Future()
    try:
      self._waiting.put_nowait((name, given, future))
    except queue.Full:
      raise Full from None
    return future

  def close(self) -> None:
    """Computes what waits, and ends the worker."""
    self._waiting.put(None)
    self._thread.join()

  def _work(self) -> None:
    size, seconds = 1, 0.0  # Inputs to wait for; time of the last batch.
    while (first := self._waiting.get()) is not None:
      batch, last = self._collect(first, size, seconds / 2)
      start = time.monotonic()
      # Drop inputs whose clients gave up while they waited.
      batch = [one for one in batch if one[2].set_running_or_notify_cancel()]
      if batch:
        self._answer(batch)
        self._seen(len(batch))
      size = len(batch) + self._waiting.qsize()
      seconds = time.monotonic() - start
      if last:
        return

  def _collect(
      self, first: Any, size: int, patience: float
  ) -> tuple[list[Any], bool]:
    """Returns (batch, whether the batcher is closed).

    Args:
      first: First input.
      size: Number of inputs to wait for.
      patience: Seconds to wait for them.
    """
    batch, end = [first], time.monotonic() + patience
    while len(batch) < self._max_batch:
      wait = end - time.monotonic() if len(batch) < size else 0
      try:
        one = (self._waiting.get(timeout=wait) if wait > 0
               else self._waiting.get_nowait())
      except queue.Empty:
        break
      if one is None:
        return batch, True
      batch.append(one)
    return batch, False

  def _answer(self, batch: list[Any]) -> None:
    """Sets the results of a batch; retries a failed one input by input."""
    names, given, pending = zip(*batch, strict=True)
    try:
      found, cut = prediction.values(
          self._placed.base, self.bank, names, given, self._max_batch,
          self._placed)
      done = [readings.prediction_of(self.bank[name], value, row in cut)
              for row, (name, value) in enumerate(zip(
                  names, found, strict=True))]
    except Exception as error:  # pylint: disable=broad-except
      if len(batch) > 1:  # One bad input is no fault of the others.
        for one in batch:
          self._answer([one])
      else:
        pending[0].set_exception(error)
      return
    for future, one in zip(pending, done, strict=True):
      future.set_result(one)
