"""The Flax module of bottleneck adapters; `bottleneck` has its config."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from adapters_jax.layers import activations
from adapters_jax.layers import batch_norm
from adapters_jax.layers import dropout
from adapters_jax.layers import parameters
from adapters_jax.methods import gate as gate_lib

_NORM_EPSILON = 1e-5  # For norms inside an adapter: torch's, as in AdapterHub.


def entry(
    config: Any, update: jax.Array, residual: jax.Array,
    norm: Callable[[jax.Array], jax.Array],
) -> tuple[jax.Array, jax.Array]:
  """Returns (input of the adapter, residual to which its output is added).

  Args:
    config: The `bottleneck.Bottleneck`.
    update: [batch, length, dim] Output of the sublayer.
    residual: [batch, length, dim] Input of the sublayer.
    norm: The sublayer's own layer norm.
  """
  if config.is_parallel:
    return residual, update
  skip = update
  if config.original_ln_before:
    update = update + residual
    if config.residual_before_ln == 'post_add':
      skip = update
    update = norm(update)  # Also in `Sites.sublayer`, with the same leaves.
  if config.residual_before_ln is False:
    skip = update
  return update, skip


class BottleneckAdapter(parameters.Module):
  """A bottleneck, y + up(activation(down(y))), initially near the identity.

  Attributes:
    config: The `bottleneck.Bottleneck`, or a config that derives from it.
    layer: Index of the Transformer layer, which may determine the width.
  """
  config: Any
  layer: int

  @nn.compact
  def __call__(
      self, update: jax.Array, *, residual: jax.Array,
      norm: Callable[[jax.Array], jax.Array], mask: jax.Array, shared: Any,
      train: bool, alone: bool = False,
  ) -> jax.Array:
    """Adapts a sublayer's output.

    Args:
      update: [batch, length, dim] Output of the sublayer before the residual
        sum and the norm; h in `Bottleneck`.
      residual: [batch, length, dim] Input of the sublayer; x in `Bottleneck`.
      norm: The sublayer's own layer norm.
      mask: [batch, length] bool, False at padding.
      shared: Arrays of `make_shared`, None without any.
      train: Whether to apply dropout.
      alone: Whether to return the addend to the residual, without the sum.

    Returns:
      [batch, length, dim] The output that replaces `update`.
    """
    config = self.config
    inputs, skip = entry(config, update, residual, norm)
    hidden = inputs
    if config.ln_before:
      hidden = self._norm('norm_before', hidden.dtype)(hidden)
    dim = inputs.shape[-1]
    for index in range(config.depth):
      suffix = f'_{index}' if index else ''  # At depth 1: 'down', as in files.
      hidden = config.project(  # [batch, length, size]
          hidden, config.width(dim, self.layer), f'down{suffix}', shared)
      hidden = self._inner_norm(hidden, f'inner_norm{suffix}', mask, train)
      hidden = activations.ACTIVATIONS[config.activation](hidden)
    out = config.project(hidden, dim, 'up', shared)  # [batch, length, dim]
    out = self._scale(out, train)
    if config.use_gating:
      out = out * gate_lib.Gate(name='gating')(inputs, mask)
    if config.multiplicative:
      out = out * update
    if not config.ln_after:
      return out if alone else skip + out
    close = self._norm('norm_after', out.dtype)
    if config.adapter_residual_before_ln:
      return close(skip + out)
    return close(out) if alone else skip + close(out)

  def _scale(self, out, train):
    """Applies scaling, stochastic depth and dropout, each if configured."""
    config = self.config
    if isinstance(config.scaling, str):
      shape = (1,) if config.scaling == 'learned' else out.shape[-1:]
      out = out * self.param(
          'scaling', nn.initializers.ones, shape).astype(out.dtype)
    elif config.scaling != 1:
      out = out * config.scaling
    if config.stochastic_depth:
      # One bit per example: dropout of whole updates.
      rows = jnp.ones((out.shape[0], 1, 1), out.dtype)
      out = out * dropout.Dropout(config.stochastic_depth)(rows, train=train)
    return dropout.Dropout(config.dropout)(out, train=train)

  def _inner_norm(self, hidden, name, mask, train):
    """Normalises the units of one layer, [batch, length, size]."""
    kind = self.config.inner_norm
    if kind == 'layer':
      return self._norm(name, hidden.dtype)(hidden)
    if kind == 'batch':
      module = batch_norm.BatchNorm(_NORM_EPSILON, name=name)
      return module(hidden, mask[:, :hidden.shape[1]], train=train)
    return hidden

  def _norm(self, name, dtype):
    return parameters.LayerNorm(
        epsilon=_NORM_EPSILON, dtype=dtype, name=name, use_fast_variance=False)
