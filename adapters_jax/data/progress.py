"""Progress of long work on data, as lines of the log."""

from collections.abc import Callable, Iterable, Iterator
import logging
import time
from typing import Any, TypeVar

_log = logging.getLogger(__name__)

_SECONDS = 30.0  # Between lines, and before the first one.

_T = TypeVar('_T')


def logged(
    parts: Iterable[_T], done: str, things: str, total: int = 0,
    size: Callable[[_T], int] = lambda part: 1,
) -> Iterator[_T]:
  """Yields parts; logs how many things in them are done, every 30 seconds.

  A part counts as done when the next one is asked for.

  Args:
    parts: Parts of the work.
    done: Verb of the line, such as 'scored'.
    things: End of the line, such as 'examples'.
    total: Number of things in all parts; 0 if unknown.
    size: (part) -> number of things in it.
  """
  last, count = time.monotonic(), 0
  of = f' of {total:,}' if total else ''
  for part in parts:
    yield part
    count += size(part)
    if (now := time.monotonic()) >= last + _SECONDS:
      last = now
      _log.info('%s %s%s %s', done, f'{count:,}', of, things)


def of_batches(
    batches: Iterable[tuple[Any, _T]], examples: int, done: str = 'scored'
) -> Iterator[tuple[Any, _T]]:
  """Yields batches; logs the progress.

  Args:
    batches: (numbers of the examples, batch) pairs.
    examples: Number of examples in all.
    done: Verb of the line.
  """
  return logged(
      batches, done, 'examples', examples, lambda pair: len(pair[0]))
