"""Method configs of the `adapters` library as JSON, read."""

import dataclasses
import typing
from typing import Any

from adapters_jax import errors
from adapters_jax.methods import bottleneck
from adapters_jax.methods import compacter
from adapters_jax.methods import ia3
from adapters_jax.methods import invertible
from adapters_jax.methods import lora
from adapters_jax.methods import prefix
from adapters_jax.methods import prompt
from adapters_jax.methods import reft
from adapters_jax.methods import strings
from adapters_jax.methods import vera
from adapters_jax.methods import words

# Files without a version were written when these words meant other functions.
_OLD_ACTIVATIONS = {**words.ACTIVATIONS, 'gelu': 'gelu_tanh'}

# What their bottleneck is without a word about it.
_BOTTLENECK = bottleneck.Bottleneck(size=None, init='bert', sites=())
# Fields that are the same words and values on both sides.
SAME = {
    bottleneck.Bottleneck: (
        'is_parallel', 'scaling', 'original_ln_before', 'original_ln_after',
        'residual_before_ln', 'adapter_residual_before_ln', 'ln_before',
        'ln_after', 'use_gating', 'dropout', 'stochastic_depth'),
    prefix.PrefixTuning: (
        'prefix_length', 'bottleneck_size', 'flat', 'dropout', 'use_gating',
        'shared_gating'),
    prompt.PromptTuning: (
        'prompt_length', 'combine', 'prompt_init', 'prompt_init_text'),
    lora.LoRA: ('r', 'alpha', 'dropout', 'use_gating'),
    vera.VeRA: ('r', 'alpha', 'dropout', 'vera_d', 'vera_b', 'use_gating'),
    ia3.IA3: ('alpha', 'use_gating'),
    reft.ReFT: (
        'r', 'prefix_positions', 'suffix_positions', 'orthogonality',
        'tied_weights', 'dropout'),
}
PHM = tuple(
    field.name for field in dataclasses.fields(compacter.Compacter)
    if not hasattr(bottleneck.Bottleneck, field.name))


def from_adapterhub(
    values: dict[str, Any], version: str = 'adapters.1.3.0'
) -> tuple[Any, ...]:
  """Returns the methods of the 'config' of an adapter_config.json.

  Args:
    values: The JSON value.
    version: Of the library that wrote it, '' if the file does not tell.

  Raises:
    options.UserError: a method or a value that is not here.
  """
  architecture = values.get('architecture')
  readers = {
      None: _read_bottleneck, 'prefix_tuning': _read_prefix,
      'prompt_tuning': _read_prompt, 'lora': _read_lora, 'reft': _read_reft}
  if architecture == 'union':
    return tuple(config for part in needed(values, 'configs')
                 for config in from_adapterhub(part, version))
  if architecture not in readers:
    raise errors.unknown('architecture', architecture, filter(None, readers))
  return readers[architecture](values, version)


def _copied(kind: Any, values: dict[str, Any], start: Any) -> Any:
  """Returns `start` with the fields of SAME that the values have."""
  hints = typing.get_type_hints(type(start))
  return dataclasses.replace(start, **{
      name: strings.convert(values[name], hints[name], name)
      for name in SAME[kind] if values.get(name) is not None})


def needed(values: Any, name: str) -> Any:
  """Returns a value or a tensor of a file by name; UserError if none."""
  if not isinstance(values, dict) or name not in values:
    raise errors.UserError(f"the adapter's files have no {name!r}")
  return values[name]


def _activation(word: str | None, version: str) -> str:
  table = words.ACTIVATIONS if version else _OLD_ACTIVATIONS
  word = word.lower() if isinstance(word, str) else word
  if word not in table:
    raise errors.unknown('non_linearity', str(word), filter(None, table))
  return table[word]


def _left_out(values: dict[str, Any]) -> tuple[int, ...]:
  return strings.convert(
      values.get('leave_out') or (), tuple[int, ...], 'leave_out')


def _read_bottleneck(values, version):
  start = _BOTTLENECK
  if values.get('phm_layer'):
    hints = typing.get_type_hints(compacter.Compacter)
    start = compacter.Compacter(**{
        **start.__dict__,
        **{name: strings.convert(values[name], hints[name], name)
           for name in PHM if values.get(name) is not None}})
  factor = strings.convert(
      needed(values, 'reduction_factor'),
      typing.get_type_hints(bottleneck.Bottleneck)['reduction_factor'],
      'reduction_factor')
  sites = tuple(site for site, flag in (
      ('attention_output', 'mh_adapter'), ('ffn_output', 'output_adapter'))
      if needed(values, flag))
  activation = _activation(needed(values, 'non_linearity'), version)
  config = dataclasses.replace(
      _copied(bottleneck.Bottleneck, values, start), sites=sites,
      reduction_factor=factor, leave_out=_left_out(values),
      activation=activation, init=values.get('init_weights', 'bert'))
  kind = values.get('inv_adapter')
  if kind is None:
    return (config,)
  if kind != 'nice':  # The library's own GLOW fails in its forward pass.
    raise errors.unknown('inv_adapter', kind, ('nice',))
  return config, invertible.Invertible(
      needed(values, 'inv_adapter_reduction_factor'), activation)


def _read_prefix(values, version):
  return (dataclasses.replace(
      _copied(prefix.PrefixTuning, values, prefix.PrefixTuning()),
      activation=_activation(values.get('non_linearity', 'tanh'), version),
      leave_out=_left_out(values)),)


def _read_prompt(values, version):
  del version
  return (_copied(prompt.PromptTuning, values, prompt.PromptTuning()),)


def _read_lora(values, version):
  sites = []
  if values.get('selfattn_lora', True):
    for letter in values.get('attn_matrices', ('q', 'v')):
      if letter not in words.MATRICES:
        raise errors.unknown('attn_matrices', str(letter), words.MATRICES)
      sites.append(words.MATRICES[letter])
  sites += [site for site, flag in (
      ('intermediate', 'intermediate_lora'), ('ffn_output', 'output_lora'))
      if values.get(flag)]
  common = {'sites': tuple(sites), 'leave_out': _left_out(values)}
  if _is_old(version):  # Alpha had no effect.
    values = {**values, 'alpha': values.get('r', 8)}
  if values.get('composition_mode', 'add') == 'scale':
    return (dataclasses.replace(
        _copied(ia3.IA3, values, ia3.IA3()), **common),)
  if values.get('vera_d') is not None:
    if values.get('use_dora'):
      raise errors.UserError('use_dora: not together with vera_d')
    return (dataclasses.replace(
        _copied(vera.VeRA, values, vera.VeRA()), dense=True, **common),)
  start = lora.LoRA(
      dora='adapters' if values.get('use_dora') else '',
      init='bert' if values.get('init_weights') == 'bert' else 'lora')
  return (dataclasses.replace(_copied(lora.LoRA, values, start), **common),)


def _is_old(version: str) -> bool:
  """Returns whether a version is before 1.1 of the library."""
  name, _, numbers = version.partition('.')
  parts = [int(n) if n.isdecimal() else 0 for n in numbers.split('.')[:2]]
  return name != 'adapters' or parts < [1, 1]


def _read_reft(values, version):
  config = _copied(reft.ReFT, values, reft.ReFT())
  layers = values.get('layers', 'all')
  # Their files do not tell DiReft from NoReft but by this absent field.
  return (dataclasses.replace(
      config, layers=None if layers == 'all' else strings.convert(
          layers, tuple[int, ...], 'layers'),
      subtract_projection=values.get('subtract_projection', True),
      activation=_activation(values.get('non_linearity'), version)),)
