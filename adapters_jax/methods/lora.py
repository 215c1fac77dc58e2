"""Low-rank updates: LoRA (Hu et al., 2022), rsLoRA and DoRA.

rsLoRA is of Kalajdzievski (2023), DoRA of Liu et al. (2024).
"""

from collections.abc import Mapping
import dataclasses
from typing import Any
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from adapters_jax.layers import dropout
from adapters_jax.methods import base

INITS = ('lora', 'bert')
DORA = ('', 'adapters', 'peft')


@dataclasses.dataclass(frozen=True)
class LoRA(base.Method):
  """y + scale * (x @ a @ b): a low-rank update of a linear layer.

  DoRA further rescales the columns of the updated kernel to a learned
  magnitude. Its two implementations differ: 'peft' follows the paper (the norm
  is of kernel + scale * a @ b, is a constant of the backward pass, and the bias
  is left alone), 'adapters' takes the norm of kernel + a @ b, differentiates
  it, and rescales the bias too.

  Attributes:
    r: Rank.
    alpha: scale is alpha / r.
    sites: Linear layers to adapt, of parts.LINEARS.
    leave_out: Layers not to adapt.
    dropout: Rate at x.
    init: 'lora', uniform a and zero b; 'bert', both normal with 0.02.
    rank_stabilized: Whether scale is alpha / sqrt(r).
    dora: '' for LoRA, 'adapters' or 'peft' for a DoRA.
    use_gating: Whether a learned gate takes the place of scale.
  """
  r: int = 8
  alpha: float = 8
  sites: tuple[str, ...] = ('query', 'value')
  leave_out: tuple[int, ...] = ()
  dropout: float = 0.0
  init: str = 'lora'
  rank_stabilized: bool = False
  dora: str = ''
  use_gating: bool = False

  kind: ClassVar[str] = 'linear'

  def __post_init__(self):
    base.demand(self.r >= 1, 'r', self.r, '1 or more')
    base.demand_sites(self.sites, base.LINEARS)
    base.demand_rate('dropout', self.dropout)
    base.demand_choice('init', self.init, INITS)
    base.demand_choice('dora', self.dora, DORA)

  @property
  def scale(self) -> float:
    """The factor of the update."""
    return self.alpha / (self.r**0.5 if self.rank_stabilized else self.r)

  @property
  def needs_all_rows(self) -> bool:
    return self.use_gating

  def applies(self, site: str, layer: int) -> bool:
    """Returns whether this method has a module at that place."""
    return site in self.sites and layer not in self.leave_out

  def make(self, name: str, layer: int) -> nn.Module:
    """Returns the module of one site."""
    del layer
    return LoRAUpdate(self, name=name)


def magnitude(kernel: jax.Array) -> jax.Array:
  """Returns [out], the norms of the columns of a kernel [in, out]."""
  return jnp.linalg.norm(kernel.astype(jnp.float32), axis=0)


class LoRAUpdate(nn.Module):
  """A low-rank update of the output of a linear layer."""
  config: LoRA

  @nn.compact
  def __call__(
      self, x: jax.Array, y: jax.Array, *, weights: Mapping[str, jax.Array],
      mask: jax.Array, shared: Any, train: bool,
  ) -> jax.Array:
    """Adapts the output of a linear layer.

    Args:
      x: [batch, length, in] What the layer reads.
      y: [batch, length, out] What it made of it.
      weights: Its 'kernel' [in, out] and 'bias' [out].
      mask: [batch, length] bool, False at padding.
      shared: Nothing.
      train: Whether to drop out.

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
      delta = delta * base.Gate(name='gating')(x, mask)
    else:
      delta = delta * config.scale
    if not config.dora:
      return y + delta
    learned = self.param('magnitude', lambda _: magnitude(weights['kernel']))
    ratio = learned / updated_norm(config, weights['kernel'], a, b)
    ratio = ratio.astype(y.dtype)
    if config.dora == 'adapters':
      return ratio * (y + delta)
    bias = weights['bias'].astype(y.dtype)
    return ratio * (y - bias + delta) + bias


def updated_norm(
    config: LoRA, kernel: jax.Array, a: jax.Array, b: jax.Array
) -> jax.Array:
  """Returns [out], the norms by which DoRA divides."""
  kernel = jax.lax.stop_gradient(kernel)
  if config.dora == 'adapters':
    return magnitude(kernel + a @ b)
  return jax.lax.stop_gradient(magnitude(kernel + config.scale * (a @ b)))
