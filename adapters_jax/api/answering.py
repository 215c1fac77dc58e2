"""Waits for answers on behalf of clients that may leave."""

import asyncio
from collections.abc import Awaitable, Iterator
import contextlib
from typing import Any

from starlette import requests

from adapters_jax.api import bodies

GONE = 499  # As nginx names it; for metrics, as nobody reads the response.


async def result(
    request: requests.Request, answer: Awaitable[Any], seconds: float
) -> Any:
  """Returns an answer; cancels it once nobody waits for it.

  Args:
    request: Request, whose body has been read.
    answer: Future or coroutine.
    seconds: Seconds to wait.

  Raises:
    bodies.Refused: a late answer, or a client that left.
  """
  wanted = asyncio.ensure_future(answer)
  left = asyncio.ensure_future(_left(request))
  try:
    await asyncio.wait((wanted, left), timeout=seconds,
                       return_when=asyncio.FIRST_COMPLETED)
    if wanted.done():
      return wanted.result()
    if left.done():
      raise bodies.Refused(GONE, 'the client left before its answer')
    raise bodies.Refused(504, 'the answer did not come in time')
  finally:
    wanted.cancel()
    left.cancel()


async def _left(request: requests.Request) -> None:
  """Returns once the client has left."""
  while (await request.receive())['type'] != 'http.disconnect':
    pass


@contextlib.contextmanager
def refused_at_the_end() -> Iterator[None]:
  """Refuses requests that the server cancels when it stops.

  Raises:
    bodies.Refused: the service is stopping.
  """
  try:
    yield
  except asyncio.CancelledError:
    raise bodies.Refused(503, 'the service is stopping') from None
