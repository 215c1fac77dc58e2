"""SIGTERM and Ctrl-C as a question that the training loop asks."""

from collections.abc import Callable, Iterator
import contextlib
import signal

import jax

from adapters_jax.training import sharding


@contextlib.contextmanager
def caught() -> Iterator[Callable[[], bool]]:
  """Yields asked(): whether SIGTERM or Ctrl-C has come since."""
  if jax.process_count() > 1:
    yield sharding.stopped_together()
    return
  came = []
  before = {}
  try:
    for number in (signal.SIGTERM, signal.SIGINT):
      before[number] = signal.signal(number, lambda n, _: came.append(n))
  except ValueError:
    pass  # Not the main thread: whoever started us deals with signals.
  try:
    yield lambda: bool(came)
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)
