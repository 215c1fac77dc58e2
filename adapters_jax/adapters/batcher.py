"""Requests from many threads, computed together in mixed batches.

Whenever the device is free, the worker takes all waiting inputs; requests that
arrive during a batch share the next one. Before it computes, the worker waits
until it has inputs of as many requests as the last batch and the queue had
together, but at most half the time of that batch, and a tenth of a second.
Otherwise, as clients with fresh answers ask again one by one, the first would
be computed alone. A lone client never waits: its requests come one at a time,
however many inputs they have.
"""

import collections
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
import dataclasses
import itertools
import threading
import time
from typing import Any

from adapters_jax import errors
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import prediction
from adapters_jax.adapters import readings
from adapters_jax.adapters import resident
from adapters_jax.model import base as base_lib


_PATIENCE = 0.1  # Seconds; a batch that compiled took many times as long.


class Full(Exception):
  """Too many inputs wait."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Waiting:
  """An input that waits.

  Attributes:
    name: Name of its adapter.
    given: Input.
    request: Object that the inputs of a request share.
    future: Future of its prediction.
  """
  name: str
  given: Any
  request: object
  future: futures.Future


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
    self._max_queue = max_queue
    self._changed = threading.Condition()  # Guards the next two.
    self._waiting: collections.OrderedDict[futures.Future, _Waiting] = (
        collections.OrderedDict())
    self._closed = False
    self._thread = threading.Thread(target=self._work, daemon=True)
    self._thread.start()

  @property
  def waiting(self) -> int:
    """Number of inputs that wait."""
    return len(self._waiting)

  def submit(self, name: str, given: Any) -> futures.Future:
    """Queues a request of one input, and returns a future of its prediction.

    A future that is cancelled before its batch leaves the queue.

    Args:
      name: Name of the adapter.
      given: Input, as for `prediction.predict`.

    Raises:
      errors.UserError: an unknown adapter, or an input of another form.
      Full: too many inputs wait.
    """
    self._check(name, given)
    return self._put([(name, given)])[0]

  def submit_request(
      self, names: Sequence[str], inputs: Sequence[Any]
  ) -> list[futures.Future]:
    """Queues all inputs of a request, or none; returns their futures.

    Args:
      names: Name of the adapter for each input.
      inputs: Inputs, as for `prediction.predict`.

    Raises:
      errors.UserError: as for `submit`, with the number of the input.
      Full: too many inputs wait.
    """
    pairs = list(zip(names, inputs, strict=True))
    for number, pair in enumerate(pairs):
      with errors.within(f'input {number}'):
        self._check(*pair)
    return self._put(pairs)

  def close(self) -> None:
    """Computes what waits, and ends the worker."""
    with self._changed:
      self._closed = True
      self._changed.notify()
    self._thread.join()

  def _check(self, name: str, given: Any) -> None:
    if name not in self.bank:
      raise errors.unknown('adapter', name, self.bank)
    readings.check(self.bank[name], 0, given)

  def _put(self, pairs: Sequence[tuple[str, Any]]) -> list[futures.Future]:
    """Queues the (name, input) pairs of a request; raises Full."""
    request = object()
    found = [_Waiting(*pair, request, futures.Future()) for pair in pairs]
    with self._changed:
      if len(self._waiting) + len(found) > self._max_queue:
        raise Full
      self._waiting |= {one.future: one for one in found}
      self._changed.notify()
    for one in found:
      one.future.add_done_callback(self._drop)
    return [one.future for one in found]

  def _drop(self, future: futures.Future) -> None:
    """Removes an input that is done, such as a cancelled one, if it waits."""
    with self._changed:
      self._waiting.pop(future, None)

  def _work(self) -> None:
    wanted, seconds = 1, 0.0  # Requests to wait for; time of the last batch.
    while batch := self._collect(wanted, min(seconds / 2, _PATIENCE)):
      start = time.monotonic()
      # A client may give up between the queue and here.
      batch = [one for one in batch
               if one.future.set_running_or_notify_cancel()]
      if not batch:
        continue
      done = self._computed(batch)
      # Before the answers go out: their clients may ask at once.
      wanted = self._requests(batch)
      self._seen(len(batch))
      for one, answer in zip(batch, done, strict=True):
        if isinstance(answer, Exception):
          one.future.set_exception(answer)
        else:
          one.future.set_result(answer)
      seconds = time.monotonic() - start

  def _collect(self, wanted: int, patience: float) -> list[_Waiting]:
    """Returns the next batch, [] if the batcher is closed and nothing waits.

    Args:
      wanted: Number of requests to wait for.
      patience: Seconds to wait for all but the first.
    """
    with self._changed:
      while True:
        self._changed.wait_for(lambda: self._waiting or self._closed)
        self._changed.wait_for(
            lambda: self._closed or len(self._waiting) >= self._max_batch
            or self._requests() >= wanted, patience)
        if self._waiting or self._closed:  # Not all were cancelled.
          return [self._waiting.popitem(last=False)[1] for _ in range(
              min(self._max_batch, len(self._waiting)))]

  def _requests(self, batch: Sequence[_Waiting] = ()) -> int:
    """Returns the number of requests of a batch and the queue together."""
    with self._changed:  # A batch holds no more of the queue.
      first = itertools.islice(self._waiting.values(), self._max_batch)
      return len({one.request for one in (*batch, *first)})

  def _computed(self, batch: Sequence[_Waiting]) -> list[Any]:
    """Returns a prediction or an error for each input of a batch."""
    names, given = [one.name for one in batch], [one.given for one in batch]
    try:
      found, cut = prediction.values(
          self._placed.base, self.bank, names, given, self._max_batch,
          self._placed)
      return [readings.prediction_of(self.bank[name], value, row in cut)
              for row, (name, value) in enumerate(zip(
                  names, found, strict=True))]
    except Exception as error:  # pylint: disable=broad-except
      if len(batch) == 1:
        return [error]
    # One bad input is no fault of the others.
    return [done for one in batch for done in self._computed([one])]
