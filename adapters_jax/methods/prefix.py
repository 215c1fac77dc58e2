"""Prefix tuning (Li and Liang, 2021): learned keys and values."""

from collections.abc import Mapping
import dataclasses
from typing import Any
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from adapters_jax import errors
from adapters_jax.layers import activations
from adapters_jax.layers import dropout
from adapters_jax.layers import parameters
from adapters_jax.methods import base
from adapters_jax.methods import codec
from adapters_jax.methods import values as values_lib
from adapters_jax.methods import gate as gate_lib


@dataclasses.dataclass(frozen=True)
class PrefixTuning(base.Method):
  """Learned keys and values to which every token attends.

  Attributes:
    prefix_length: Number of learned positions.
    bottleneck_size: Width of the network that computes keys and values.
    activation: Activation of the network, a name in layers.activations.
    flat: Whether keys and values are parameters, without a network.
    leave_out: Layers without a prefix.
    dropout: Dropout rate of keys and values.
    use_gating: Whether a learned gate weighs them for each example.
    shared_gating: Whether keys and values share one gate.
    shift_positions: Whether the text's positions begin after the prefix, as in
      PEFT, instead of at zero, as in AdapterHub.
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
  choices = {'activation': activations.ACTIVATIONS}
  training_fields = ('dropout',)
  sites = ('key_value',)
  differs_by_layer = True  # Each takes its part of the pool.
  adapterhub_architecture = 'prefix_tuning'
  adapterhub_fields = (
      'prefix_length', 'bottleneck_size', 'flat', 'dropout', 'use_gating',
      'shared_gating')
  adapterhub_words = {'non_linearity': 'activation'}
  adapterhub_fixed = {
      'encoder_prefix': (True, 'BERT is an encoder'),
      'cross_prefix': (True, 'BERT has no cross-attention')}
  adapterhub_stem = '{module}.prefix_tuning.prefix_gates.{name}'
  adapterhub_shared = 'prefix_tuning.prefix_tunings.{name}.self_prefix'
  adapterhub_names = (
      (r'^gating/gate/', ''), (r'^embedding$', 'wte.weight'),
      (r'^prefix$', 'control_trans'), (r'^down/', 'control_trans.0.'),
      (r'^up/', 'control_trans.2.'))
  adapterhub_layouts = {'prefix': 'flat'}
  peft_types = ('PREFIX_TUNING',)
  peft_names = {'prefix': 'prompt_embeddings'}

  def __post_init__(self):
    super().__post_init__()
    base.demand(
        self.prefix_length >= 1, 'prefix_length', self.prefix_length,
        '1 or more')
    base.demand(
        self.bottleneck_size >= 1, 'bottleneck_size', self.bottleneck_size,
        '1 or more')
    base.demand_rate('dropout', self.dropout)

  @property
  def position_shift(self) -> int:
    return self.prefix_length if self.shift_positions else 0

  @property
  def positions_taken(self) -> int:
    return self.position_shift

  def make(self, name: str, layer: int) -> nn.Module:
    """Returns the module of one site.

    Args:
      name: Name of the module in the parameter tree.
      layer: Index of the layer, which selects its part of the pool.
    """
    return Prepend(self, layer, name=name)

  def make_shared(self, name: str) -> nn.Module:
    """Returns the module that computes the prefixes of all layers."""
    return Pool(self, name=name)

  def to_adapterhub(self, shape: Any) -> dict[str, Any]:
    """Returns the config of AdapterHub."""
    if self.shift_positions:
      raise errors.UserError(
          '`shift_positions`: the adapters library has no such prefix; train '
          'with shift_positions=False for it, or give `format=peft`')
    return {**super().to_adapterhub(shape), 'encoder_prefix': True,
            'cross_prefix': True}

  def adapterhub_copies(self, key: str) -> bool:
    """Returns whether a tensor is one of the layers' copies of the pool."""
    return '.prefix_tuning.pool.' in key

  @classmethod
  def from_peft(
      cls, values: Mapping[str, Any], sites: Any, layers: int
  ) -> list['PrefixTuning']:
    """Returns the method of PEFT's config.

    Args:
      values: Config as JSON has it.
      sites: Unused.
      layers: Unused.
    """
    del sites, layers
    # Flat in any case: PEFT stores the output of a network, not its weights.
    return [cls(values_lib.needed(values, 'num_virtual_tokens'), flat=True,
                shift_positions=True)]

  def to_peft(self, shape: Any) -> dict[str, Any]:
    """Returns PEFT's options."""
    if (not self.flat or not self.shift_positions or self.use_gating
        or self.leave_out):
      return super().to_peft(shape)  # Raises UserError.
    return {**codec.prompt_entries(shape), 'peft_type': 'PREFIX_TUNING',
            'num_virtual_tokens': self.prefix_length,
            'prefix_projection': False, 'encoder_hidden_size': shape.dim}


