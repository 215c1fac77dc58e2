"""The `adapters` library's words for what methods are called here.

Texts may use them: `lora[attn_matrices=['q', 'k'], output_lora=True]`. A word
for what another name stands for here is checked, and says that name.
"""

from collections.abc import Sequence
import dataclasses
from typing import Any

from adapters_jax import errors
from adapters_jax.methods import base
from adapters_jax.methods import bottleneck
from adapters_jax.methods import compacter
from adapters_jax.methods import ia3
from adapters_jax.methods import invertible
from adapters_jax.methods import lora
from adapters_jax.methods import prefix
from adapters_jax.methods import reft
from adapters_jax.methods import vera

ACTIVATIONS = {
    'gelu': 'gelu', 'gelu_new': 'gelu_tanh', 'gelu_orig': 'gelu',
    'gelu_pytorch_tanh': 'gelu_tanh', 'relu': 'relu', 'silu': 'swish',
    'swish': 'swish', 'tanh': 'tanh', 'leakyrelu': 'leaky_relu',
    'linear': 'identity', None: 'identity'}
MATRICES = {'q': 'query', 'k': 'key', 'v': 'value'}

_RENAMED = {
    'non_linearity': 'activation', 'init_weights': 'init',
    'inv_adapter_reduction_factor': 'factor', 'use_dora': 'dora',
    'random_uniform_scale': 'scale'}
_SUBLAYERS = {
    'mh_adapter': ('attention_output',), 'output_adapter': ('ffn_output',)}
_LINEARS = {
    'selfattn_lora': tuple(MATRICES.values()),
    'intermediate_lora': ('intermediate',), 'output_lora': ('ffn_output',)}
_ADVICE = {
    'init_weights_seed': 'leave it out; --seed is of all that is drawn',
    'dtype': 'leave it out; --precision is of the whole computation',
    'phm_layer': 'compacter and compacter++ have such layers, others do not',
    'inv_adapter': 'write NAME|invertible for NICE; there is no other',
    'cross_adapter': 'BERT has no cross-attention',
    'encoder_prefix': 'BERT is an encoder',
    'cross_prefix': 'BERT has no cross-attention',
    'composition_mode': "lora is for 'add', ia3 for 'scale'",
    'vera_d': 'write vera', 'vera_b': 'write vera',
    'use_dora': 'write dora', 'init_weights': 'leave it out',
    'r': 'an IA3 has no rank', 'dropout': 'an IA3 has no dropout',
    'output_reft': 'write none at all for none'}


def fixed(configs: Sequence[Any]) -> dict[str, Any]:
  """Returns {word: the one value it can have} beside the configs' fields."""
  values = {}
  for config in configs:
    values |= {'init_weights_seed': None, 'dtype': None}
    if isinstance(config, bottleneck.Bottleneck):
      values |= {
          'phm_layer': isinstance(config, compacter.Compacter),
          'cross_adapter': False, 'inv_adapter': None}
    elif isinstance(config, invertible.Invertible):
      values['inv_adapter'] = 'nice'
    elif isinstance(config, prefix.PrefixTuning):
      values |= {'encoder_prefix': True, 'cross_prefix': True}
    elif isinstance(config, lora.LoRA):
      values |= {'composition_mode': 'add', 'vera_d': None, 'vera_b': None}
    elif isinstance(config, vera.VeRA):
      values |= {'composition_mode': 'add', 'use_dora': False,
                 'init_weights': 'vera'}
    elif isinstance(config, ia3.IA3):
      values |= {
          'composition_mode': 'scale', 'use_dora': False, 'vera_d': None,
          'vera_b': None, 'init_weights': 'ia3', 'r': 1, 'dropout': 0.0}
    elif isinstance(config, reft.ReFT):
      values['output_reft'] = True
  return values


def check_fixed(word: str, value: Any, wanted: Any) -> None:
  """Raises UserError unless a word of `fixed` has its one value."""
  if value != wanted:
    raise errors.UserError(
        f'{word}={value!r}: here it is {wanted!r}; {_ADVICE[word]}')


def of(config: Any) -> set[str]:
  """Returns the words that say something of a config's fields."""
  names = {field.name for field in dataclasses.fields(config)}
  known = {word for word, field in _RENAMED.items() if field in names}
  if isinstance(config, bottleneck.Bottleneck):
    known |= set(_SUBLAYERS)
  elif config.kind == 'linear':
    known |= {*_LINEARS, 'attn_matrices'}
  return known | names


def to_fields(config: Any, values: dict[str, Any]) -> dict[str, Any]:
  """Returns what the words of `of` say, by the names of the config's fields.

  Args:
    config: What the values are to change.
    values: By word, not yet of the fields' types.

  Raises:
    options.UserError: a value that the word cannot have.
  """
  fields = dict(values)
  for word, field in _RENAMED.items():
    if word in fields and word in of(config):
      fields[field] = fields.pop(word)
      if word == 'use_dora':
        base.demand_choice(word, fields[field], (True, False))
        fields[field] = 'adapters' if fields[field] else ''
      elif word == 'non_linearity':
        base.demand_choice(word, fields[field], ACTIVATIONS)
        fields[field] = ACTIVATIONS[fields[field]]
  if fields.get('layers') == 'all':
    fields['layers'] = None
  flags = _SUBLAYERS if isinstance(config, bottleneck.Bottleneck) else _LINEARS
  if not {*flags, 'attn_matrices'} & set(fields):
    return fields
  sites = set(fields.get('sites', config.sites))
  if 'attn_matrices' in fields:
    sites -= set(MATRICES.values())
    letters = fields.pop('attn_matrices')
    base.demand(isinstance(letters, (list, tuple)), 'attn_matrices', letters,
                 'a list')
    for letter in letters:
      base.demand_choice('attn_matrices', letter, MATRICES)
      sites.add(MATRICES[letter])
  for word, places in flags.items():
    if word in fields:
      on = fields.pop(word)
      base.demand_choice(word, on, (True, False))
      if not on:
        sites -= set(places)
      elif not sites & set(places):
        sites |= set(places)
  fields['sites'] = tuple(s for s in base.LINEARS if s in sites)
  return fields
