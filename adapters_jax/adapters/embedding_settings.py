"""Settings of sentence embeddings: those of an adapter, or else its base."""

from collections.abc import Callable
import dataclasses
from typing import Any

from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import compiled
from adapters_jax.model import base as base_lib
from adapters_jax.model import heads
from adapters_jax.model import pooling as pooling_lib
from adapters_jax.model import sentence_files


def pooling_of(
    checkpoint: str, adapter: adapter_lib.Adapter | None, **given: Any
) -> pooling_lib.Pooling:
  """Returns the settings of embeddings.

  Args:
    checkpoint: Name or folder of the base.
    adapter: Adapter, or None.
    **given: Fields of `Pooling` that replace those of adapter and base, unless
      None.
  """
  own = adapter and adapter.head_input.startswith(heads.embedding.PREFIX)
  found = sentence_files.of_checkpoint(
      checkpoint, known=bool(own or given.get('mode')))
  if adapter and own:
    found = dataclasses.replace(
        found, max_length=adapter.max_length, normalize=True, dims=0,
        mode=adapter.head_input.removeprefix(heads.embedding.PREFIX))
  return dataclasses.replace(found, **{
      name: value for name, value in given.items() if value is not None})


def once(
    make: Callable[[adapter_lib.Adapter | None], pooling_lib.Pooling]
) -> Callable[[adapter_lib.Adapter | None], pooling_lib.Pooling]:
  """Returns a function that computes equal settings of adapters once."""
  found: dict[Any, pooling_lib.Pooling] = {}

  def settings_of(adapter):
    # By the fields that `pooling_of` reads: equality would compare all leaves,
    # and a new adapter may get the identity of one that is gone.
    key = adapter and (adapter.head_input, adapter.max_length)
    if key not in found:
      found[key] = make(adapter)
    return found[key]

  return settings_of


def longest(
    base: base_lib.Base, adapter: adapter_lib.Adapter | None,
    pooling: pooling_lib.Pooling,
) -> int:
  """Returns the longest text in tokens."""
  free = compiled.free_positions(base, adapter.methods if adapter else ())
  return min(free, pooling.max_length or free)
