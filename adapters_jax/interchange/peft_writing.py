"""Adapter folders of PEFT, written."""

import dataclasses
import os
import re
from typing import Any

import numpy as np

from adapters_jax import bank
from adapters_jax import bert
from adapters_jax import options
from adapters_jax import results
from adapters_jax import trees
from adapters_jax.interchange import names
from adapters_jax.interchange import peft
from adapters_jax.interchange import weights
from adapters_jax.methods import ia3
from adapters_jax.methods import lora
from adapters_jax.methods import prefix
from adapters_jax.methods import prompt
from adapters_jax.methods import vera

_NORMS = (
    (r'^embeddings/norm/', 'embeddings.LayerNorm.'),
    (r'^encoder/layer_(\d+)/attention_norm/',
     r'encoder.layer.\1.attention.output.LayerNorm.'),
    (r'^encoder/layer_(\d+)/ffn_norm/', r'encoder.layer.\1.output.LayerNorm.'),
    (r'^pooler/', 'pooler.dense.'),
    (r'(kernel|scale)$', 'weight'))


def write(
    folder: str, adapter: bank.Adapter, shape: bert.BertConfig
) -> list[str]:
  """Writes an adapter as a folder for `PeftModel.from_pretrained`.

  Args:
    folder: Made if absent.
    adapter: What to write. A head must read the pooler, as that of
      BertForSequenceClassification does.
    shape: Of the base.

  Returns:
    Notes for the user.

  Raises:
    options.UserError: PEFT has no such method, or no such head.
  """
  values, tensors = to_tensors(adapter, shape)
  os.makedirs(folder, exist_ok=True)
  results.write_json(os.path.join(folder, peft.CONFIG), values)
  weights.write(os.path.join(folder, peft.WEIGHTS), tensors)
  if 'head' in adapter.tuned:
    return [f'load it on BertForSequenceClassification with num_labels='
            f'{adapter.outputs}']
  return []


def to_tensors(
    adapter: bank.Adapter, shape: bert.BertConfig
) -> tuple[dict[str, Any], weights.Tensors]:
  """Returns (values of adapter_config.json, tensors) of an adapter."""
  if 'head' in adapter.tuned and adapter.head_input != 'pooler':
    raise options.UserError(
        "head: BertForSequenceClassification's reads the pooler; train with "
        '--head_input=pooler for PEFT')
  flat = {path: np.asarray(leaf, np.float32)
          for path, leaf in trees.flatten(adapter.tuned).items()}
  own = {path: leaf for path, leaf in flat.items()
         if trees.role(path) in ('adapter', 'fixed')}
  other = {path: leaf for path, leaf in flat.items() if path not in own}
  values = {'peft_type': '', 'base_model_name_or_path': None,
            'inference_mode': True,
            'task_type': 'SEQ_CLS' if 'head' in adapter.tuned else None}
  if not adapter.configs:
    raise options.UserError('there is no adapter to write')
  first = adapter.configs[0]
  if first.kind in ('linear', 'input'):
    values |= _linear_values(adapter.configs, shape)
    tensors = _linear_tensors(adapter.configs, own)
  elif len(adapter.configs) == 1:
    values |= _prompt_values(first, shape)
    leaf, = own.values()
    tensors = {'prompt_embeddings': leaf}
  else:
    raise options.UserError('PEFT has no unions of methods')
  if first.kind in ('linear', 'input'):
    stem, modules = 'base_model.model.', set()
    for path, leaf in other.items():
      key = _their_name(path)
      tensors[stem + key] = leaf.T if leaf.ndim == 2 else leaf
      modules.add(key.removeprefix('bert.').rsplit('.', 1)[0])
    values['modules_to_save'] = sorted(modules) or None
    return values, tensors
  if set(other) - {'head/kernel', 'head/bias'}:
    raise options.UserError(
        'PEFT saves no layer norms with a prompt or a prefix; train with '
        '--tune_norms=false for it')
  for path, leaf in other.items():
    key = 'base_model.' + _their_name(path)
    tensors[key] = leaf.T if leaf.ndim == 2 else leaf
  return values, tensors


def _their_name(path: str) -> str:
  """Returns what transformers calls a norm, the pooler or the head."""
  if path.startswith('head/'):
    return 'classifier.' + ('weight' if path.endswith('kernel') else 'bias')
  name = path
  for pattern, replacement in _NORMS:
    name = re.sub(pattern, replacement, name)
  if '/' in name:
    raise options.UserError(f'{path} has no place in a PEFT adapter')
  return f'bert.{name}'