class Pool(parameters.Module):
  """Keys and values of all layers."""
  config: PrefixTuning

  @nn.compact
  def __call__(self, shape: Any, *, train: bool) -> jax.Array:
    """Computes the prefixes.

    Args:
      shape: The encoder's BertConfig.
      train: Unused: each layer drops entries of its own, for each example.

    Returns:
      [prefixed layers, 2, prefix_length, dim] Keys, then values.
    """
    del train
    config = self.config
    count = shape.layers - len(config.absent(shape.layers))
    length, dim = config.prefix_length, shape.dim
    if not count:  # No leaves either: there may be other methods.
      return jnp.zeros((0, 2, length, dim))
    width = count * 2 * dim
    if config.flat:
      flat = self.param('prefix', nn.initializers.normal(1.0), (length, width))
    else:
      # Kernels start as torch's do, as in the published results; biases at 0.
      embedding = self.param(
          'embedding', nn.initializers.normal(1.0), (length, dim))
      hidden = parameters.Dense(
          config.bottleneck_size, kernel_init=base.uniform_fan_in,
          name='down')(embedding)
      hidden = activations.ACTIVATIONS[config.activation](hidden)
      flat = parameters.Dense(
          width, kernel_init=base.uniform_fan_in, name='up')(hidden)
    return flat.reshape(length, count, 2, dim).transpose(1, 2, 0, 3)


class Prepend(nn.Module):
  """Insertion of a layer's prefix before its keys and values."""
  config: PrefixTuning
  layer: int

  @nn.compact
  def __call__(
      self, x: jax.Array, key: jax.Array, value: jax.Array, *,
      mask: jax.Array, shared: jax.Array, train: bool,
  ) -> tuple[jax.Array, jax.Array]:
    """Prepends the prefix.

    Args:
      x: [batch, length, dim] Input of the attention.
      key: [batch, positions, heads, head_dim]
      value: [batch, positions, heads, head_dim]
      mask: [batch, length] bool, False at padding.
      shared: [prefixed layers, 2, prefix_length, dim] Output of `Pool`.
      train: Whether to apply dropout.

    Returns:
      (key, value), with prefix_length + positions instead of positions.
    """
    config = self.config
    # The pool has rows only for layers with a prefix: skip those below.
    row = self.layer - len(config.absent(self.layer))
    both = shared[row].astype(key.dtype)  # [2, prefix_length, dim]
    batch, _, heads, head_dim = key.shape
    both = both.reshape(2, 1, config.prefix_length, heads, head_dim)
    # [2, batch, prefix_length, heads, head_dim]
    both = jnp.broadcast_to(both, (2, batch, *both.shape[2:]))
    both = dropout.Dropout(config.dropout)(both, train=train)
    if config.use_gating:
      outputs = 1 if config.shared_gating else 2
      gates = gate_lib.Gate(outputs, name='gating')(x, mask)
      gates = gates[:, :, None, :, None]  # [batch, 1, 1, outputs, 1]
      # Index -1 is 0 for a shared gate.
      both = jnp.stack(
          [both[0] * gates[:, :, :, 0], both[1] * gates[:, :, :, -1]])
    return (jnp.concatenate([both[0], key], axis=1),
            jnp.concatenate([both[1], value], axis=1))
