"""Where a leaf of an adapter is in the files of the `adapters` library.

A leaf's path here and its key there are two names of one tensor but for its
layout: kernels are [in, out] here and (out, in) there.
"""

import re
from typing import Any

import numpy as np

from adapters_jax.methods import bottleneck
from adapters_jax.methods import compacter
from adapters_jax.methods import ia3
from adapters_jax.methods import invertible
from adapters_jax.methods import lora
from adapters_jax.methods import prefix
from adapters_jax.methods import prompt
from adapters_jax.methods import reft
from adapters_jax.methods import vera

PATH = re.compile(
    r'(?:encoder/(?:layer_(?P<layer>\d+)/(?:attention/)?)?)?'
    r'adapter_(?P<site>[a-z_]+)_(?P<index>\d+)/(?P<rest>.+)')

SUBLAYERS = {'attention_output': 'attention.output', 'ffn_output': 'output'}
LINEARS = {
    'query': 'attention.self.query', 'key': 'attention.self.key',
    'value': 'attention.self.value',
    'attention_output': 'attention.output.dense',
    'intermediate': 'intermediate.dense', 'ffn_output': 'output.dense'}

_GATE = (
    (r'^gating/gate/kernel$', 'gate.weight'),
    (r'^gating/gate/bias$', 'gate.bias'),
)
_BOTTLENECK = (
    *_GATE,
    (r'^norm_(before|after)/scale$', r'adapter_norm_\1.weight'),
    (r'^norm_(before|after)/bias$', r'adapter_norm_\1.bias'),
    (r'^down/', 'adapter_down.0.'),
    (r'^up/', 'adapter_up.'),
)
_PHM = (
    *_BOTTLENECK,
    (r'^(down|up)_weight$', r'W_\1'),
    (r'^(down|up)_(left|right)$', r'W_\1_\2'),
    (r'(^|\.)(?:fixed_)?rule', r'\1phm_rule'),
    (r'(^|\.)(left|right)$', r'\1W_\2'),
    (r'(adapter_(?:down\.\d|up))\.weight$', r'\1.W'),
    (r'(adapter_(?:down\.\d|up))\.bias$', r'\1.b'),
)
_REST = (
    (bottleneck.Bottleneck, _BOTTLENECK),
    (invertible.Invertible, (
        (r'^f/', 'F.'), (r'^g/', 'G.'), (r'\bdown/', '0.'), (r'\bup/', '2.'))),
    (prefix.PrefixTuning, (
        (r'^gating/gate/', ''), (r'^embedding$', 'wte.weight'),
        (r'^prefix$', 'control_trans'), (r'^down/', 'control_trans.0.'),
        (r'^up/', 'control_trans.2.'))),
    (prompt.PromptTuning, ((r'^prompt$', 'prompt_embedding.weight'),)),
    (lora.LoRA, (
        *_GATE, (r'^a$', 'lora_A'), (r'^b$', 'lora_B'),
        (r'^magnitude$', 'm.weight'))),
    (ia3.IA3, (*_GATE, (r'^scale$', 'lora_B'))),
    (vera.VeRA, (
        *_GATE, (r'^d$', 'vera_D'), (r'^b$', 'vera_B'),
        (r'^fixed_a$', 'lora_A'), (r'^fixed_b$', 'lora_B'))),
    (reft.ReFT, (
        (r'^prefix/', 'units.0.'), (r'^suffix/', 'units.1.'),
        (r'\bsource/', 'learned_source.'),
        (r'\bprojection$', 'projection.weight'))),
)


def key_of(path: str, configs: tuple[Any, ...], name: str) -> str:
  """Returns the key of an adapter's leaf, without the 'bert.' prefix.

  Args:
    path: The leaf's path here.
    configs: The adapter's methods.
    name: The adapter's name there.

  Raises:
    KeyError: the library has no such thing.
  """
  found = PATH.fullmatch(path)
  config = configs[int(found['index'])]
  rest = found['rest']
  for pattern, replacement in _rules(config):
    rest = re.sub(pattern, replacement, rest)
  if getattr(config, 'ln_before', False):  # Its norm stands in the same list.
    rest = rest.replace('adapter_down.0.', 'adapter_down.1.')
  rest = re.sub(r'\b(kernel|scale)$', 'weight', rest).replace('/', '.')
  return f'{_stem(config, found, name)}.{rest}'


def _rules(config: Any) -> tuple[tuple[str, str], ...]:
  if isinstance(config, compacter.Compacter):
    return _PHM
  return next(rules for kind, rules in _REST if isinstance(config, kind))


def _stem(config: Any, found: re.Match[str], name: str) -> str:
  """Returns what precedes the part of a key that a method names itself."""
  site = found['site']
  layer = f'encoder.layer.{found["layer"]}.'
  if isinstance(config, prefix.PrefixTuning):
    if site == 'shared':
      return f'prefix_tuning.prefix_tunings.{name}.self_prefix'
    return f'{layer}attention.self.prefix_tuning.prefix_gates.{name}'
  if isinstance(config, prompt.PromptTuning):
    return f'prompt_tuning.prompt_tunings.{name}'
  if site == 'shared':
    return f'shared_parameters.{name}'
  if isinstance(config, invertible.Invertible):
    return f'invertible_adapters.{name}'
  if config.kind == 'sublayer':
    return f'{layer}{SUBLAYERS[site]}.adapters.{name}'
  if config.kind == 'linear':
    return f'{layer}{LINEARS[site]}.loras.{name}'
  if config.kind == 'layer':
    return f'{layer}reft_layer.refts.{name}'
  raise KeyError(f'the adapters library has no {type(config).__name__}')


# Leaves that are vectors here and columns there.
_COLUMNS = re.compile(r'(?:adapter_\w+/)(?:magnitude|scale)$')
_TRANSPOSED = re.compile(
    r'(?:kernel|projection|fixed_[ab]|/[abd])$')


def to_there(path: str, value: np.ndarray) -> np.ndarray:
  """Returns a leaf in the layout of the library's files."""
  value = np.asarray(value, np.float32)
  if _COLUMNS.search(path):
    return value[:, None]
  if re.search(r'adapter_shared_\d+/prefix$', path):
    return value.reshape(-1)
  if _TRANSPOSED.search(path) and value.ndim == 2:
    return value.T
  if re.search(r'/[db]$', path):  # A vector of VeRA: the diagonal there.
    return np.diag(value)
  return value


def to_here(path: str, value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
  """Returns a tensor of the library's files as the leaf of a path.

  Args:
    path: The leaf's path here.
    value: The tensor.
    shape: What the leaf's shape should be, for tensors stored flat.
  """
  value = np.asarray(value, np.float32)
  if _COLUMNS.search(path) and value.ndim == 2:
    return value[:, 0]
  if re.search(r'adapter_shared_\d+/prefix$', path) and value.ndim == 1:
    return value.reshape(shape)
  if _TRANSPOSED.search(path) and value.ndim == 2:
    return value.T
  return value
