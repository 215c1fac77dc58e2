"""Shapes of a model's parameters, which files and adapters are checked by."""

import functools
from typing import Any

import flax.linen as nn
import jax

from adapters_jax.layers import shape_trace
from adapters_jax.model import encoder


def of(model: nn.Module) -> dict[str, Any]:
  """Returns the shapes of a model's whole tree, without computing it.

  Args:
    model: `encoder.Bert` or a model of `heads`.
  """
  return jax.tree.map(lambda leaf: leaf, _of(model))  # New dicts.


# Models hash and compare by their configs. All heads share a trace of their
# encoder, and its layers one of each kind: a trace of twelve takes 0.3 s.
# An entry takes 20 to 40 kB, and adapters of a bank may all differ.
@functools.lru_cache(maxsize=4096)
def _of(model: nn.Module) -> dict[str, Any]:
  """Returns the shapes of a model's whole tree."""
  whole = isinstance(model, encoder.Bert)
  with shape_trace.marked(encoder=whole) as trace:
    tree = jax.eval_shape(lambda: encoder.init(model, jax.random.key(0)))
  if not whole:
    return {**_of(encoder.Bert(model.config)), **tree}
  for layer, first in trace.same_as.items():
    tree['encoder'][f'layer_{layer}'] = tree['encoder'][f'layer_{first}']
  return tree
