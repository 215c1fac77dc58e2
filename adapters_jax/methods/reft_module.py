"""The Flax modules of ReFT; `reft` has its config."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from adapters_jax.layers import activations
from adapters_jax.layers import dropout
from adapters_jax.layers import parameters
from adapters_jax.methods import base


class Edit(parameters.Module):
  """An edit, applied to every position.

  Attributes:
    config: The `reft.ReFT`.
  """
  config: Any

  @nn.compact
  def __call__(self, z: jax.Array, *, train: bool) -> jax.Array:
    """Edits hidden states.

    Args:
      z: [batch, rows, dim] Output of a layer.
      train: Whether to apply dropout.

    Returns:
      [batch, rows, dim]
    """
    config, dim = self.config, z.shape[-1]
    base.demand(not config.orthogonality or config.r <= dim, 'r', config.r,
                f'at most {dim}, the width of the base: no more rows are '
                'orthonormal')
    source = parameters.Dense(
        config.r, kernel_init=base.uniform_fan_in, dtype=z.dtype,
        name='source')(z)
    source = activations.ACTIVATIONS[config.activation](source)
    init = (nn.initializers.orthogonal() if config.orthogonality
            else base.uniform_fan_in)
    projection = self.param('projection', init, (dim, config.r))
    if config.orthogonality:
      projection = orthonormal(projection)  # float32, also in bfloat16 runs.
    projection = projection.astype(z.dtype)
    if config.subtract_projection:
      source = source - z @ projection
    edited = z + source @ projection.T
    return dropout.Dropout(config.dropout)(edited, train=train)


class Edits(nn.Module):
  """The edits of a text's first and last tokens.

  Attributes:
    config: The `reft.ReFT`.
  """
  config: Any

  @nn.compact
  def __call__(
      self, z: jax.Array, *, mask: jax.Array, train: bool
  ) -> jax.Array:
    """Edits the output of a layer.

    Args:
      z: [batch, rows, dim] First rows of the output.
      mask: [batch, length] bool, False at padding; tokens are contiguous.
      train: Whether to apply dropout.

    Returns:
      [batch, rows, dim]
    """
    config = self.config
    positions = jnp.arange(z.shape[1])[None]  # [1, rows]
    # The first True: padding may precede a text.
    start = jnp.argmax(mask, axis=1)[:, None]  # [batch, 1]
    end = start + jnp.sum(mask, axis=1, keepdims=True)
    first = (positions >= start) & (positions < start + config.prefix_positions)
    last = (positions >= end - config.suffix_positions) & (positions < end)
    out = z
    # All rows are edited, then selected: positions differ between examples.
    if config.has_prefix:
      edit = Edit(config, name='prefix')(z, train=train)
      out = jnp.where(first[:, :, None], edit, z)
    if not config.suffix_positions:
      return out
    if not config.tied_weights:
      edit = Edit(config, name='suffix')(z, train=train)
    return jnp.where(last[:, :, None], edit, out)


def orthonormal(matrix: jax.Array) -> jax.Array:
  """Returns orthonormal columns with the span of a matrix [dim, r].

  Orthonormal columns remain unchanged.
  """
  # Signs such that r has a diagonal >= 0 make the decomposition unique.
  q, r = jnp.linalg.qr(matrix.astype(jnp.float32))
  return q * jnp.where(jnp.diagonal(r) < 0, -1.0, 1.0)
