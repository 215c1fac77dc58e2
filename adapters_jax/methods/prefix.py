"""Prefix tuning (Li and Liang, 2021): learned keys and values."""

import dataclasses
from typing import Any
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from adapters_jax.layers import activations
from adapters_jax.layers import dropout
from adapters_jax.methods import base
from adapters_jax import trees


@dataclasses.dataclass(frozen=True)
class PrefixTuning(base.Method):
  """Keys and values of learned positions, which every token attends to.

  Attributes:
    prefix_length: Learned positions.
    bottleneck_size: Width of the network that makes them.
    activation: Of that network, one of parts.ACTIVATIONS.
    flat: Whether they are parameters themselves, without a network.
    leave_out: Layers without a prefix.
    dropout: Rate at the keys and values.
    use_gating: Whether each example weighs them with a learned gate.
    shared_gating: Whether keys and values have one gate.
    shift_positions: Whether the text's positions begin after the prefix, as in
      PEFT; in the `adapters` library they begin at zero.
  """
  prefix_length: int = 30
  bottleneck_size: int = 512
  activation: str = 'tanh'
  flat: bool = False
  leave_out: tuple[int, ...] = ()
  dropout: float = 0.0
  use_gating: bool = False
  shared_gating: bool = True
  shift_positions: bool = False

  kind: ClassVar[str] = 'key_value'

  def __post_init__(self):
    base.demand(
        self.prefix_length >= 1, 'prefix_length', self.prefix_length,
        '1 or more')
    base.demand(
        self.bottleneck_size >= 1, 'bottleneck_size', self.bottleneck_size,
        '1 or more')
    base.demand_choice('activation', self.activation, activations.ACTIVATIONS)
    base.demand_rate('dropout', self.dropout)

  @property
  def position_shift(self) -> int:
    return self.prefix_length if self.shift_positions else 0

  @property
  def positions_taken(self) -> int:
    return self.position_shift

  def applies(self, site: str, layer: int) -> bool:
    """Returns whether this method has a module at that place."""
    return site == 'key_value' and layer not in self.leave_out

  def make(self, name: str, layer: int) -> nn.Module:
    """Returns the module of one site."""
    return Prepend(self, layer, name=name)

  def make_shared(self, name: str) -> nn.Module:
    """Returns the module that makes the prefixes of all layers."""
    return Pool(self, name=name)

  def prefixed(self, layers: int) -> list[int]:
    """Returns the layers that have a prefix, of so many."""
    return [n for n in range(layers) if n not in self.leave_out]


class Pool(nn.Module):
  """The keys and values of all layers."""
  config: PrefixTuning

  @nn.compact
  def __call__(self, shape: Any, *, train: bool) -> jax.Array:
    """Returns [prefixed layers, 2, prefix_length, dim], keys then values."""
    config = self.config
    count = len(config.prefixed(shape.layers))
    length, dim = config.prefix_length, shape.dim
    width = count * 2 * dim
    if config.flat:
      flat = self.param('prefix', nn.initializers.normal(1.0), (length, width))
    else:
      # Torch's initial values, of which the published results are made.
      embedding = self.param(
          'embedding', nn.initializers.normal(1.0), (length, dim))
      hidden = nn.Dense(
          config.bottleneck_size, kernel_init=base.uniform_fan_in,
          name='down')(embedding)
      hidden = activations.ACTIVATIONS[config.activation](hidden)
      flat = nn.Dense(
          width, kernel_init=base.uniform_fan_in, name='up')(hidden)
    flat = dropout.Dropout(config.dropout)(flat, train=train)
    return flat.reshape(length, count, 2, dim).transpose(1, 2, 0, 3)


class Prepend(nn.Module):
  """Puts a layer's prefix before its keys and values."""
  config: PrefixTuning
  layer: int

  @nn.compact
  def __call__(
      self, x: jax.Array, key: jax.Array, value: jax.Array, *,
      mask: jax.Array, shared: jax.Array, train: bool,
  ) -> tuple[jax.Array, jax.Array]:
    """Prepends the prefix.

    Args:
      x: [batch, length, dim] What the attention reads.
      key: [batch, positions, heads, head_dim]
      value: [batch, positions, heads, head_dim]
      mask: [batch, length] bool, False at padding.
      shared: What `Pool` made.
      train: Not looked at: the pool has dropped out.

    Returns:
      key and value with prefix_length + positions in place of positions.
    """
    del train
    config = self.config
    row = sum(n not in config.leave_out for n in range(self.layer))
    both = shared[row].astype(key.dtype)  # [2, prefix_length, dim]
    batch, _, heads, head_dim = key.shape
    both = both.reshape(2, 1, config.prefix_length, heads, head_dim)
    both = jnp.broadcast_to(both, (2, batch, *both.shape[2:]))
    if config.use_gating:
      outputs = 1 if config.shared_gating else 2
      gates = base.Gate(outputs, name='gating')(x, mask)
      gates = gates[:, :, None, :, None]  # [batch, 1, 1, outputs, 1]
      both = jnp.stack(
          [both[0] * gates[:, :, :, 0], both[1] * gates[:, :, :, -1]])
    return (jnp.concatenate([both[0], key], axis=1),
            jnp.concatenate([both[1], value], axis=1))


def eject(
    config: PrefixTuning, tree: trees.Tree, dim: int, layers: int, name: str
) -> tuple[PrefixTuning, trees.Tree]:
  """Returns (config, tree) with the network replaced by what it makes.

  Args:
    config: Of a prefix with a network.
    tree: A tuned or a whole tree.
    dim: Width of the hidden states.
    layers: Transformer layers.
    name: Of the pool in the tree's encoder, e.g. 'adapter_shared_0'.
  """
  if config.flat:
    return config, tree
  pool = Pool(config, name=None)
  shape = _Shape(dim, layers)
  made = pool.apply({'params': tree['encoder'][name]}, shape, train=False)
  count = made.shape[0]
  flat = made.transpose(2, 0, 1, 3).reshape(
      config.prefix_length, count * 2 * dim)
  encoder = {**tree['encoder'], name: {'prefix': flat}}
  return (dataclasses.replace(config, flat=True),
          {**tree, 'encoder': encoder})


@dataclasses.dataclass(frozen=True)
class _Shape:
  """What a pool reads of an encoder's config."""
  dim: int
  layers: int