def _linear_values(configs, shape):
  """Returns what adapter_config.json says of LoRA, IA3 or VeRA."""
  first = configs[0]
  if any(config.use_gating for config in configs):
    raise options.UserError('use_gating: PEFT has no gates')
  if len({dataclasses.replace(config, sites=(), leave_out=())
          for config in configs}) == 1 and isinstance(first, lora.LoRA):
    if first.dora == 'adapters':
      raise options.UserError("dora: PEFT's DoRA is dora=peft here")
    return {'peft_type': 'LORA', 'r': first.r, 'lora_alpha': first.alpha,
            'lora_dropout': first.dropout, 'use_rslora': first.rank_stabilized,
            'use_dora': bool(first.dora), 'bias': 'none',
            'target_modules': _pattern(configs, shape)}
  if isinstance(first, vera.VeRA) and len(configs) == 1 and not first.dense:
    return {'peft_type': 'VERA', 'r': first.r, 'vera_dropout': first.dropout,
            'bias': 'none', 'save_projection': True, 'projection_prng_key': 0,
            'target_modules': _pattern([first], shape)}
  if all(isinstance(config, ia3.IA3) for config in configs):
    return {'peft_type': 'IA3', 'target_modules': _pattern(configs, shape),
            'feedforward_modules': _pattern(
                [c for c in configs if c.kind == 'input'], shape)}
  raise options.UserError('PEFT has no such method or union of methods')


def _pattern(configs: list[Any], shape: bert.BertConfig) -> str | list[str]:
  """Returns a regular expression for the linear layers of some configs.

  A list of suffixes would not do: 'output.dense' ends two kinds of layers.
  """
  places = [
      rf'{layer}\.{re.escape(module)}' for layer in range(shape.layers)
      for site, module in names.LINEARS.items()
      if any(config.applies(site, layer) for config in configs)]
  return rf'.*\.layer\.({"|".join(places)})' if places else []


def _linear_tensors(configs, own):
  """Returns PEFT's tensors of LoRA, IA3 or VeRA."""
  tensors = {}
  for path, leaf in own.items():
    found = names.PATH.fullmatch(path)
    config = configs[int(found['index'])]
    if found['site'] == 'shared':
      tensors[f'base_model.vera_{path[-1].upper()}'] = leaf.T
      continue
    name = found['rest']
    if isinstance(config, lora.LoRA):
      key = {'a': 'lora_A.weight', 'b': 'lora_B.weight',
             'magnitude': 'lora_magnitude_vector'}[name]
      leaf = leaf.T
    elif isinstance(config, vera.VeRA):
      key = f'vera_lambda_{name}'
      if name == 'b':  # There is no alpha there.
        leaf = leaf * (config.alpha / config.r)
    else:
      key = 'ia3_l'
      leaf = config.alpha * leaf
      leaf = leaf[None] if config.kind == 'input' else leaf[:, None]
    module = names.LINEARS[found['site']]
    key = (f'base_model.model.bert.encoder.layer.{found["layer"]}.'
           f'{module}.{key}')
    if key in tensors:
      raise options.UserError(
          f'{module}: PEFT has no two methods in one place')
    tensors[key] = leaf
  return tensors


def _prompt_values(config, shape):
  """Returns what adapter_config.json says of a prompt or a prefix."""
  common = {
      'num_layers': shape.layers, 'num_attention_heads': shape.heads,
      'token_dim': shape.dim, 'num_transformer_submodules': 1}
  if isinstance(config, prompt.PromptTuning) and config.combine == 'words':
    return {'peft_type': 'PROMPT_TUNING', **common,
            'num_virtual_tokens': config.prompt_length}
  if (isinstance(config, prefix.PrefixTuning) and config.flat
      and config.shift_positions and not config.use_gating
      and not config.leave_out):
    return {'peft_type': 'PREFIX_TUNING', **common, 'prefix_projection': False,
            'encoder_hidden_size': shape.dim,
            'num_virtual_tokens': config.prefix_length}
  raise options.UserError(
      f'{type(config).__name__}: PEFT has none like it; it has LoRA, DoRA, '
      'VeRA, IA3, prompt_tuning[combine=words] and '
      'prefix_tuning_flat[shift_positions=True], in all layers and without '
      'gates')
