"""The Flax module of LoRA and DoRA; `lora` has its config."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from adapters_jax.layers import dropout
from adapters_jax.layers import parameters
from adapters_jax.methods import base
from adapters_jax.methods import gate as gate_lib


def magnitude(kernel: jax.Array) -> jax.Array:
  """Returns the norms [out] of the columns of a kernel [in, out]."""
  return jnp.linalg.norm(kernel.astype(jnp.float32), axis=0)


class LoRAUpdate(parameters.Module):
  """A low-rank update of the output of a linear layer.

  Attributes:
    config: The `lora.LoRA`.
  """
  config: Any

  @nn.compact
  def __call__(
      self, x: jax.Array, y: jax.Array, *, weights: Mapping[str, jax.Array],
      mask: jax.Array, shared: Any, train: bool,
  ) -> jax.Array:
    """Adapts the output of a linear layer.

    Args:
      x: [batch, length, in] Input of the layer.
      y: [batch, length, out] Output of the layer.
      weights: 'kernel' [in, out] and 'bias' [out] of the layer.
      mask: [batch, length] bool, False at padding.
      shared: Unused.
      train: Whether to apply dropout.

    Returns:
      [batch, length, out]
    """
    del shared
    config = self.config
    a_init, b_init = base.uniform_fan_in, nn.initializers.zeros
    if config.init == 'bert':
      a_init = b_init = nn.initializers.normal(0.02)
    a = self.param('a', a_init, (x.shape[-1], config.r))
    b = self.param('b', b_init, (config.r, y.shape[-1]))
    dropped = dropout.Dropout(config.dropout)(x, train=train)
    delta = (dropped @ a.astype(x.dtype)) @ b.astype(x.dtype)
    if config.use_gating:
      delta = delta * gate_lib.Gate(name='gating')(x, mask)
    else:
      delta = delta * config.scale
    if not config.dora:
      return y + delta
    # Starts at the base's norms, so that a fresh adapter changes nothing.
    learned = self.param('magnitude', lambda _: magnitude(weights['kernel']))
    ratio = learned / updated_norm(config, weights['kernel'], a, b)
    ratio = ratio.astype(y.dtype)
    if config.dora == 'adapters' or 'bias' not in weights:
      return ratio * (y + delta)
    # y includes the bias, which the paper's DoRA does not scale.
    bias = weights['bias'].astype(y.dtype)
    return ratio * (y - bias + delta) + bias


def updated_norm(
    config: Any, kernel: jax.Array, a: jax.Array, b: jax.Array
) -> jax.Array:
  """Returns the norms by which DoRA divides.

  Args:
    config: The `lora.LoRA`; its `dora` chooses the implementation.
    kernel: [in, out] Kernel of the base.
    a: [in, r] First factor.
    b: [r, out] Second factor.

  Returns:
    [out]
  """
  # The norm gives no gradient to the kernel, even where the kernel is trained.
  kernel = jax.lax.stop_gradient(kernel)
  if config.dora == 'adapters':
    return magnitude(kernel + a @ b)
  return jax.lax.stop_gradient(magnitude(kernel + config.scale * (a @ b)))
