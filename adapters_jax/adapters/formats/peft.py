"""Adapter folders of PEFT, read and written."""

from collections.abc import Iterable, Mapping
import os
import re
from typing import Any

import numpy as np

from adapters_jax import errors
from adapters_jax import methods
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters.formats import adapterhub_heads
from adapters_jax.adapters.formats import places
from adapters_jax.adapters.formats import weights
from adapters_jax.downloads import atomic
from adapters_jax.downloads import json_files
from adapters_jax.methods import places as places_lib
from adapters_jax.methods import values as values_lib
from adapters_jax.model import encoder
from adapters_jax.model import families
from adapters_jax.model import pretrained

CONFIG = 'adapter_config.json'
WEIGHTS = 'adapter_model.safetensors'

_LAYER = 'encoder.layer.'
# {end of a name below its layer: site of the linear layer}
_SITES = {families.their_site(site, 0).removeprefix(f'{_LAYER}0.'): site
          for site in families.LINEARS}
_LEAF = re.compile(
    rf'{re.escape(_LAYER)}(\d+)\.({"|".join(map(re.escape, _SITES))})\.(.+)')
# {name of a head: the part of the encoder's output that it reads}
_HEADS = {'classifier': 'pooler', 'qa_outputs': 'tokens'}
# {input of a head: (class of transformers that has it, PEFT's task)}
_MODELS = {'pooler': ('BertForSequenceClassification', 'SEQ_CLS'),
           'tokens': ('BertForQuestionAnswering', 'QUESTION_ANS')}
_HEAD = re.compile(rf'({"|".join(_HEADS)})\.(weight|bias)')
# Names of saved modules. An update of the pooler is none, and is refused.
_SAVED = re.compile(r'(?:^pooler\.dense|\.LayerNorm)\.(?:weight|bias)$')
_STEM = 'base_model.model.'


def read(folder: str, shape: encoder.BertConfig) -> adapter_lib.Adapter:
  """Returns the adapter of a folder, with its head and saved modules.

  Args:
    folder: Folder with adapter_config.json and adapter_model.safetensors or
      .bin.
    shape: Shape of the base.

  Raises:
    errors.UserError: a file is missing, damaged or not supported.
  """
  return from_tensors(
      json_files.read(os.path.join(folder, CONFIG)),
      weights.read(folder, WEIGHTS, 'adapter_model.bin'), shape)


def from_tensors(
    values: Mapping[str, Any], tensors: Mapping[str, np.ndarray],
    shape: encoder.BertConfig,
) -> adapter_lib.Adapter:
  """Returns the adapter of an adapter_config.json and its tensors.

  Layers and sites follow from the tensors, so that patterns in `target_modules`
  need no interpretation.

  Args:
    values: JSON of the file.
    tensors: {name: tensor}.
    shape: Shape of the base.

  Raises:
    errors.UserError: an adapter of another base, or of an unsupported kind.
  """
  _refuse(values)
  head, saved, own, head_input = {}, {}, {}, 'cls'
  for key, value in tensors.items():
    key, value = _short(key), np.asarray(value, np.float32)
    found = _HEAD.fullmatch(key)
    if found:
      head[found[2]], head_input = value, _HEADS[found[1]]
    elif _SAVED.search(key):
      saved[key] = value
    else:
      own[key] = value
  configs, tuned = _methods(values, own, shape)
  if saved:
    tuned = trees.overlay(tuned, pretrained.from_hugging_face(saved))
  if head:
    kernel = values_lib.needed(head, 'weight').T
    tuned['head'] = {
        'kernel': kernel, 'bias': head.get('bias', np.zeros(kernel.shape[1]))}
    adapterhub_heads.check(head_input, kernel.shape[1])
  return adapter_lib.Adapter(configs, tuned, head_input)


def _short(key: str) -> str:
  """Returns a name without the prefixes of PEFT and transformers."""
  for start in ('base_model.', 'model.', 'bert.'):
    key = key.removeprefix(start)
  # LN_TUNING's copy of a norm lies one level deeper.
  return key.replace('.ln_tuning_layers.', '.')


