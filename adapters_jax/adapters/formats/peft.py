"""Adapter folders of PEFT, read."""

from collections.abc import Mapping
import json
import os
import re
from typing import Any

import numpy as np

from adapters_jax.adapters import adapter
from adapters_jax.adapters.formats import adapterhub
from adapters_jax.adapters.formats import names
from adapters_jax.adapters.formats import settings
from adapters_jax.adapters.formats import weights
from adapters_jax import errors
from adapters_jax.methods import ia3
from adapters_jax.methods import lora
from adapters_jax.methods import prefix
from adapters_jax.methods import prompt
from adapters_jax.methods import vera
from adapters_jax.model import encoder
from adapters_jax.model import pretrained
from adapters_jax import trees

CONFIG = 'adapter_config.json'
WEIGHTS = 'adapter_model.safetensors'

_SITES = {module: site for site, module in names.LINEARS.items()}
_LEAF = re.compile(
    r'encoder\.layer\.(\d+)\.(' + '|'.join(map(re.escape, _SITES))
    + r')\.(lora_A\.weight|lora_B\.weight|lora_magnitude_vector|ia3_l'
    r'|vera_lambda_d|vera_lambda_b)')
# What it calls the heads, and what of the encoder they read.
HEADS = {'classifier': 'pooler', 'qa_outputs': 'tokens'}
_HEAD = re.compile(rf'({"|".join(HEADS)})\.(weight|bias)')
# Modules to save; an update of the pooler is none, and has no place here.
_SAVED = re.compile(
    r'(?:^pooler\.dense|\.LayerNorm)\.(?:weight|bias)$')
# {leaf there: leaf here}
_LEAVES = {
    'lora_A.weight': 'a', 'lora_B.weight': 'b',
    'lora_magnitude_vector': 'magnitude', 'ia3_l': 'scale',
    'vera_lambda_d': 'd', 'vera_lambda_b': 'b'}


def read(folder: str, shape: encoder.BertConfig) -> adapter.Adapter:
  """Returns the adapter of a folder, with its head and saved modules.

  Args:
    folder: With adapter_config.json and adapter_model.safetensors or .bin.
    shape: Of the base.

  Raises:
    options.UserError: something is missing, damaged or not supported.
  """
  path = os.path.join(folder, CONFIG)
  try:
    with open(path, encoding='utf-8') as file:
      values = json.load(file)
  except (OSError, ValueError) as error:
    raise errors.UserError(f'{path} cannot be read ({error})') from error
  return from_tensors(
      values, weights.read(folder, WEIGHTS, 'adapter_model.bin'), shape)


def from_tensors(
    values: Mapping[str, Any], tensors: Mapping[str, np.ndarray],
    shape: encoder.BertConfig,
) -> adapter.Adapter:
  """Returns the adapter of an adapter_config.json and its tensors.

  Which layers have it is read from the tensors, so that patterns in
  `target_modules` need no interpretation.

  Args:
    values: The JSON value.
    tensors: Of the adapter's file.
    shape: Of the base.

  Raises:
    options.UserError: it does not fit the base, or cannot be read here.
  """
  _refuse(values)
  tensors = {_short(key): np.asarray(value, np.float32)
             for key, value in tensors.items()}
  head, saved, own, head_input = {}, {}, {}, 'cls'
  for key, value in tensors.items():
    found = _HEAD.fullmatch(key)
    if found:
      head[found[2]], head_input = value, HEADS[found[1]]
    elif _SAVED.search(key):
      saved[key] = value
    else:
      own[key] = value
  kind = settings.needed(values, 'peft_type')
  readers = {
      'LORA': _read_linear, 'IA3': _read_linear, 'VERA': _read_linear,
      'PROMPT_TUNING': _read_prompt, 'P_TUNING': _read_prompt,
      'PREFIX_TUNING': _read_prefix, 'LN_TUNING': _read_norms}
  if kind not in readers:
    raise errors.unknown('peft_type', kind, readers)
  configs, flat = readers[kind](values, own, shape)
  tuned = trees.unflatten(flat)
  wanted = trees.unflatten(adapterhub.adapter_shapes(configs, shape))
  try:
    trees.check_same(tuned, wanted, f'{kind} adapter')
  except ValueError as error:
    raise errors.UserError(str(error)) from error
  if saved:
    tuned = trees.overlay(tuned, pretrained.from_hugging_face(saved))
  if head:
    kernel = settings.needed(head, 'weight').T
    tuned['head'] = {
        'kernel': kernel, 'bias': head.get('bias', np.zeros(kernel.shape[1]))}
    adapterhub.check_head(head_input, kernel.shape[1])
  return adapter.Adapter(configs, tuned, head_input)


