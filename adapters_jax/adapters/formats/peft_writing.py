"""Adapter folders of PEFT, written."""

from collections.abc import Iterable
import dataclasses
import os
import re
from typing import Any

import numpy as np

from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters.formats import names
from adapters_jax.adapters.formats import peft
from adapters_jax.adapters.formats import weights
from adapters_jax.downloads import atomic
from adapters_jax import errors
from adapters_jax.methods import ia3
from adapters_jax.methods import lora
from adapters_jax.methods import prefix
from adapters_jax.methods import prompt
from adapters_jax.methods import vera
from adapters_jax.model import encoder
from adapters_jax import trees

_STEM = 'base_model.model.'
# {what a head reads: (the class of transformers that has it, PEFT's task)}
_MODELS = {'pooler': ('BertForSequenceClassification', 'SEQ_CLS'),
           'tokens': ('BertForQuestionAnswering', 'QUESTION_ANS')}
_NORMS = (
    (r'^embeddings/norm/', 'embeddings.LayerNorm.'),
    (r'^encoder/layer_(\d+)/attention_norm/',
     r'encoder.layer.\1.attention.output.LayerNorm.'),
    (r'^encoder/layer_(\d+)/ffn_norm/', r'encoder.layer.\1.output.LayerNorm.'),
    (r'^pooler/', 'pooler.dense.'),
    (r'(kernel|scale)$', 'weight'))


def write(
    folder: str, adapter: adapter_lib.Adapter, shape: encoder.BertConfig
) -> list[str]:
  """Writes an adapter as a folder for `PeftModel.from_pretrained`.

  Args:
    folder: Made if absent.
    adapter: What to write; layer norms alone go as LN_TUNING. A head must be
      on every position or read the pooler, as those of transformers do.
    shape: Of the base.

  Returns:
    Notes for the user.

  Raises:
    options.UserError: PEFT has no such method, or no such head.
  """
  values, tensors = to_tensors(adapter, shape)
  os.makedirs(folder, exist_ok=True)
  atomic.write_json(os.path.join(folder, peft.CONFIG), values)
  weights.write(os.path.join(folder, peft.WEIGHTS), tensors)
  if adapter.outputs is None:
    return []
  model, _ = _MODELS[adapter.head_input]
  notes = [f'load it on {model} with num_labels={adapter.outputs}']
  if adapter.head_input == 'tokens':
    notes.append(
        'PeftModelForQuestionAnswering hands no token_type_ids on (peft '
        '0.21.2); but for prompts and prefixes, call its get_base_model()')
  return notes


def to_tensors(
    adapter: adapter_lib.Adapter, shape: encoder.BertConfig
) -> tuple[dict[str, Any], weights.Tensors]:
  """Returns (values of adapter_config.json, tensors) of an adapter."""
  if adapter.outputs is not None and adapter.head_input not in _MODELS:
    raise errors.UserError(
        "head: BertForSequenceClassification's reads the pooler; train with "
        '--head_input=pooler for PEFT')
  flat = {path: np.asarray(leaf, np.float32)
          for path, leaf in trees.flatten(adapter.tuned).items()}
  own = {path: leaf for path, leaf in flat.items()
         if trees.role(path) in ('adapter', 'fixed')}
  other = {path: leaf for path, leaf in flat.items() if path not in own}
  named = {_their_name(path, adapter.head_input):
               leaf.T if leaf.ndim == 2 else leaf
           for path, leaf in other.items()}
  values = {'peft_type': '', 'base_model_name_or_path': None,
            'inference_mode': True,
            'task_type': None if adapter.outputs is None
                         else _MODELS[adapter.head_input][1]}
  if not adapter.methods:
    return _norms_alone(values, named)
  first = adapter.methods[0]
  if first.kind in ('linear', 'input'):
    values |= _linear_values(adapter.methods, shape)
    tensors = _linear_tensors(adapter.methods, own)
  elif len(adapter.methods) == 1:
    values |= _prompt_values(first, shape)
    leaf, = own.values()
    tensors = {'prompt_embeddings': leaf}
  else:
    raise errors.UserError('PEFT has no unions of methods')
  if first.kind in ('linear', 'input'):
    tensors |= {_STEM + key: leaf for key, leaf in named.items()}
    values['modules_to_save'] = _modules(named) or None
    return values, tensors
  if set(other) - {'head/kernel', 'head/bias'}:
    raise errors.UserError(
        'PEFT saves no layer norms with a prompt or a prefix; train with '
        '--tune_norms=false for it')
  tensors |= {'base_model.' + key: leaf for key, leaf in named.items()}
  return values, tensors


def _modules(keys: Iterable[str]) -> list[str]:
  """Returns the names of the modules whose leaves these are."""
  return sorted({key.removeprefix('bert.').rsplit('.', 1)[0] for key in keys})


def _norms_alone(
    values: dict[str, Any], named: weights.Tensors
) -> tuple[dict[str, Any], weights.Tensors]:
  """Returns (values, tensors) of layer norms, and a head perhaps."""
  norms = [key for key in named if 'LayerNorm' in key]
  if not norms or any(key.startswith('bert.') for key in set(named) - {*norms}):
    raise errors.UserError(
        'there is no adapter to write; without one PEFT has layer norms and '
        'a head (--tune=norms)')
  tensors = {
      _STEM + (key.replace('LayerNorm.', 'LayerNorm.ln_tuning_layers.')
               if key in norms else key): leaf
      for key, leaf in named.items()}
  places = '|'.join(map(re.escape, _modules(norms)))
  return {
      **values, 'peft_type': 'LN_TUNING', 'target_modules': f'.*({places})',
      'modules_to_save': _modules(set(named) - {*norms}) or None}, tensors


def _their_name(path: str, head_input: str) -> str:
  """Returns what transformers calls a norm, the pooler or the head."""
  if path.startswith('head/'):
    head = next(name for name, read in peft.HEADS.items() if read == head_input)
    return f'{head}.' + ('weight' if path.endswith('kernel') else 'bias')
  name = path
  for pattern, replacement in _NORMS:
    name = re.sub(pattern, replacement, name)
  if '/' in name:
    raise errors.UserError(f'{path} has no place in a PEFT adapter')
  return f'bert.{name}'


def _linear_values(configs, shape):
  """Returns what adapter_config.json says of LoRA, IA3 or VeRA."""
  first = configs[0]
  if any(config.use_gating for config in configs):
    raise errors.UserError('use_gating: PEFT has no gates')
  if len({dataclasses.replace(config, sites=(), leave_out=())
          for config in configs}) == 1 and isinstance(first, lora.LoRA):
    if first.dora == 'adapters':
      raise errors.UserError("dora: PEFT's DoRA is dora=peft here")
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
  raise errors.UserError('PEFT has no such method or union of methods')


def _pattern(configs: list[Any], shape: encoder.BertConfig) -> str | list[str]:
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
      raise errors.UserError(
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
  raise errors.UserError(
      f'{type(config).__name__}: PEFT has none like it; it has LoRA, DoRA, '
      'VeRA, IA3, prompt_tuning[combine=words] and '
      'prefix_tuning_flat[shift_positions=True], in all layers and without '
      'gates')
