"""Interface of a codec: the form of a method in AdapterHub and PEFT.

AdapterHub stands for the strings and files of the `adapters` library 1.3.0,
PEFT for the files of `peft` 0.21.2. A method's class fills in the tables and
overrides methods where the tables do not suffice; `adapters.formats` loop over
the classes.
"""

from collections.abc import Callable, Iterable, Mapping
import dataclasses
import re
from typing import Any
from typing import ClassVar

import numpy as np

from adapters_jax import errors
from adapters_jax.methods import places
from adapters_jax.methods import values as values_lib

# Words of every AdapterHub config that stand for no field of a method.
_FIXED = {
    'init_weights_seed': (None, 'the seed of a run covers all random draws'),
    'dtype': (None, 'the precision of a run covers the whole computation')}
# Renames of leaves for all methods, applied after the method's own.
_NAMES = (
    (r'^gating/gate/', 'gate.'),
    (r'\b(kernel|scale)$', 'weight'),
    (r'/', '.'),
)


class Codec:
  """Names of a method in other libraries; the defaults stand for no name.

  Attributes:
    adapterhub_architecture: Value of 'architecture' in AdapterHub's configs;
      None is the bottleneck's, '' stands for no such method.
    adapterhub_fields: Fields with the same name and values in those configs.
    adapterhub_words: {AdapterHub's entry: field of the method} where names
      differ. Only 'non_linearity' occurs in configs, and has other values; the
      rest occur in method strings.
    adapterhub_switches: {AdapterHub's entry: sites that it turns on}.
    adapterhub_fixed: {word: (the only supported value, advice)} of entries
      without a field.
    adapterhub_start: {field: value} that a config without the entry implies, if
      it is not the default.
    adapterhub_stem: Template of the tensors' names, of `module` and `name`.
    adapterhub_shared: The same for leaves that all sites share.
    adapterhub_names: (pattern, replacement) pairs, applied in order to the
      path of a leaf below its module.
    adapterhub_layouts: {last part of a leaf's path: layout of `places`};
      kernels are always transposed, [in, out] to (out, in).
    peft_types: Values of 'peft_type' that stand for this method.
    peft_names: {last part of a leaf's path: end of its name in PEFT}.
    peft_layouts: {last part of a leaf's path: layout of `places`}.
    peft_targets: Entries of PEFT's config that list the adapted modules.
  """
  adapterhub_architecture: ClassVar[str | None] = ''
  adapterhub_fields: ClassVar[tuple[str, ...]] = ()
  adapterhub_words: ClassVar[Mapping[str, str]] = {}
  adapterhub_switches: ClassVar[Mapping[str, tuple[str, ...]]] = {}
  adapterhub_fixed: ClassVar[Mapping[str, tuple[Any, str]]] = {}
  adapterhub_start: ClassVar[Mapping[str, Any]] = {}
  adapterhub_stem: ClassVar[str] = ''
  adapterhub_shared: ClassVar[str] = 'shared_parameters.{name}'
  adapterhub_names: ClassVar[tuple[tuple[str, str], ...]] = ()
  adapterhub_layouts: ClassVar[Mapping[str, str]] = {}
  peft_types: ClassVar[tuple[str, ...]] = ()
  peft_names: ClassVar[Mapping[str, str]] = {}
  peft_layouts: ClassVar[Mapping[str, str]] = {}
  peft_targets: ClassVar[tuple[str, ...]] = ('target_modules',)

  # For type checkers: members of the methods that the code below reads.
  sites: tuple[str, ...]
  activation: str
  absent: Callable[[int], list[int]]

  def words(self) -> set[str]:
    """Returns the words that set a field: its own name and AdapterHub's."""
    return {*names_of(self), *self.adapterhub_words, *self.adapterhub_switches}

  def fixed_words(self) -> dict[str, tuple[Any, str]]:
    """Returns {word: (the only supported value, advice)}."""
    return {**_FIXED, **self.adapterhub_fixed}

  def from_words(self, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns {field: value} from {word: value}, before type conversion."""
    fields = dict(values)
    for word, field in self.adapterhub_words.items():
      if word in fields:
        value = fields.pop(word)
        fields[field] = (values_lib.activation(value)
                         if word == 'non_linearity' else value)
    if fields.get('layers') == 'all':  # AdapterHub's word in ReFT configs.
      fields['layers'] = None
    return values_lib.switched(fields, self.adapterhub_switches, self.sites)

  def effective(self, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of a file, with defaults for those without effect.

    Args:
      fields: {field: value} of a file, which may hold values that the method
        refuses because they change nothing.
    """
    return dict(fields)

  def unused(self, path: str) -> bool:
    """Returns whether earlier versions saved a leaf that nothing reads.

    Args:
      path: Path of a leaf of the method.
    """
    del path
    return False

  @classmethod
  def reads_adapterhub(cls, values: Mapping[str, Any]) -> bool:
    """Returns whether a config of AdapterHub contains this method."""
    return values.get('architecture') == cls.adapterhub_architecture

  @classmethod
  def from_adapterhub(cls, values: Mapping[str, Any], version: str) -> Any:
    """Returns the method of a config of AdapterHub.

    Args:
      values: Config as JSON has it.
      version: Version of the library that wrote it, '' if unknown.
    """
    fields = dict(cls.adapterhub_start)
    if 'non_linearity' in cls.adapterhub_words and 'non_linearity' in values:
      fields['activation'] = values_lib.activation(
          values['non_linearity'], version)
    if values.get('leave_out') and 'leave_out' in names_of(cls):
      fields['leave_out'] = values_lib.converted(
          values['leave_out'], tuple[int, ...], '`leave_out`')
    # All at once, since the checks of a config relate fields to one another.
    return values_lib.copied(cls(**fields), values, cls.adapterhub_fields)

  def to_adapterhub(self, shape: Any) -> dict[str, Any] | None:
    """Returns the config of AdapterHub, None if another method's includes it.

    Args:
      shape: The encoder's BertConfig.

    Raises:
      errors.UserError: AdapterHub has no such method.
    """
    if self.adapterhub_architecture == '':
      raise errors.UserError(
          f'{type(self).__name__}: the adapters library has no such method')
    entries = {name: getattr(self, name) for name in self.adapterhub_fields}
    if self.adapterhub_architecture is not None:
      entries['architecture'] = self.adapterhub_architecture
    if 'non_linearity' in self.adapterhub_words:
      entries['non_linearity'] = values_lib.activation_word(self.activation)
    for switch, sites in self.adapterhub_switches.items():
      entries[switch] = bool(set(sites) & set(self.sites))
    # AdapterHub has no `layers`, so the layers outside it are left out too.
    if 'leave_out' in names_of(self):
      entries['leave_out'] = self.absent(shape.layers)
    return {**entries, 'init_weights_seed': None}

  def complete_adapterhub(self, written: Iterable[dict[str, Any]]) -> None:
    """Adds this method to the configs of the other methods."""

  def adapterhub_key(self, where: places.Place, name: str) -> str:
    """Returns the name of a leaf's tensor, without the family's prefix.

    Args:
      where: Place of the leaf, with its module.
      name: Name of the adapter in the file.
    """
    leaf = where.leaf
    for pattern, replacement in (*self.adapterhub_names, *_NAMES):
      leaf = re.sub(pattern, replacement, leaf)
    stem = (self.adapterhub_shared if where.site == 'shared'
            else self.adapterhub_stem)
    return f'{stem.format(module=where.module, name=name)}.{leaf}'

  def adapterhub_copies(self, key: str) -> bool:
    """Returns whether a tensor is unused or repeats another one."""
    del key
    return False

  def to_adapterhub_tensors(
      self, where: places.Place, key: str, value: np.ndarray
  ) -> dict[str, np.ndarray]:
    """Returns the tensors that hold a leaf, several for a parametrization.

    Args:
      where: Place of the leaf.
      key: Name of its tensor.
      value: The leaf.
    """
    return {key: places.to_layout(self._layout(where), value)}

  def from_adapterhub_tensors(
      self, where: places.Place, key: str, shape: tuple[int, ...],
      read: Callable[[str], np.ndarray],
  ) -> np.ndarray:
    """Returns a leaf from its tensor.

    Args:
      where: Place of the leaf.
      key: Name of its tensor.
      shape: Shape of the leaf.
      read: Returns a tensor by name, or raises KeyError.
    """
    return places.from_layout(self._layout(where), read(key), shape)

  def _layout(self, where):
    # torch's linear layers keep weights as (out, in).
    layouts = {'kernel': 'transposed', **self.adapterhub_layouts}
    return layouts.get(where.name)

  def adapterhub_on_padding(self) -> str:
    """Returns how AdapterHub's result depends on padding, '' if it does not."""
    if not getattr(self, 'use_gating', False):
      return ''
    return ('`adapters` averages gates over padding too: outputs there are '
            'those of this package for batches without padding alone')

  def adapterhub_notes(self) -> list[str]:
    """Returns warnings for users who load the file with AdapterHub."""
    return list(filter(None, [self.adapterhub_on_padding()]))

  @classmethod
  def from_peft(
      cls, values: Mapping[str, Any],
      sites: Mapping[tuple[int, str], Mapping[str, np.ndarray]], layers: int,
  ) -> list[Any]:
    """Returns the methods of an adapter_config.json of PEFT, [] by default.

    Args:
      values: Config as JSON has it.
      sites: {(layer, site): {end of a name: tensor}} of the linear layers.
      layers: Number of the model's layers.
    """
    del values, sites, layers
    return []

  def to_peft(self, shape: Any) -> dict[str, Any]:
    """Returns the entries of an adapter_config.json except the module names.

    Args:
      shape: The encoder's BertConfig.

    Raises:
      errors.UserError: PEFT has no such method.
    """
    del shape
    raise errors.UserError(
        f'{type(self).__name__}: PEFT has none like it; it has LoRA, DoRA, '
        'VeRA, IA3, prompt_tuning[combine=words] and '
        'prefix_tuning_flat[shift_positions=True], in all layers and without '
        'gates')

  def to_peft_tensor(
      self, where: places.Place, value: np.ndarray
  ) -> np.ndarray:
    """Returns a leaf as PEFT stores it.

    Args:
      where: Place of the leaf.
      value: The leaf.
    """
    return places.to_layout(self.peft_layouts.get(where.name), value)

  def from_peft_tensor(
      self, where: places.Place, tensor: np.ndarray, shape: tuple[int, ...]
  ) -> np.ndarray:
    """Returns a leaf from PEFT's tensor.

    Args:
      where: Place of the leaf.
      tensor: The stored tensor.
      shape: Shape of the leaf.
    """
    return places.from_layout(self.peft_layouts.get(where.name), tensor, shape)


def names_of(method: Any) -> set[str]:
  """Returns the names of a method's fields."""
  return {field.name for field in dataclasses.fields(method)}


def prompt_entries(shape: Any) -> dict[str, Any]:
  """Returns the entries of PEFT's config that prompts and prefixes share."""
  return {'num_layers': shape.layers, 'num_attention_heads': shape.heads,
          'token_dim': shape.dim, 'num_transformer_submodules': 1}
