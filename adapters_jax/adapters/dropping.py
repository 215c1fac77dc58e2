"""Removes adapters from the lowest layers (AdapterDrop)."""

import dataclasses
from typing import Any

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import arguments
from adapters_jax.adapters import compiled
from adapters_jax.adapters import field_checks
from adapters_jax.model import base as base_lib
from adapters_jax.training import adapter_drop


def drop_layers(
    base: base_lib.Base, adapter: adapter_lib.Adapter, layers: int
) -> adapter_lib.Adapter:
  """Returns an adapter without its parts in the lowest layers.

  Their layer norms, and the norm of the embeddings, become the pretrained ones
  again, so that these layers equal those of the base. An adapter trained with
  `adapter_drop` keeps most of its score.

  >>> aj.drop_layers(base, food, 1).method
  'lora[r=2, leave_out=(0,)]'

  Args:
    base: Pretrained encoder of the adapter.
    adapter: Adapter.
    layers: Number of layers, from the lowest.

  Raises:
    errors.UserError: arguments in another order, more layers than the base has,
      an adapter of another base, or one with fine-tuned weights, parts in the
      embeddings or shifted positions.
  """
  arguments.demand_base(base, 'drop_layers(base, adapter, layers)')
  arguments.demand_adapter(adapter)
  compiled.check_base(base.identity, adapter, 'the adapter')
  shape = base.config
  if not (field_checks.is_integer(layers)
          and 0 <= int(layers) <= shape.layers):
    raise errors.UserError(
        f'`layers={layers!r}`: give an integer, 0 to {shape.layers}; the base '
        f'has {shape.layers} layers')
  layers = int(layers)  # Perhaps of NumPy or JAX.
  adapter_drop.check((layers,), adapter.methods, shape.layers,
                     f'`layers={layers}`')
  if any(trees.role(path) == 'encoder' and not path.startswith('pooler/')
         for path in trees.flatten(adapter.tuned)):
    raise errors.UserError(
        '`adapter`: it has fine-tuned weights, which belong to no adapter')
  prefixes = {f'adapter_shared_{index}': method
              for index, method in enumerate(adapter.methods)
              if method.kind == 'key_value'}

  def prefix_of(path: str) -> Any:
    return next((method for name, method in prefixes.items()
                 if f'/{name}/' in f'/{path}'), None)

  def survives(path: str) -> bool:
    prefix = prefix_of(path)  # A pool of no layers has no leaves.
    return adapter_drop.survives(path, layers) and (prefix is None or any(
        map(prefix.in_layer, range(layers, shape.layers))))

  def cut(path: str, leaf: Any) -> Any:
    # Keys and values of all layers are columns of one leaf.
    prefix = prefix_of(path)
    if prefix is None or not path.endswith(('/prefix', 'up/kernel', 'up/bias')):
      return leaf
    gone = sum(map(prefix.in_layer, range(layers)))
    return leaf[..., 2 * shape.dim * gone:]

  kept, _ = trees.split(adapter.tuned, survives)
  if layers == shape.layers:  # Only the head is left, on the unchanged base.
    return dataclasses.replace(
        adapter, methods=(), setup=None, members=(), scores={}, history=(),
        tuned={part: leaves for part, leaves in adapter.tuned.items()
               if trees.is_above(part)})
  return dataclasses.replace(
      adapter, tuned=trees.map_with_path(cut, kept), scores={}, history=(),
      methods=tuple(method.with_fields(leave_out=tuple(sorted(
          {*method.leave_out, *range(layers)}))) if layers else method
                    for method in adapter.methods))
