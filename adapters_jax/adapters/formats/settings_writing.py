"""Method configs of the `adapters` library as JSON, written."""

from collections.abc import Iterable
from typing import Any

from adapters_jax.adapters.formats import settings
from adapters_jax import errors
from adapters_jax.methods import bottleneck
from adapters_jax.methods import compacter
from adapters_jax.methods import ia3
from adapters_jax.methods import invertible
from adapters_jax.methods import prefix
from adapters_jax.methods import prompt
from adapters_jax.methods import reft
from adapters_jax.methods import vera
from adapters_jax.methods import words

_ACTIVATIONS = {
    'gelu': 'gelu', 'gelu_tanh': 'gelu_new', 'relu': 'relu', 'swish': 'swish',
    'tanh': 'tanh', 'leaky_relu': 'leakyrelu', 'identity': 'linear'}


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
          raise errors.UserError(
              'activation: there an invertible adapter has that of its '
              'bottleneck')
        values.update(inv_adapter='nice',
                      inv_adapter_reduction_factor=coupling.factor)
      written.append(values)
    elif not isinstance(config, invertible.Invertible):
      written.append(_write_other(config, layers))
  if inverse:
    raise errors.UserError(
        'invertible: there it comes with a bottleneck only')
  if not written:
    raise errors.UserError(
        'there is no adapter to write; layer norms alone (--tune=norms) go to '
        'PEFT, as LN_TUNING')
  if len(written) == 1:
    return written[0]
  kinds = [values.get('architecture') for values in written]
  for kind in {*kinds} - {None}:
    if kinds.count(kind) > 1:
      raise errors.UserError(
          f'{kind}: there a union has no two of them (LoRA, DoRA, VeRA and IA3 '
          'are one kind)')
  return {'architecture': 'union', 'configs': written}


def _same(kind: Any, config: Any) -> dict[str, Any]:
  return {name: getattr(config, name) for name in settings.SAME[kind]}


def _absent(config: Any, layers: int) -> list[int]:
  """Returns the layers that a method leaves out."""
  chosen = getattr(config, 'layers', None)
  return [n for n in range(layers) if n in config.leave_out
          or (chosen is not None and n not in chosen)]


def _write_bottleneck(config, dim, layers):
  if config.depth > 1 or config.inner_norm or config.multiplicative:
    raise errors.UserError(
        'depth, inner_norm and multiplicative: the adapters library has no '
        'such bottleneck')
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
      'non_linearity': _ACTIVATIONS[config.activation],
      'leave_out': _absent(config, layers), 'cross_adapter': False,
      'inv_adapter': None, 'inv_adapter_reduction_factor': None,
      'init_weights_seed': None, 'phm_layer': phm,
      **{name: getattr(source, name) for name in settings.PHM}}


def _write_other(config, layers):
  if isinstance(config, prefix.PrefixTuning):
    return {
        **_same(prefix.PrefixTuning, config), 'architecture': 'prefix_tuning',
        'non_linearity': _ACTIVATIONS[config.activation],
        'leave_out': _absent(config, layers), 'encoder_prefix': True,
        'cross_prefix': True, 'init_weights_seed': None}
  if isinstance(config, prompt.PromptTuning):
    return {
        **_same(prompt.PromptTuning, config), 'architecture': 'prompt_tuning',
        'init_weights_seed': None}
  if isinstance(config, reft.ReFT):
    left = _absent(config, layers)
    act = config.activation
    return {
        **_same(reft.ReFT, config), 'architecture': 'reft',
        'layers': ([n for n in range(layers) if n not in left] if left
                   else 'all'),
        'non_linearity': None if act == 'identity' else _ACTIVATIONS[act],
        'subtract_projection': config.subtract_projection,
        'output_reft': True, 'dtype': None, 'init_weights_seed': None}
  if config.kind == 'linear' and 'attention_output' not in config.sites:
    return _write_linear(config, layers)
  raise errors.UserError(
      f'{type(config).__name__}: the adapters library has no such method')


def _write_linear(config, layers):
  scales = isinstance(config, ia3.IA3)
  if isinstance(config, vera.VeRA) and len(
      {('ffn_output' == s, 'intermediate' == s) for s in config.sites}) > 1:
    raise errors.UserError(
        'sites: there a VeRA has linear layers of one shape; leave out '
        'intermediate and ffn_output, or take one of them alone')
  alpha = config.alpha
  if getattr(config, 'rank_stabilized', False):
    alpha = config.scale * config.r
  dora = getattr(config, 'dora', '')
  if dora == 'peft':
    raise errors.UserError(
        "dora='peft': the adapters library computes another DoRA; "
        'train with dora=adapters for it')
  init = ('ia3' if scales else 'vera' if isinstance(config, vera.VeRA)
          else config.init)
  return {
      'architecture': 'lora', 'alpha': alpha,
      'r': 1 if scales else config.r,
      'attn_matrices': [m for m, site in words.MATRICES.items()
                        if site in config.sites],
      'selfattn_lora': bool(set(words.MATRICES.values()) & set(config.sites)),
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
