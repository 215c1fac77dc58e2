"""Base class of adapter methods, with their common checks."""

import abc
from collections.abc import Callable, Iterable, Mapping, Sequence
import dataclasses
from typing import Any
from typing import ClassVar
from typing import Self

import flax.linen as nn
import numpy as np

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.methods import changes
from adapters_jax.methods import codec
from adapters_jax.methods import places
from adapters_jax.methods import values

LINEARS = places.LINEARS

# U(-1/sqrt(fan_in), 1/sqrt(fan_in)): He et al. (2015), slope sqrt(5).
uniform_fan_in = nn.initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')
# U(-sqrt(6/fan_in), sqrt(6/fan_in)): the same, slope 0.
uniform_he = nn.initializers.variance_scaling(2, 'fan_in', 'uniform')


@dataclasses.dataclass(frozen=True)
class Method(codec.Codec, changes.Change, abc.ABC):
  """Interface of an adapter method: config, module and codec.

  A subclass is a frozen dataclass. Its fields are the config, `make` returns
  the module, and the members inherited from `codec.Codec` are the codec; those
  from `changes.Change` fold, merge and switch off trained leaves.

  Attributes:
    kind: Hook that calls the module, a key of `places.SITES_OF`; see
      `model.sites` for signatures.
    choices: {field: texts that it may be, or that its tuple may hold}.
    sites: Sites of a layer, or of the embeddings, with a module; from
      `places.SITES_OF[kind]`.
    layers: Layers with the method, None for all.
    leave_out: Layers without the method.
    needs_all_rows: Whether the update of one position depends on positions
      that the head does not read, so that the last layer must compute all.
    differs_by_layer: Whether modules of several layers differ in more than
      their parameters.
    needs_whole_batch: Whether the training update of one example depends on
      the rest of the batch, so that a batch cannot be computed in parts.
    position_shift: Number by which the positions of a text increase.
    positions_taken: Number of the model's positions that texts cannot use.
    invertible: Whether its module at the embeddings has an `inverse`.
    fuses: Whether AdapterFusion can mix the method's updates: a bottleneck
      with the fields that `bottleneck_module.entry` reads, whose module has the
      argument `alone`.
    reads_norms: Whether adapted sublayers always read their layer norm; if
      not, the model may lack its leaves.
    original_ln_before: Whether the module of a sublayer method reads the
      sublayer's own norm of update and residual.
    original_ln_after: Whether the sublayer's own sum and norm follow the module
      of a sublayer method; if not, its output is that of the sublayer.
    residual_before_ln: Residual that the module of a sublayer method adds, as
      for a bottleneck; True for a module that adds none.
    padding_width: Width to which zeros can be added without a change of the
      outputs; None for a method without such a width.
    training_fields: Fields that only training reads.
  """
  kind: ClassVar[str]
  choices: ClassVar[Mapping[str, Iterable[str]]] = {}
  # No annotations: class attributes, which a subclass may turn into fields.
  sites = ()
  layers = None
  leave_out = ()
  needs_all_rows = False
  differs_by_layer = False
  needs_whole_batch = False
  position_shift = 0
  positions_taken = 0
  invertible = False
  reads_norms = True
  fuses = False
  original_ln_before = False
  original_ln_after = True
  residual_before_ln = True
  padding_width = None
  training_fields: ClassVar[tuple[str, ...]] = ()

  def __post_init__(self):
    # A subclass calls it before the checks of its own.
    values.convert_fields(self)
    for name, allowed in self.choices.items():
      value = getattr(self, name)
      for one in value if isinstance(value, tuple) else (value,):
        if isinstance(one, str):  # Some fields also take numbers.
          demand_choice(name, one, allowed)
    # At another site nothing would call the module, so that a run would train
    # the head alone.
    kind = getattr(self, 'kind', '')
    demand_choice('kind', kind, places.SITES_OF)
    demand(isinstance(self.sites, tuple), 'sites', self.sites, 'a tuple')
    for site in self.sites:
      demand_choice('sites', site, places.SITES_OF[kind])

  def applies(self, site: str, layer: int) -> bool:
    """Returns whether the method has a module at a site of a layer.

    Args:
      site: One of `model.sites.SITES`, 'words' or 'embedding'.
      layer: Index of the layer; 0 for the embeddings.
    """
    return site in self.sites and self.in_layer(layer)

  @abc.abstractmethod
  def make(self, name: str, layer: int) -> nn.Module:
    """Returns the module of one site.

    Args:
      name: Name of the module in the parameter tree.
      layer: Index of the Transformer layer.
    """

  def make_shared(self, name: str) -> nn.Module | None:
    """Returns the module of the arrays that all sites share, if any.

    Its `__call__(shape, train=...)` takes the encoder's BertConfig and returns
    the arrays, which every module of `make` receives as `shared`.
    """
    del name
    return None

  def in_layer(self, layer: int) -> bool:
    """Returns whether `layers` and `leave_out` admit a layer."""
    return layer not in self.leave_out and (
        self.layers is None or layer in self.layers)

  def absent(self, layers: int) -> list[int]:
    """Returns the layers without the method, of a model with `layers`."""
    return [n for n in range(layers) if not self.in_layer(n)]

  @property
  def named_layers(self) -> dict[str, Sequence[int | str]]:
    """{field: layers that it names}, as numbers or texts."""
    return {'layers': self.layers or (), 'leave_out': self.leave_out}

  def moved(self, rows: np.ndarray) -> np.ndarray:
    """Returns the new indices of positions after the method inserts its own."""
    return rows

  def padded(self, width: int) -> 'Method':
    """Returns the method of another `padding_width`, with the same scale."""
    raise NotImplementedError

  def for_predictions(self, dim: int) -> Self:
    """Returns a method of equal predictions, without settings of training.

    Methods that differ in training alone give the same one. It reads the leaves
    of `leaf_for_predictions`.

    Args:
      dim: Width of the hidden states.
    """
    del dim
    return dataclasses.replace(self, **{
        field.name: field.default for field in dataclasses.fields(self)
        if field.name in self.training_fields})

  def leaf_for_predictions(self, path: str, leaf: Any) -> Any:
    """Returns a trained leaf as the method of `for_predictions` reads it.

    Args:
      path: Path of the leaf.
      leaf: Array, of numpy.
    """
    del path
    return leaf

  def with_fields(self, **fields: Any) -> 'Method':
    """Returns the config with some fields changed."""
    return dataclasses.replace(self, **fields)

  def changes(self, start: 'Method') -> dict[str, Any]:
    """Returns the arguments of `start.with_fields` that give this config."""
    # Fields only: `sites` may be a property or a class attribute.
    return {field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != getattr(start, field.name)}

  def initial_leaves(
      self, index: int, params: trees.Tree,
      tokenize: Callable[[str], Iterable[int]],
  ) -> trees.Tree:
    """Returns the leaves that start from a text instead of random numbers.

    Args:
      index: Index of the method in the model's configs.
      params: Whole tree, initialised.
      tokenize: (text) -> token ids, with [CLS] and [SEP].
    """
    del index, params, tokenize
    return {}


