"""Whether the Hugging Face hub answers."""

import functools
import time

from adapters_jax.downloads import pinned

_PERIOD = 30.0  # Seconds for which an answer holds.


def reachable() -> bool:
  """Returns whether the hub answers.

  It asks at most once in half a minute, so that a start without a network waits
  only once, and a network that comes back is used.
  """
  from huggingface_hub import constants  # Slow to import.
  # The library itself would retry for 20 seconds before it gives up.
  return not constants.HF_HUB_OFFLINE and _answers(
      constants.ENDPOINT, int(time.monotonic() // _PERIOD))


@functools.lru_cache(maxsize=1)
def _answers(address: str, period: int) -> bool:
  """Returns whether a server answers; `period` is a key of the cache."""
  del period
  return bool(pinned.status(address))


def forget() -> None:
  """Lets the next call ask again."""
  _answers.cache_clear()
