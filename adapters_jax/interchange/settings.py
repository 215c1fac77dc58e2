"""Method configs of the `adapters` library as JSON, read and written."""

from collections.abc import Iterable
import dataclasses
import typing
from typing import Any

from adapters_jax import options
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

_ACTIVATIONS = {
    'gelu': 'gelu', 'gelu_new': 'gelu_tanh', 'gelu_orig': 'gelu',
    'gelu_pytorch_tanh': 'gelu_tanh', 'relu': 'relu', 'silu': 'swish',
    'swish': 'swish', 'tanh': 'tanh', 'leakyrelu': 'leaky_relu',
    'linear': 'identity'}
# Files without a version were written when these words meant other functions.
_OLD_ACTIVATIONS = {**_ACTIVATIONS, 'gelu': 'gelu_tanh'}
_THEIR_ACTIVATIONS = {
    'gelu': 'gelu', 'gelu_tanh': 'gelu_new', 'relu': 'relu', 'swish': 'swish',
    'tanh': 'tanh', 'leaky_relu': 'leakyrelu', 'identity': 'linear'}
_MATRICES = {'q': 'query', 'k': 'key', 'v': 'value'}

# What their bottleneck is without a word about it.
_BOTTLENECK = bottleneck.Bottleneck(size=None, init='bert', sites=())
# Fields that are the same words and values on both sides.
_SAME = {
    bottleneck.Bottleneck: (
        'is_parallel', 'scaling', 'original_ln_before', 'original_ln_after',
        'residual_before_ln', 'adapter_residual_before_ln', 'ln_before',
        'ln_after', 'use_gating', 'dropout', 'stochastic_depth'),
    prefix.PrefixTuning: (
        'prefix_length', 'bottleneck_size', 'flat', 'dropout', 'use_gating',
        'shared_gating'),
    prompt.PromptTuning: ('prompt_length', 'combine'),
    lora.LoRA: ('r', 'alpha', 'dropout', 'use_gating'),
    vera.VeRA: ('r', 'alpha', 'dropout', 'vera_d', 'vera_b'),
    ia3.IA3: ('alpha',),
    reft.ReFT: (
        'r', 'prefix_positions', 'suffix_positions', 'orthogonality',
        'tied_weights', 'dropout'),
}
_PHM = tuple(
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
    return tuple(config for part in values['configs']
                 for config in from_adapterhub(part, version))
  if architecture not in readers:
    raise options.unknown('architecture', architecture, filter(None, readers))
  return readers[architecture](values, version)


def _copied(kind: Any, values: dict[str, Any], start: Any) -> Any:
  """Returns `start` with the fields of _SAME that the values have."""
  hints = typing.get_type_hints(type(start))
  return dataclasses.replace(start, **{
      name: strings.convert(values[name], hints[name], name)
      for name in _SAME[kind] if values.get(name) is not None})


def _activation(word: str | None, version: str) -> str:
  table = _ACTIVATIONS if version else _OLD_ACTIVATIONS
  if word is None:
    return 'identity'
  if word.lower() not in table:
    raise options.unknown('non_linearity', word, table)
  return table[word.lower()]


def _left_out(values: dict[str, Any]) -> tuple[int, ...]:
  return tuple(values.get('leave_out') or ())


def _read_bottleneck(values, version):
  start = _BOTTLENECK
  if values.get('phm_layer'):
    start = compacter.Compacter(
        **{**start.__dict__,
           **{name: values[name] for name in _PHM if name in values}})
  factor = values['reduction_factor']
  if isinstance(factor, dict):
    factor = tuple((str(key), value) for key, value in factor.items())
  sites = tuple(site for site, flag in (
      ('attention_output', 'mh_adapter'), ('ffn_output', 'output_adapter'))
      if values[flag])
  activation = _activation(values['non_linearity'], version)
  config = dataclasses.replace(
      _copied(bottleneck.Bottleneck, values, start), sites=sites,
      reduction_factor=factor, leave_out=_left_out(values),
      activation=activation, init=values.get('init_weights', 'bert'))
  kind = values.get('inv_adapter')
  if kind is None:
    return (config,)
  if kind != 'nice':  # The library's own GLOW fails in its forward pass.
    raise options.unknown('inv_adapter', kind, ('nice',))
  return config, invertible.Invertible(
      values['inv_adapter_reduction_factor'], activation)


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
    sites += [_MATRICES[m] for m in values.get('attn_matrices', ('q', 'v'))]
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
      raise options.UserError('use_dora: not together with vera_d')
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
      config, layers=None if layers == 'all' else tuple(layers),
      subtract_projection=values.get('subtract_projection', True),
      activation=_activation(values.get('non_linearity'), version)),)


