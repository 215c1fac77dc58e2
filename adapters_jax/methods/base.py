"""What methods have in common: the base class, activations, gates, inits."""

from collections.abc import Iterable
import dataclasses
from typing import Any
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from adapters_jax import errors


# The linear layers of a Transformer layer, for methods of the kind 'linear'.
LINEARS = ('query', 'key', 'value', 'attention_output', 'intermediate',
           'ffn_output')

# U(-1/sqrt(fan_in), 1/sqrt(fan_in)), He et al.'s rule with a slope of sqrt(5).
uniform_fan_in = nn.initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')
# U(-sqrt(6/fan_in), sqrt(6/fan_in)), the same with a slope of 0.
uniform_he = nn.initializers.variance_scaling(2, 'fan_in', 'uniform')


class Method:
  """What `adapt` asks of a method's config, a frozen dataclass.

  Attributes:
    kind: The hook that calls the method: 'sublayer', 'linear', 'input',
      'key_value', 'layer' or 'embedding'; `adapt.Sites` has the signatures.
    needs_all_rows: Whether what it does to one position depends on positions
      that a head does not read, so that the last layer must compute all.
    position_shift: By how much it moves the positions of a text.
    positions_taken: How many of the model's positions it leaves less for texts.
    needs_whole_batch: Whether what it does to one example in training depends
      on the batch's others, so that a batch cannot be computed in parts.
  """
  kind: ClassVar[str]
  needs_all_rows = False
  position_shift = 0
  positions_taken = 0
  needs_whole_batch = False

  def applies(self, site: str, layer: int) -> bool:
    """Returns whether the method has a module at that place."""
    raise NotImplementedError

  def make(self, name: str, layer: int) -> nn.Module:
    """Returns the module of one site."""
    raise NotImplementedError

  def make_shared(self, name: str) -> nn.Module | None:
    """Returns the module of what all sites share, None if there is nothing.

    Its `__call__(shape, train=...)` takes the encoder's BertConfig and returns
    arrays, which every module of `make` gets as `shared`.
    """
    del name
    return None

  def moved(self, rows: np.ndarray) -> np.ndarray:
    """Returns where positions are once the method has inserted its own."""
    return rows

  def with_fields(self, **fields: Any) -> 'Method':
    """Returns the config with some fields changed."""
    return dataclasses.replace(self, **fields)


class Gate(nn.Module):
  """A number in (0, 1) for each example: how much of an update it takes.

  UniPELT's gate (Mao et al., 2022): the mean over positions of a sigmoid. The
  `adapters` library takes the mean over padding too, so that its result depends
  on the batch; here only tokens count.
  """
  outputs: int = 1

  @nn.compact
  def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
    """Returns [batch, 1, outputs] of x [batch, length, dim]."""
    gates = nn.sigmoid(nn.Dense(
        self.outputs, dtype=x.dtype, name='gate',
        kernel_init=nn.initializers.normal(0.02))(x))
    weights = mask[:, :, None].astype(x.dtype)
    tokens = jnp.maximum(jnp.sum(weights, axis=1, keepdims=True), 1)
    return jnp.sum(gates * weights, axis=1, keepdims=True) / tokens


def demand(good: bool, name: str, value: Any, wanted: str) -> None:
  """Raises UserError about a config's field unless it is good."""
  if not good:
    raise errors.UserError(f'{name}={value!r}: give {wanted}')


def demand_choice(name: str, value: Any, choices: Iterable[Any]) -> None:
  """Raises UserError, with near matches, for a value that is not a choice."""
  choices = list(choices)
  if value not in choices:
    raise errors.unknown(name, str(value), [str(c) for c in choices])


def demand_sites(sites: Iterable[str], known: Iterable[str]) -> None:
  """Raises UserError for a site that a method cannot be at."""
  for site in sites:
    demand_choice('sites', site, known)


def demand_rate(name: str, value: float) -> None:
  """Raises UserError for what is not a dropout rate."""
  demand(0 <= value < 1, name, value, 'a rate from 0 to below 1')