def _refuse(values: Mapping[str, Any]) -> None:
  """Raises UserError for options that change an adapter's outputs."""
  for name, plain in (
      ('bias', 'none'), ('lora_bias', False), ('fan_in_fan_out', False),
      ('rank_pattern', {}), ('alpha_pattern', {}), ('alora_invocation_tokens',
                                                    None)):
    if values.get(name) not in (plain, None):  # Absent or null: plain.
      raise errors.UserError(
          f'`{name}={values[name]!r}` of a PEFT adapter is not supported')
  init = values.get('init_lora_weights', True)
  # Others, such as 'pissa', leave a residual in the base's kernels.
  if init not in (True, False, 'gaussian', 'orthogonal', 'eva'):
    raise errors.UserError(
        f'`init_lora_weights={init!r}` changes the base; save the adapter with '
        'path_initial_model_for_weight_conversion to make it plain LoRA')


def _methods(values, tensors, shape):
  """Returns (methods, tuned tree) of the tensors outside saved modules."""
  kind = values_lib.needed(values, 'peft_type')
  classes = [c for c in methods.classes() if kind in c.peft_types]
  if not classes and kind != 'LN_TUNING':
    raise errors.unknown('`peft_type`', kind, dict.fromkeys(
        ['LN_TUNING', *(name for c in methods.classes()
                        for name in c.peft_types)]))
  if classes and not tensors:
    raise errors.UserError(f'the {kind} adapter has no tensors')
  sites = {}
  for key, value in tensors.items():
    found = _LEAF.fullmatch(key)
    if found:
      place = int(found[1]), _SITES[found[2]]
      sites.setdefault(place, {})[found[3]] = value
  configs = tuple(config for c in classes
                  for config in c.from_peft(values, sites, shape.layers))
  wanted, flat, left = places.leaf_shapes(configs, shape), {}, dict(tensors)
  for path, leaf in wanted.items():
    config, where = places.find(path, configs)
    key = _short(_key(config, where))
    if key in left:
      flat[path] = config.from_peft_tensor(where, left.pop(key), leaf.shape)
  if left:
    raise errors.UserError(
        f'{next(iter(left))} of a {kind} adapter has no place in the model')
  tuned = trees.unflatten(flat)
  trees.check_same(tuned, trees.unflatten(wanted), f'{kind} adapter')
  return configs, tuned


def _key(config: methods.Method, where: places_lib.Place) -> str:
  """Returns PEFT's name of a leaf."""
  name = config.peft_names[where.leaf]
  if where.layer is not None:
    return f'{_STEM}bert.{where.module}.{name}'
  # Leaves outside the layers: of VeRA's projections, or of a prompt.
  return f'base_model.{name}' if _at_linears(config) else name


def _at_linears(config: methods.Method) -> bool:
  return config.kind in ('linear', 'input')


def write(
    folder: str, adapter: adapter_lib.Adapter, shape: encoder.BertConfig
) -> list[str]:
  """Writes an adapter as a folder for `PeftModel.from_pretrained`.

  Args:
    folder: Folder, created if absent.
    adapter: Adapter; layer norms alone become LN_TUNING. A head must be on
      every position or read the pooler, as in transformers.
    shape: Shape of the base.

  Returns:
    Notes for the user.

  Raises:
    errors.UserError: PEFT has no such method, or no such head.
  """
  values, tensors = to_tensors(adapter, shape)
  os.makedirs(folder, exist_ok=True)  # Only after all that can fail.
  atomic.write_json(os.path.join(folder, CONFIG), values)
  weights.write(os.path.join(folder, WEIGHTS), tensors)
  if adapter.outputs is None:
    return []
  model, _ = _MODELS[adapter.head_input]
  notes = [f'load it on {model} with num_labels={adapter.outputs}']
  if adapter.head_input == 'tokens':
    notes.append(
        'PeftModelForQuestionAnswering does not pass token_type_ids on (peft '
        '0.21.2); but for prompts and prefixes, call its get_base_model()')
  return notes


