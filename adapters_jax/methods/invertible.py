"""Invertible adapters at the embeddings (MAD-X, Pfeiffer et al., 2020)."""

from collections.abc import Iterable
import dataclasses
from typing import Any
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from adapters_jax import errors
from adapters_jax.layers import activations
from adapters_jax.layers import parameters
from adapters_jax.methods import base
from adapters_jax.methods import values as values_lib


@dataclasses.dataclass(frozen=True)
class Invertible(base.Method):
  """NICE's coupling (Dinh et al., 2015) of the halves of an embedding.

  y1 = x1 + f(x2); y2 = x2 + g(y1), with two-layer networks f and g. AdapterHub
  has no config of its own for the method: two entries of a bottleneck's config
  stand for it, and the bottleneck's activation applies.

  Attributes:
    factor: Half the width of the embedding / width of the networks.
    activation: Activation of the networks, a name in layers.activations.
  """
  factor: float = 2
  activation: str = 'relu'

  kind: ClassVar[str] = 'embedding'
  choices = {'activation': activations.ACTIVATIONS}
  invertible = True
  sites = ('embedding',)
  adapterhub_words = {'non_linearity': 'activation',
                      'inv_adapter_reduction_factor': 'factor'}
  adapterhub_fixed = {
      'inv_adapter': ('nice', 'NICE is the only one supported')}
  adapterhub_shared = adapterhub_stem = 'invertible_adapters.{name}'
  # Index 1 of torch's Sequential is the activation.
  adapterhub_names = (
      (r'^f/', 'F.'), (r'^g/', 'G.'), (r'\bdown/', '0.'), (r'\bup/', '2.'))

  def __post_init__(self):
    super().__post_init__()
    base.demand(self.factor > 0, 'factor', self.factor, 'more than 0')

  def make(self, name: str, layer: int) -> nn.Module:
    """Returns the module at the embeddings.

    Args:
      name: Name of the module in the parameter tree.
      layer: Unused.
    """
    del layer
    return Coupling(self, name=name)

  @classmethod
  def reads_adapterhub(cls, values: dict[str, Any]) -> bool:
    """Returns whether a config of AdapterHub has an invertible adapter."""
    return (values.get('architecture') is None
            and values.get('inv_adapter') is not None)

  @classmethod
  def from_adapterhub(
      cls, values: dict[str, Any], version: str
  ) -> 'Invertible':
    """Returns the method of a bottleneck's config of AdapterHub.

    Args:
      values: Config as JSON has it.
      version: Version of the library that wrote it, '' if unknown.

    Raises:
      errors.UserError: a coupling other than NICE, or a missing entry.
    """
    if values['inv_adapter'] != 'nice':
      # AdapterHub's other coupling, GLOW, fails in its own forward pass.
      raise errors.unknown('`inv_adapter`', values['inv_adapter'], ('nice',))
    return cls(
        values_lib.needed(values, 'inv_adapter_reduction_factor'),
        values_lib.activation(
            values_lib.needed(values, 'non_linearity'), version))

  def to_adapterhub(self, shape: Any) -> None:
    """Returns None, since a bottleneck's config includes the method."""
    del shape

  def complete_adapterhub(self, written: Iterable[dict[str, Any]]) -> None:
    """Adds the entries to the first bottleneck without an invertible adapter.

    Args:
      written: AdapterHub's configs of the other methods, modified in place.

    Raises:
      errors.UserError: there is no bottleneck, or its activation differs.
    """
    for values in written:
      # Only bottlenecks have the entry; None marks it as free.
      if values.get('inv_adapter', '') is None:
        word = values_lib.activation_word(self.activation)
        if values['non_linearity'] != word:
          raise errors.UserError(
              '`activation`: an invertible adapter of the adapters library has '
              'the activation of its bottleneck')
        values.update(inv_adapter='nice',
                      inv_adapter_reduction_factor=self.factor)
        return
    raise errors.UserError(
        'invertible: the adapters library has it together with a bottleneck '
        'only')


class Network(nn.Module):
  """Two linear layers with a bottleneck between them, without a residual."""
  config: Invertible

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps x [..., half] to [..., half]."""
    half = x.shape[-1]
    init = nn.initializers.normal(0.02)
    hidden = parameters.Dense(
        max(1, int(half // self.config.factor)), name='down',
        kernel_init=init, dtype=x.dtype)(x)
    hidden = activations.ACTIVATIONS[self.config.activation](hidden)
    return parameters.Dense(
        half, name='up', kernel_init=init, dtype=x.dtype)(hidden)


class Coupling(nn.Module):
  """The two couplings and their inverse."""
  config: Invertible

  # Not compact: two methods share the networks.
  def setup(self):
    self.f = Network(self.config)
    self.g = Network(self.config)

  def __call__(
      self, x: jax.Array, mask: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Applies both couplings.

    Args:
      x: [batch, length, dim] Embeddings of an even width.
      mask: [batch, length] bool, False at padding.

    Returns:
      ([batch, length, dim], mask)
    """
    base.demand(
        x.shape[-1] % 2 == 0, 'invertible', x.shape[-1], 'an even width')
    first, second = jnp.split(x, 2, axis=-1)  # [batch, length, dim / 2]
    first = first + self.f(second)
    second = second + self.g(first)
    return jnp.concatenate([first, second], axis=-1), mask

  def inverse(self, y: jax.Array) -> jax.Array:
    """Inverts `__call__`: returns x from y, both [batch, length, dim]."""
    first, second = jnp.split(y, 2, axis=-1)
    # In reverse order: `g` read the first half after its update.
    second = second - self.g(first)
    first = first - self.f(second)
    return jnp.concatenate([first, second], axis=-1)
