"""Base class of adapter methods, with their common gate and checks."""

from collections.abc import Callable, Iterable, Mapping
import dataclasses
from typing import Any
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.methods import codec
from adapters_jax.methods import places

LINEARS = places.LINEARS

# U(-1/sqrt(fan_in), 1/sqrt(fan_in)): He et al. (2015), slope sqrt(5).
uniform_fan_in = nn.initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')
# U(-sqrt(6/fan_in), sqrt(6/fan_in)): the same, slope 0.
uniform_he = nn.initializers.variance_scaling(2, 'fan_in', 'uniform')


@dataclasses.dataclass(frozen=True)
class Method(codec.Codec):
  """Interface of an adapter method: config, module and codec.

  A subclass is a frozen dataclass. Its fields are the config, `make` returns
  the module, and the attributes and methods of `codec.Codec` are the codec.

  Attributes:
    kind: Hook that calls the module: 'sublayer', 'linear', 'input',
      'key_value', 'layer' or 'embedding'; `model.sites` has the signatures.
    sites: Sites of a layer, or of the embeddings, with a module.
    layers: Layers with the method, None for all.
    leave_out: Layers without the method.
    needs_all_rows: Whether the update of one position depends on positions
      that the head does not read, so that the last layer must compute all.
    needs_whole_batch: Whether the update of one example in training depends on
      the rest of the batch, which then cannot be computed in parts.
    position_shift: Number by which the positions of a text increase.
    positions_taken: Number of the model's positions that texts cannot use.
    folds: Whether the method is a change of weights and biases, so that
      `fold` can put it into the base.
  """
  kind: ClassVar[str]
  # No annotations: these are defaults, not fields, until a subclass says so.
  sites = ()
  layers = None
  leave_out = ()
  needs_all_rows = False
  needs_whole_batch = False
  position_shift = 0
  positions_taken = 0
  folds = False

  def applies(self, site: str, layer: int) -> bool:
    """Returns whether the method has a module at a site of a layer.

    Args:
      site: One of `model.sites.SITES`, 'words' or 'embedding'.
      layer: Index of the layer; 0 for the embeddings.
    """
    return site in self.sites and self.in_layer(layer)

  def make(self, name: str, layer: int) -> nn.Module:
    """Returns the module of one site.

    Args:
      name: Name of the module in the parameter tree.
      layer: Index of the Transformer layer.
    """
    raise NotImplementedError

  def make_shared(self, name: str) -> nn.Module | None:
    """Returns the module of the arrays that all sites share, if any.

    Its `__call__(shape, train=...)` takes the encoder's BertConfig and returns
    the arrays; every module of `make` receives them as `shared`.
    """
    del name
    return None

  def in_layer(self, layer: int) -> bool:
    """Returns whether `layers` and `leave_out` keep a layer."""
    return layer not in self.leave_out and (
        self.layers is None or layer in self.layers)

  def absent(self, layers: int) -> list[int]:
    """Returns the layers without the method, of a model with `layers`."""
    return [n for n in range(layers) if not self.in_layer(n)]

  def moved(self, rows: np.ndarray) -> np.ndarray:
    """Returns the new indices of positions after the method inserts its own."""
    return rows

  def with_fields(self, **fields: Any) -> 'Method':
    """Returns the config with some fields changed."""
    return dataclasses.replace(self, **fields)

  def changes(self, start: 'Method') -> dict[str, Any]:
    """Returns the arguments of `start.with_fields` that give this config."""
    return {field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != getattr(start, field.name)}

  def initial_leaves(
      self, index: int, params: trees.Tree,
      tokenize: Callable[[str], Iterable[int]],
  ) -> trees.Tree:
    """Returns the leaves that start from a text instead of random numbers.

    Args:
      index: Index of the method among those of the model.
      params: Whole tree, initialised.
      tokenize: Returns the token ids of a text, [CLS] and [SEP] included.
    """
    del index, params, tokenize
    return {}

  def fold(
      self, kernel: jax.Array, bias: jax.Array,
      start: tuple[jax.Array, jax.Array], own: Mapping[str, jax.Array],
      shared: Mapping[str, jax.Array],
  ) -> tuple[jax.Array, jax.Array]:
    """Returns (kernel, bias) of a linear layer with the method in them.

    Args:
      kernel: [in, out] Kernel, with earlier methods of the adapter in it.
      bias: [out] Bias, the same.
      start: Kernel and bias of the base.
      own: Leaves of the method at this site.
      shared: Leaves that all its sites share.
    """
    raise NotImplementedError

  def to_products(
      self, leaves: Mapping[str, jax.Array]
  ) -> tuple['Method', dict[str, jax.Array]]:
    """Returns (method, leaves) with products instead of low-rank factors.

    Args:
      leaves: {path: leaf} of an adapter.

    Raises:
      errors.UserError: the update is no product of two factors.
    """
    del leaves
    raise errors.UserError(
        'a merge of products is for LoRA without a gate and magnitudes')

  def from_products(
      self, leaves: Mapping[str, jax.Array], rank: int
  ) -> tuple['Method', dict[str, jax.Array]]:
    """Returns (method, leaves) with the best factors of some rank.

    Args:
      leaves: {path: leaf} as `to_products` gives them.
      rank: Rank of the factors.

    Raises:
      errors.UserError: no kernel has that rank.
    """
    raise NotImplementedError


class Gate(nn.Module):
  """A number in (0, 1) for each example that weighs an update.

  UniPELT's gate (Mao et al., 2022, section 3.2): the mean over positions of a
  sigmoid. AdapterHub averages over padding too, so that its result depends on
  the batch; this one averages over tokens.
  """
  outputs: int = 1

  @nn.compact
  def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
    """Returns the gates.

    Args:
      x: [batch, length, dim] Hidden states.
      mask: [batch, length] bool, False at padding.

    Returns:
      [batch, 1, outputs]
    """
    gates = nn.sigmoid(nn.Dense(
        self.outputs, dtype=x.dtype, name='gate',
        kernel_init=nn.initializers.normal(0.02))(x))
    weights = mask[:, :, None].astype(x.dtype)
    # At least 1: an example of padding alone must not divide by zero.
    tokens = jnp.maximum(jnp.sum(weights, axis=1, keepdims=True), 1)
    return jnp.sum(gates * weights, axis=1, keepdims=True) / tokens


def demand(good: bool, name: str, value: Any, wanted: str) -> None:
  """Raises UserError about a config's field unless it is good.

  Args:
    good: Whether the value is allowed.
    name: Name of the field.
    value: Value of the field.
    wanted: Description of the allowed values, after 'give'.
  """
  if not good:
    raise errors.UserError(f'`{name}={value!r}`: give {wanted}')


def demand_choice(name: str, value: Any, choices: Iterable[Any]) -> None:
  """Raises UserError, with near matches, for a value that is not a choice.

  Args:
    name: Name of the field.
    value: Value of the field.
    choices: Allowed values.
  """
  choices = list(choices)
  if value not in choices:
    raise errors.unknown(f'`{name}`', str(value), [str(c) for c in choices])


def demand_sites(sites: Iterable[str], known: Iterable[str]) -> None:
  """Raises UserError for a site where a method cannot be."""
  for site in sites:
    demand_choice('sites', site, known)


def demand_rate(name: str, value: float) -> None:
  """Raises UserError for a number that is not a dropout rate."""
  demand(0 <= value < 1, name, value, 'a rate from 0 to below 1')
