"""Results of batches, read while the device computes the next ones."""

import collections
from collections.abc import Iterable, Iterator
from typing import TypeVar

_T = TypeVar('_T')

_BATCHES = 4  # Dispatched, but not read yet.


def ahead(dispatched: Iterable[_T]) -> Iterator[_T]:
  """Yields each item when the next few are there.

  The device then never waits for the host, and memory holds a few batches, not
  those of all inputs.

  Args:
    dispatched: Generator that dispatches a batch for each item.
  """
  waiting: collections.deque[_T] = collections.deque()
  for item in dispatched:
    waiting.append(item)
    if len(waiting) > _BATCHES:
      yield waiting.popleft()
  while waiting:
    yield waiting.popleft()
