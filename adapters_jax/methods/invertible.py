"""Invertible adapters at the embeddings (MAD-X, Pfeiffer et al., 2020)."""

import dataclasses
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from adapters_jax.layers import activations

from adapters_jax.methods import base


@dataclasses.dataclass(frozen=True)
class Invertible(base.Method):
  """NICE's coupling (Dinh et al., 2015) of the halves of an embedding.

  y1 = x1 + f(x2); y2 = x2 + g(y1), with two-layer networks f and g.

  Attributes:
    factor: Half the dim / width of the networks.
    activation: Of the networks, one of parts.ACTIVATIONS.
  """
  factor: float = 2
  activation: str = 'relu'

  kind: ClassVar[str] = 'embedding'

  def __post_init__(self):
    base.demand(self.factor > 0, 'factor', self.factor, 'more than 0')
    base.demand_choice('activation', self.activation, activations.ACTIVATIONS)

  def applies(self, site: str, layer: int) -> bool:
    """Returns whether this method has a module at that place."""
    return site == 'embedding'

  def make(self, name: str, layer: int) -> nn.Module:
    """Returns the module at the embeddings."""
    return Coupling(self, name=name)


class Network(nn.Module):
  """A bottleneck of as many outputs as inputs, without a residual."""
  config: Invertible

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Returns [..., half] of x [..., half]."""
    half = x.shape[-1]
    init = nn.initializers.normal(0.02)
    hidden = nn.Dense(
        max(1, int(half // self.config.factor)), name='down',
        kernel_init=init, dtype=x.dtype)(x)
    hidden = activations.ACTIVATIONS[self.config.activation](hidden)
    return nn.Dense(half, name='up', kernel_init=init, dtype=x.dtype)(hidden)


class Coupling(nn.Module):
  """The two couplings, forwards and backwards."""
  config: Invertible

  def setup(self):
    self.f = Network(self.config)
    self.g = Network(self.config)

  def __call__(
      self, x: jax.Array, mask: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Returns (y, mask) of embeddings x [batch, length, dim], dim even."""
    base.demand(
        x.shape[-1] % 2 == 0, 'invertible', x.shape[-1], 'an even width')
    first, second = jnp.split(x, 2, axis=-1)
    first = first + self.f(second)
    second = second + self.g(first)
    return jnp.concatenate([first, second], axis=-1), mask

  def inverse(self, y: jax.Array) -> jax.Array:
    """Returns the x that `__call__` made y of, both [batch, length, dim]."""
    first, second = jnp.split(y, 2, axis=-1)
    second = second - self.g(first)
    first = first - self.f(second)
    return jnp.concatenate([first, second], axis=-1)