def _short(key: str) -> str:
  """Returns a key without what PEFT and transformers put before it."""
  for start in ('base_model.', 'model.', 'bert.'):
    key = key.removeprefix(start)
  return key.replace('.ln_tuning_layers.', '.')


def _refuse(values: Mapping[str, Any]) -> None:
  """Raises UserError for options that change what an adapter computes."""
  for name, plain in (
      ('bias', 'none'), ('lora_bias', False), ('fan_in_fan_out', False),
      ('rank_pattern', {}), ('alpha_pattern', {}), ('alora_invocation_tokens',
                                                    None)):
    if values.get(name) not in (plain, None):
      raise errors.UserError(
          f'{name}={values[name]!r} of a PEFT adapter is not supported')
  init = values.get('init_lora_weights', True)
  if init not in (True, False, 'gaussian', 'orthogonal', 'eva'):
    raise errors.UserError(
        f'init_lora_weights={init!r} changes the base; save the adapter with '
        'path_initial_model_for_weight_conversion to make it plain LoRA')


def _read_linear(values, tensors, shape):
  """Returns (configs, {path: leaf}) of LoRA, IA3 or VeRA."""
  kind, found, flat = values['peft_type'], {}, {}
  for key, value in tensors.items():
    match = _LEAF.fullmatch(key)
    if match:
      found[int(match[1]), _SITES[match[2]], match[3]] = value
    elif key not in ('vera_A', 'vera_B'):
      raise errors.UserError(f'{key} of a {kind} adapter has no place here')
  inputs = {site for (_, site, leaf), value in found.items()
            if leaf == 'ia3_l' and value.shape[0] == 1}
  if not found:
    raise errors.UserError(f'the {kind} adapter has no tensors')
  places = {}  # {(whether inputs are scaled, layers): sites}, a config each
  for site in names.LINEARS:
    layers = tuple(n for n in range(shape.layers)
                   if any((n, site) == key[:2] for key in found))
    if layers:
      places.setdefault((site in inputs, layers), []).append(site)
  ranks = values.get('r', 8)
  if kind == 'LORA':
    config = lora.LoRA(
        r=ranks, alpha=values.get('lora_alpha', 8),
        dropout=values.get('lora_dropout', 0.0),
        rank_stabilized=values.get('use_rslora', False),
        dora='peft' if values.get('use_dora') else '')
  elif kind == 'VERA':
    config = vera.VeRA(
        r=ranks, alpha=ranks, dropout=values.get('vera_dropout', 0.0))
    if not {'vera_A', 'vera_B'} <= set(tensors) or len(places) > 1:
      raise errors.UserError(
          'a VeRA adapter is read with its projections (save_projection=True) '
          'and with the same linear layers wherever it is')
    flat['encoder/adapter_shared_0/fixed_a'] = tensors['vera_A'].T
    flat['encoder/adapter_shared_0/fixed_b'] = tensors['vera_B'].T
  else:
    config = ia3.IA3()
  configs, index = [], {}
  for (scales_inputs, layers), sites in sorted(places.items()):
    index |= {site: len(configs) for site in sites}
    start = ia3.IA3Inputs() if scales_inputs else config
    configs.append(start.with_fields(sites=tuple(sites), leave_out=tuple(
        n for n in range(shape.layers) if n not in layers)))
  for (layer, site, leaf), value in found.items():
    flat[_path(layer, site, index[site], _LEAVES[leaf])] = (
        value.T if leaf.endswith('.weight') else value.reshape(-1))
  return tuple(configs), flat


def _path(layer: int, site: str, index: int, leaf: str) -> str:
  """Returns the path of a leaf at a linear layer."""
  inner = '' if site in ('intermediate', 'ffn_output') else 'attention/'
  return f'encoder/layer_{layer}/{inner}adapter_{site}_{index}/{leaf}'


def _read_prompt(values, tensors, shape):
  del shape
  config = prompt.PromptTuning(
      settings.needed(values, 'num_virtual_tokens'), 'words')
  text = values.get('prompt_tuning_init_text')
  if values.get('prompt_tuning_init') == 'TEXT' and text:
    config = config.with_fields(
        prompt_init='from_string', prompt_init_text=text)
  return (config,), {
      'embeddings/adapter_words_0/prompt': settings.needed(
          tensors, 'prompt_embeddings')}


def _read_norms(values, tensors, shape):
  """Returns no methods: the layer norms are among the saved modules."""
  del values, shape
  if tensors:
    raise errors.UserError(
        f'{next(iter(tensors))} of a LN_TUNING adapter has no place here')
  return (), {}


def _read_prefix(values, tensors, shape):
  del shape
  config = prefix.PrefixTuning(
      settings.needed(values, 'num_virtual_tokens'), flat=True,
      shift_positions=True)
  return (config,), {
      'encoder/adapter_shared_0/prefix': settings.needed(
          tensors, 'prompt_embeddings')}