def to_adapterhub(
    configs: Iterable[Any], dim: int, layers: int
) -> dict[str, Any]:
  """Returns the 'config' of an adapter_config.json for the methods.

  Args:
    configs: The methods.
    dim: Of the model's hidden states.
    layers: Of the model.

  Raises:
    options.UserError: the library has no such method.
  """
  configs, written = list(configs), []
  inverse = [c for c in configs if isinstance(c, invertible.Invertible)]
  for config in configs:
    if isinstance(config, bottleneck.Bottleneck):
      values = _write_bottleneck(config, dim, layers)
      if inverse:
        coupling = inverse.pop()
        if coupling.activation != config.activation:
          raise options.UserError(
              'activation: there an invertible adapter has that of its '
              'bottleneck')
        values.update(inv_adapter='nice',
                      inv_adapter_reduction_factor=coupling.factor)
      written.append(values)
    elif not isinstance(config, invertible.Invertible):
      written.append(_write_other(config, layers))
  if inverse:
    raise options.UserError(
        'invertible: there it comes with a serial bottleneck only')
  if len(written) == 1:
    return written[0]
  return {'architecture': 'union', 'configs': written}


def _same(kind: Any, config: Any) -> dict[str, Any]:
  return {name: getattr(config, name) for name in _SAME[kind]}


def _absent(config: Any, layers: int) -> list[int]:
  """Returns the layers that a method leaves out."""
  chosen = getattr(config, 'layers', None)
  return [n for n in range(layers) if n in config.leave_out
          or (chosen is not None and n not in chosen)]


def _write_bottleneck(config, dim, layers):
  factor = config.reduction_factor
  if config.size is not None:
    # The library rounds dim / factor down; half a unit keeps clear of that.
    factor = (dim // config.size if dim % config.size == 0
              else dim / (config.size + 0.5))
  elif isinstance(factor, tuple):
    factor = dict(factor)
  scaling = config.scaling
  phm = isinstance(config, compacter.Compacter)
  source = config if phm else compacter.Compacter()
  return {
      **_same(bottleneck.Bottleneck, config),
      'scaling': scaling if isinstance(scaling, str) else float(scaling),
      'reduction_factor': factor,
      # Theirs cannot build a PHM layer with another; loading replaces it.
      'init_weights': 'bert' if phm else config.init,
      'mh_adapter': 'attention_output' in config.sites,
      'output_adapter': 'ffn_output' in config.sites,
      'non_linearity': _THEIR_ACTIVATIONS[config.activation],
      'leave_out': _absent(config, layers), 'cross_adapter': False,
      'inv_adapter': None, 'inv_adapter_reduction_factor': None,
      'init_weights_seed': None, 'phm_layer': phm,
      'hypercomplex_nonlinearity': 'glorot-uniform',
      **{name: getattr(source, name) for name in _PHM}}


def _write_other(config, layers):
  if isinstance(config, prefix.PrefixTuning):
    return {
        **_same(prefix.PrefixTuning, config), 'architecture': 'prefix_tuning',
        'non_linearity': _THEIR_ACTIVATIONS[config.activation],
        'leave_out': _absent(config, layers), 'encoder_prefix': True,
        'cross_prefix': True, 'init_weights_seed': None}
  if isinstance(config, prompt.PromptTuning):
    return {
        **_same(prompt.PromptTuning, config), 'architecture': 'prompt_tuning',
        'prompt_init': 'random_uniform', 'prompt_init_text': None,
        'init_weights_seed': None}
  if isinstance(config, reft.ReFT):
    left = _absent(config, layers)
    act = config.activation
    return {
        **_same(reft.ReFT, config), 'architecture': 'reft',
        'layers': ([n for n in range(layers) if n not in left] if left
                   else 'all'),
        'non_linearity': None if act == 'identity' else _THEIR_ACTIVATIONS[act],
        'subtract_projection': config.subtract_projection,
        'output_reft': True, 'dtype': None, 'init_weights_seed': None}
  if config.kind == 'linear' and 'attention_output' not in config.sites:
    return _write_linear(config, layers)
  raise options.UserError(
      f'{type(config).__name__}: the adapters library has no such method')


def _write_linear(config, layers):
  scales = isinstance(config, ia3.IA3)
  alpha = config.alpha
  if getattr(config, 'rank_stabilized', False):
    alpha = config.scale * config.r
  dora = getattr(config, 'dora', '')
  if dora == 'peft':
    raise options.UserError(
        "dora='peft': the adapters library computes another DoRA; "
        'train with dora=adapters for it')
  init = ('ia3' if scales else 'vera' if isinstance(config, vera.VeRA)
          else config.init)
  return {
      'architecture': 'lora', 'alpha': alpha,
      'r': 1 if scales else config.r,
      'attn_matrices': [m for m, site in _MATRICES.items()
                        if site in config.sites],
      'selfattn_lora': bool(set(_MATRICES.values()) & set(config.sites)),
      'intermediate_lora': 'intermediate' in config.sites,
      'output_lora': 'ffn_output' in config.sites,
      'composition_mode': 'scale' if scales else 'add',
      'dropout': getattr(config, 'dropout', 0.0), 'init_weights': init,
      'use_gating': getattr(config, 'use_gating', False),
      'use_dora': bool(dora),
      'vera_d': getattr(config, 'vera_d', None),
      'vera_b': getattr(config, 'vera_b', None),
      'leave_out': _absent(config, layers), 'dtype': None,
      'init_weights_seed': None}
