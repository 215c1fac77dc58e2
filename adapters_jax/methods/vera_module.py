"""The Flax modules of VeRA; `vera` has its config."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from adapters_jax.layers import dropout
from adapters_jax.layers import parameters
from adapters_jax.methods import base
from adapters_jax.methods import gate as gate_lib


class Projections(parameters.Module):
  """The random projections of all sites.

  Attributes:
    config: The `vera.VeRA`.
  """
  config: Any

  @nn.compact
  def __call__(self, shape: Any, *, train: bool) -> dict[str, jax.Array]:
    """Draws the projections.

    Args:
      shape: The encoder's BertConfig.
      train: Unused.

    Returns:
      'a' [widest in, r] and 'b' [r, widest out].
    """
    del train
    sites, rank = self.config.sites, self.config.r
    # Only these sites read or write the wider feed-forward units.
    reads = [shape.ffn_dim if s == 'ffn_output' else shape.dim for s in sites]
    writes = [
        shape.ffn_dim if s in ('intermediate', 'gate') else shape.dim
        for s in sites]
    a = self.param('fixed_a', base.uniform_he, (max(reads), rank))
    b = self.param('fixed_b', base.uniform_he, (rank, max(writes)))
    # The leaves are in the tuned tree, which a training step differentiates.
    return jax.lax.stop_gradient({'a': a, 'b': b})


class VeRAUpdate(parameters.Module):
  """A scaled random update of the output of a linear layer.

  Attributes:
    config: The `vera.VeRA`.
  """
  config: Any

  @nn.compact
  def __call__(
      self, x: jax.Array, y: jax.Array, *, weights: Mapping[str, jax.Array],
      mask: jax.Array, shared: dict[str, jax.Array], train: bool,
  ) -> jax.Array:
    """Adapts the output of a linear layer.

    Args:
      x: [batch, length, in] Input of the layer.
      y: [batch, length, out] Output of the layer.
      weights: Unused.
      mask: [batch, length] bool, False at padding.
      shared: Random projections of all sites.
      train: Whether to apply dropout.

    Returns:
      [batch, length, out]
    """
    del weights
    config = self.config
    inputs, outputs = x.shape[-1], y.shape[-1]
    shared = jax.tree.map(lambda leaf: leaf.astype(x.dtype), shared)
    dropped = dropout.Dropout(config.dropout)(x, train=train)
    # [batch, length, r], then [batch, length, out].
    hidden = self._weigh('d', dropped @ shared['a'][:inputs], config.vera_d)
    delta = self._weigh('b', hidden @ shared['b'][:, :outputs], config.vera_b)
    if config.use_gating:
      return y + delta * gate_lib.Gate(name='gating')(x, mask)
    return y + delta * (config.alpha / config.r)

  def _weigh(self, name, values, start):
    """Multiplies values [..., width] by a vector, or by a matrix if dense."""
    width = values.shape[-1]
    if self.config.dense:
      matrix = self.param(name, lambda _: start * jnp.eye(
          width, dtype=jnp.float32))
      return values @ matrix.astype(values.dtype)
    vector = self.param(name, nn.initializers.constant(start), (width,))
    return values * vector.astype(values.dtype)
