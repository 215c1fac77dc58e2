"""Base class of methods that adapt linear layers: LoRA, IA3 and VeRA.

AdapterHub has one config for all three, with the architecture 'lora'. PEFT has
a type for each, and names the adapted modules by regular expressions. Readers
infer the modules from the tensors, and never interpret the expressions.
"""

import abc
from collections.abc import Mapping
import dataclasses
from typing import Any
from typing import ClassVar

from adapters_jax import errors
from adapters_jax.methods import base

MATRICES = {'q': 'query', 'k': 'key', 'v': 'value'}


class LinearMethod(base.Method):
  """A method of linear layers, with fields `sites` and `leave_out`."""
  use_gating = False

  kind: ClassVar[str] = 'linear'
  adapterhub_architecture = 'lora'
  adapterhub_switches = {
      'selfattn_lora': tuple(MATRICES.values()),
      'intermediate_lora': ('intermediate',), 'output_lora': ('ffn_output',)}
  adapterhub_stem = '{module}.loras.{name}'

  @property
  def needs_all_rows(self) -> bool:
    return self.use_gating  # A gate averages over all tokens.

  @property
  def folds(self) -> bool:
    return not self.use_gating  # A gate depends on the text.

  def words(self) -> set[str]:
    """Returns the words that set a field: its own name and AdapterHub's."""
    return super().words() | (
        {'attn_matrices'} if self.adapterhub_switches else set())

  def from_words(self, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns {field: value} from {word: value}."""
    values = dict(values)
    if 'attn_matrices' in values:
      letters = values.pop('attn_matrices')
      base.demand(isinstance(letters, (list, tuple)), 'attn_matrices', letters,
                  'a list')
      chosen = set(values.get('sites', self.sites)) - set(MATRICES.values())
      chosen |= {_matrix(letter) for letter in letters}
      # In one order, so that configs with the same sites are equal.
      values['sites'] = tuple(s for s in base.LINEARS if s in chosen)
    return super().from_words(values)

  @classmethod
  def from_adapterhub(cls, values: Mapping[str, Any], version: str) -> Any:
    """Returns the method of a config of AdapterHub.

    Args:
      values: Config as JSON has it.
      version: Version of the library that wrote it, '' if unknown.
    """
    sites = [site for switch, (site, *more) in cls.adapterhub_switches.items()
             if not more and values.get(switch)]
    # This switch has several sites, among which 'attn_matrices' chooses.
    if values.get('selfattn_lora', True):
      letters = values.get('attn_matrices', ('q', 'v'))
      sites = [*map(_matrix, letters), *sites]
    if _ignored_alpha(version):  # As if the scale were 1.
      values = {**values, 'alpha': values.get('r', 8)}
    return dataclasses.replace(
        super().from_adapterhub(values, version), sites=tuple(sites))

  def to_adapterhub(self, shape: Any) -> dict[str, Any]:
    """Returns the config of AdapterHub; subclasses change some entries."""
    if 'attention_output' in self.sites:
      raise errors.UserError(
          '`sites`: the adapters library has no such method at '
          'attention_output')
    return {
        'r': 1, 'dropout': 0.0, 'composition_mode': 'add', 'use_dora': False,
        'vera_d': None, 'vera_b': None, 'dtype': None,
        **super().to_adapterhub(shape),
        'attn_matrices': [letter for letter, site in MATRICES.items()
                          if site in self.sites]}

  @classmethod
  def from_peft(cls, values: Any, sites: Any, layers: int) -> list[Any]:
    """Returns one method for each set of layers with the same sites.

    Args:
      values: Config as JSON has it.
      sites: {(layer, site): {end of a name: tensor}} of the linear layers.
      layers: Number of the model's layers.
    """
    start, places = cls.peft_options(values), {}
    for site in base.LINEARS:
      chosen = tuple(n for n in range(layers) if (n, site) in sites
                     and cls.in_peft(sites[n, site]))
      if chosen:
        places.setdefault(chosen, []).append(site)
    return [start.with_fields(
        sites=tuple(found),
        leave_out=tuple(n for n in range(layers) if n not in chosen))
            for chosen, found in sorted(places.items())]

  @classmethod
  @abc.abstractmethod
  def peft_options(cls, values: Any) -> Any:
    """Returns the method of PEFT's options, with the default sites."""

  @classmethod
  def in_peft(cls, tensors: Mapping[str, Any]) -> bool:
    """Returns whether this class is the method at a site; IA3 has two classes.

    Args:
      tensors: {end of a name: tensor} of the site in one layer.
    """
    del tensors
    return True

  def to_peft(self, shape: Any) -> dict[str, Any]:
    """Returns the entries common to PEFT's types; subclasses add others."""
    del shape
    if self.use_gating:
      raise errors.UserError('`use_gating`: PEFT has no gates')
    return {'peft_type': self.peft_types[0]}


def _matrix(letter):
  """Returns the site of an entry of 'attn_matrices'."""
  base.demand_choice('attn_matrices', letter, MATRICES)
  return MATRICES[letter]


def _ignored_alpha(version: str) -> bool:
  """Returns whether a version of AdapterHub's library ignored alpha.

  `adapters` 0.1.0 to 1.0.1 did. Its predecessor adapter-transformers, whose
  versions have no name before the number, scaled by alpha / r.
  """
  name, _, numbers = version.partition('.')
  parts = [int(n) if n.isdecimal() else 0 for n in numbers.split('.')[:2]]
  return name == 'adapters' and parts < [1, 1]