def to_tensors(
    adapter: adapter_lib.Adapter, shape: encoder.BertConfig
) -> tuple[dict[str, Any], weights.Tensors]:
  """Returns (values of adapter_config.json, tensors) of an adapter.

  Args:
    adapter: Adapter to write.
    shape: Shape of the base.

  Raises:
    errors.UserError: PEFT has no such method, or no such head.
  """
  if adapter.outputs is not None and adapter.head_input not in _MODELS:
    raise errors.UserError(
        "head: BertForSequenceClassification's reads the pooler; train with "
        '`head_input=pooler` for PEFT')
  own, named = {}, {}
  for path, leaf in trees.flatten(adapter.tuned).items():
    value = np.asarray(leaf, np.float32)
    if trees.role(path) in ('adapter', 'fixed'):
      own[path] = value
    else:
      name = _their_name(path, adapter.head_input)
      # [in, out] to (out, in)
      named[name] = value.T if value.ndim == 2 else value
  values = {'peft_type': '', 'base_model_name_or_path': None,
            'inference_mode': True,
            'task_type': None if adapter.outputs is None
                         else _MODELS[adapter.head_input][1]}
  if not adapter.methods:
    return _norms_alone(values, named)
  values |= _entries(adapter.methods, shape)
  tensors = _own_tensors(adapter.methods, own)
  if all(map(_at_linears, adapter.methods)):
    values['modules_to_save'] = _modules(named) or None
    return values, tensors | {_STEM + key: leaf for key, leaf in named.items()}
  # The head alone carries no prefix 'bert.'.
  if any(key.startswith('bert.') for key in named):
    raise errors.UserError(
        'PEFT saves no layer norms with a prompt or a prefix; train with '
        '`tune_norms=false` for it')
  return values, tensors | {
      'base_model.' + key: leaf for key, leaf in named.items()}


def _entries(
    configs: tuple[methods.Method, ...], shape: encoder.BertConfig
) -> dict[str, Any]:
  """Returns the entries of adapter_config.json that describe the methods."""
  linear = all(map(_at_linears, configs))
  if len(configs) > 1 and not linear:
    raise errors.UserError('PEFT has no unions of methods')
  first, *others = (config.to_peft(shape) for config in configs)
  # One config holds the options of all linear layers.
  if any(other != first for other in others):
    raise errors.UserError('PEFT has no such method or union of methods')
  if not linear:
    return first
  targets = {
      name: _pattern([c for c in configs if name in c.peft_targets], shape)
      for config in configs for name in config.peft_targets}
  return {**first, **targets}


def _pattern(
    configs: list[methods.Method], shape: encoder.BertConfig
) -> str | list[str]:
  """Returns a regular expression for the linear layers of some methods.

  A list of suffixes would not do: 'output.dense' ends two kinds of layers.
  """
  modules = [
      re.escape(families.their_site(site, layer).removeprefix(_LAYER))
      for layer in range(shape.layers) for site in families.LINEARS
      if any(config.applies(site, layer) for config in configs)]
  return rf'.*\.layer\.({"|".join(modules)})' if modules else []


def _own_tensors(
    configs: tuple[methods.Method, ...], leaves: Mapping[str, np.ndarray]
) -> weights.Tensors:
  """Returns the tensors of methods' leaves."""
  tensors = {}
  for path, leaf in leaves.items():
    config, where = places.find(path, configs)
    key = _key(config, where)
    if key in tensors:
      raise errors.UserError(f'{key}: PEFT has no two methods in one place')
    tensors[key] = config.to_peft_tensor(where, leaf)
  return tensors


def _modules(keys: Iterable[str]) -> list[str]:
  """Returns the names of the modules that have these leaves."""
  return sorted({key.removeprefix('bert.').rsplit('.', 1)[0] for key in keys})


def _norms_alone(
    values: dict[str, Any], named: weights.Tensors
) -> tuple[dict[str, Any], weights.Tensors]:
  """Returns (values, tensors) of layer norms and an optional head."""
  norms = [key for key in named if 'LayerNorm' in key]
  if not norms or any(key.startswith('bert.') for key in set(named) - {*norms}):
    raise errors.UserError(
        'there is no adapter to write; without one PEFT has layer norms and '
        'a head (`tune=norms`)')
  tensors = {
      _STEM + (key.replace('LayerNorm.', 'LayerNorm.ln_tuning_layers.')
               if key in norms else key): leaf
      for key, leaf in named.items()}
  modules = '|'.join(map(re.escape, _modules(norms)))
  return {
      **values, 'peft_type': 'LN_TUNING', 'target_modules': f'.*({modules})',
      'modules_to_save': _modules(set(named) - {*norms}) or None}, tensors


def _their_name(path: str, head_input: str) -> str:
  """Returns transformers' name of a norm, the pooler or the head."""
  if path.startswith('head/'):
    head = next(name for name, source in _HEADS.items() if source == head_input)
    return f'{head}.' + ('weight' if path.endswith('kernel') else 'bias')
  saved = trees.role(path) == 'norm' or path.startswith('pooler/')
  if not saved:
    raise errors.UserError(f'{path} has no place in a PEFT adapter')
  return f'bert.{families.their_name(path)}'