def are_methods(values: Iterable[Any]) -> bool:
  """Returns whether all values are configs of methods."""
  return all(isinstance(value, Method) for value in values)


def demand_methods(values: Any, name: str) -> tuple['Method', ...]:
  """Returns configs of methods as a tuple.

  Args:
    values: Value of a caller.
    name: Its name, for the message.

  Raises:
    errors.UserError: no tuple or list of configs.
  """
  if not isinstance(values, (tuple, list)) or not are_methods(values):
    raise errors.UserError(
        f'`{name}`: give a tuple of configs of methods, as `strings.parse` '
        f'makes of a text, not {values!r:.60}')
  return tuple(values)


def zeroed(
    leaves: Mapping[str, Any], start: str
) -> dict[str, Any] | None:
  """Zeroes the leaves whose path starts with a prefix.

  Args:
    leaves: {path: leaf}, of numpy.
    start: Prefix of paths.

  Returns:
    {path: leaf}, or None if there is no such path.
  """
  if not any(path.startswith(start) for path in leaves):
    return None
  return {path: np.zeros_like(leaf) if path.startswith(start) else leaf
          for path, leaf in leaves.items()}


def demand(good: bool, name: str, value: Any, wanted: str) -> None:
  """Checks a field of a config.

  Args:
    good: Whether the value is allowed.
    name: Name of the field.
    value: Value of the field.
    wanted: Description of the allowed values, to follow the word 'give'.

  Raises:
    errors.UserError: the value is not allowed.
  """
  if not good:
    raise errors.UserError(f'`{name}={value!r}`: give {wanted}')


def demand_choice(name: str, value: Any, choices: Iterable[Any]) -> None:
  """Checks that the value of a field is among the allowed ones.

  Args:
    name: Name of the field.
    value: Value of the field.
    choices: Allowed values.

  Raises:
    errors.UserError: the value is not allowed; the message suggests near ones.
  """
  choices = list(choices)
  if value not in choices:
    raise errors.unknown(f'`{name}`', str(value), [str(c) for c in choices])


def demand_rate(name: str, value: float) -> None:
  """Checks a dropout rate.

  Args:
    name: Name of the field.
    value: Value of the field.

  Raises:
    errors.UserError: the value is not in [0, 1).
  """
  # 1 is excluded: dropout divides by 1 - rate.
  demand(0 <= value < 1, name, value, 'a rate from 0 to below 1')
