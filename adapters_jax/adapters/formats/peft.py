"""Adapter folders of PEFT, read and written."""

from collections.abc import Mapping
import dataclasses
import os
from typing import Any

import numpy as np

from adapters_jax import errors
from adapters_jax import methods
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters.formats import adapterhub_heads
from adapters_jax.adapters.formats import models
from adapters_jax.adapters.formats import peft_joined
from adapters_jax.adapters.formats import peft_labels
from adapters_jax.adapters.formats import peft_names
from adapters_jax.adapters.formats import peft_patterns
from adapters_jax.adapters.formats import peft_pooler
from adapters_jax.adapters.formats import places
from adapters_jax.adapters.formats import transformers_heads
from adapters_jax.adapters.formats import weights
from adapters_jax.downloads import atomic
from adapters_jax.downloads import json_files
from adapters_jax.methods import values as values_lib
from adapters_jax.model import encoder
from adapters_jax.model import families
from adapters_jax.model import pretrained

CONFIG = 'adapter_config.json'
WEIGHTS = 'adapter_model.safetensors'


def read(
    folder: str, shape: encoder.BertConfig, head: bool = True,
    base: peft_pooler.Base | None = None,
) -> adapter_lib.Adapter:
  """Returns the adapter of a folder, with its head and saved modules.

  Args:
    folder: Folder with adapter_config.json and adapter_model.safetensors or
      .bin.
    shape: Shape of the base.
    head: Whether to read the head.
    base: Makes the base with its pooler, for a LoRA of the pooler, and with the
      layers before a classifier, for a file without them.

  Raises:
    errors.UserError: a file is missing, damaged or not supported.
  """
  adapter = from_tensors(
      json_files.read(os.path.join(folder, CONFIG)),
      weights.read(folder, WEIGHTS, 'adapter_model.bin'), shape, head, base)
  return dataclasses.replace(adapter, labels=peft_labels.read(folder, adapter))


def from_tensors(
    values: Mapping[str, Any], tensors: Mapping[str, np.ndarray],
    shape: encoder.BertConfig, head: bool = True,
    base: peft_pooler.Base | None = None,
) -> adapter_lib.Adapter:
  """Returns the adapter of an adapter_config.json and its tensors.

  Layers and sites follow from the tensors, so that patterns in `target_modules`
  need no interpretation.

  Args:
    values: JSON of the file.
    tensors: {name: tensor}.
    shape: Shape of the base.
    head: Whether to read the head.
    base: Makes the base with its pooler, for a LoRA of the pooler.

  Raises:
    errors.UserError: an adapter of another base, or of an unsupported kind.
  """
  _refuse(values)
  values, tensors = peft_patterns.uniform(values, tensors)
  family, ends, saved, own = shape.family, {}, {}, {}
  tensors, pooler = peft_pooler.folded(values, tensors, family, base)
  for key, value in tensors.items():
    key = peft_names.shortened(key, family)
    value = np.asarray(value, np.float32)
    if transformers_heads.is_head(key, family):
      ends[key] = value
    elif peft_names.is_saved(key, family):
      saved[key] = value
    else:
      own[key] = value
  configs, tuned = _methods(
      values, peft_joined.split(own, family), shape)
  tuned = trees.overlay(tuned, pooler)
  if saved:
    tuned = trees.overlay(tuned, pretrained.from_hugging_face(saved, family))
  head_input = 'cls'
  if ends and head:
    found, head_input = transformers_heads.tree_of(
        ends, family, _task_of(values), shape.classifier_pooling, base)
    tuned = trees.overlay(tuned, found)
    adapterhub_heads.check_outputs(head_input, found['head']['kernel'].shape[1])
  return adapter_lib.Adapter(configs, tuned, head_input, family=family)


def _task_of(values: Mapping[str, Any]) -> str:
  """Returns PEFT's task, or the class of the model; '' if unknown."""
  task = values.get('task_type')
  if not task and isinstance(values.get('auto_mapping'), Mapping):
    task = values['auto_mapping'].get('base_model_class')
  return str(task or '')


def _refuse(values: Mapping[str, Any]) -> None:
  """Raises UserError for options that change an adapter's outputs."""
  for name, plain in (
      ('bias', 'none'), ('lora_bias', False), ('fan_in_fan_out', False),
      ('alora_invocation_tokens', None)):
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
    found = peft_names.site_of(key, shape.family)
    if found:
      sites.setdefault(found[0], {})[found[1]] = value
  configs = tuple(config for c in classes
                  for config in c.from_peft(values, sites, shape.layers))
  models.check_peft(configs, shape)
  wanted, flat, left = places.leaf_shapes(configs, shape), {}, dict(tensors)
  for path, leaf in wanted.items():
    config, where = places.find(path, configs, shape.family)
    key = peft_names.shortened(
        peft_names.key_of(config, where, shape.family), shape.family)
    if key in left:
      flat[path] = config.from_peft_tensor(where, left.pop(key), leaf.shape)
  if left:
    raise errors.UserError(
        f'{next(iter(left))} of a {kind} adapter has no place in the model')
  tuned = trees.unflatten(flat)
  trees.check_same(tuned, trees.unflatten(wanted), f'{kind} adapter')
  return configs, tuned


def write(
    folder: str, adapter: adapter_lib.Adapter, shape: encoder.BertConfig,
    base: trees.Tree | None = None, model: str = '',
) -> list[str]:
  """Writes an adapter as a folder for `PeftModel.from_pretrained`.

  Args:
    folder: Folder, created if absent.
    adapter: Adapter; layer norms alone become LN_TUNING. A head must be on
      every position or read the pooler, as in transformers.
    shape: Shape of the base.
    base: Pretrained tree, for the first layer of a head that has two.
    model: Name of the base on the Hugging Face hub, '' if unknown.

  Returns:
    Notes for the user.

  Raises:
    errors.UserError: PEFT has no such method, or no such head.
  """
  values, tensors = to_tensors(adapter, shape, base)
  values['base_model_name_or_path'] = model or None
  if not adapter.head.dense:  # On the bare encoder, whose names are shorter.
    values['task_type'] = 'FEATURE_EXTRACTION'
    start = peft_names.STEM + models.prefix_of(shape.family)
    tensors = {
        peft_names.STEM + key.removeprefix(start) if key.startswith(start)
        else key: value for key, value in tensors.items()}
  os.makedirs(folder, exist_ok=True)  # Only after all that can fail.
  weights.remove(folder, peft_labels.NAME)
  atomic.write_json(os.path.join(folder, CONFIG), values)
  weights.write(os.path.join(folder, WEIGHTS), tensors)
  if (adapter.labels and adapter.outputs is not None
      and not adapter.head.choices):
    peft_labels.write(folder, adapter.labels)
  return _notes(adapter, shape, values)


def _notes(
    adapter: adapter_lib.Adapter, shape: encoder.BertConfig,
    values: Mapping[str, Any],
) -> list[str]:
  """Returns notes for users who load a folder with PEFT.

  Args:
    adapter: Adapter.
    shape: Shape of the base.
    values: Entries of adapter_config.json.
  """
  notes = []
  if values.get('r', 0) > max(
      [getattr(config, 'r', 0) for config in adapter.methods], default=0):
    notes.append(
        f'LoRAs of layers that {shape.family} joins are one of rank '
        f'{values["r"]}')
  if not adapter.head.dense:
    notes.append('load it with SentenceTransformer(base).load_adapter(folder)')
    return notes
  if adapter.outputs is None:
    notes.append(
        'the names are those of a model with a head, such as '
        f'{transformers_heads.class_of(shape.family, "pooler")}; PEFT does not '
        'find them in a bare encoder')
    return notes
  name = transformers_heads.class_of(shape.family, adapter.head_input)
  several = (" and problem_type='multi_label_classification'"
             if adapter.head.multilabel else '')
  count = ('' if adapter.head.choices else
           f' with num_labels={adapter.outputs}{several}')
  notes.append(f'load it on {name}{count}')
  if adapter.labels and not adapter.head.choices:
    notes.append(peft_labels.NOTE)
  if (adapter.head.transformers == 'SequenceClassification'
      and transformers_heads.has_first(shape.family)
      and any(config.kind == 'key_value' for config in adapter.methods)):
    notes.append(
        'peft 0.21.2 with transformers 4.57 fails on classes after a prefix of '
        f'{shape.family}; spans (`QUESTION_ANS`) work')
  if adapter.head_input == 'tokens' and shape.segments > 1:
    notes.append(
        'PeftModelForQuestionAnswering (peft 0.21.2) drops token_type_ids; '
        'call its get_base_model(), unless the method is a prompt or a prefix')
  return notes


def to_tensors(
    adapter: adapter_lib.Adapter, shape: encoder.BertConfig,
    base: trees.Tree | None = None,
) -> tuple[dict[str, Any], weights.Tensors]:
  """Returns (values of adapter_config.json, tensors) of an adapter.

  Args:
    adapter: Adapter to write.
    shape: Shape of the base.
    base: Pretrained tree, for the first layer of a head that has two.

  Raises:
    errors.UserError: PEFT has no such method, or no such head.
  """
  models.check_family(shape.family, 'peft')
  models.check_peft(adapter.methods, shape)
  has_head = adapter.outputs is not None
  head = (transformers_heads.tensors_of(
      adapter, base or {}, shape.family, shape.classifier_pooling)
          if has_head else {})
  own, named = {}, {}
  for path, leaf in trees.flatten(adapter.tuned).items():
    value = np.asarray(leaf, np.float32)
    if trees.role(path) in ('adapter', 'fixed'):
      own[path] = value
    elif not peft_names.is_in_head(path, adapter.head_input, shape.family):
      # [in, out] to (out, in)
      name = peft_names.saved_name(path, adapter.head_input, shape.family)
      named[name] = value.T if value.ndim == 2 else value
  values = {'peft_type': '', 'base_model_name_or_path': None,
            'inference_mode': True,
            'task_type': adapter.head.peft_task or None if has_head else None}
  if has_head and not adapter.head.peft_task:
    values['auto_mapping'] = transformers_heads.mapping_of(
        shape.family, adapter.head_input)
    if not all(map(peft_names.at_linears, adapter.methods)):
      raise errors.UserError(
          f'PEFT has no prompts and prefixes for {adapter.head.name}; give '
          '`head=false` to leave the head out')
  if not adapter.methods:
    return _norms_alone(values, named, head, shape.family)
  values |= _entries(adapter.methods, shape)
  tensors = _own_tensors(adapter.methods, own, shape.family)
  if all(map(peft_names.at_linears, adapter.methods)):
    tensors, changed = peft_joined.join(tensors, values, shape.family)
    values |= changed
    values['modules_to_save'] = [
        *transformers_heads.modules(head),
        *peft_names.saved_modules(named, shape.family)] or None
    return values, tensors | {
        peft_names.STEM + key: leaf for key, leaf in (head | named).items()}
  if named:
    raise errors.UserError(
        'PEFT saves no layer norms with a prompt or a prefix; train with '
        '`tune_norms=false` for it')
  return values, tensors | {
      'base_model.' + key: leaf for key, leaf in head.items()}


def _entries(
    configs: tuple[methods.Method, ...], shape: encoder.BertConfig
) -> dict[str, Any]:
  """Returns the entries of adapter_config.json that describe the methods."""
  linear = all(map(peft_names.at_linears, configs))
  if len(configs) > 1 and not linear:
    raise errors.UserError('PEFT has no unions of methods')
  first, *others = (config.to_peft(shape) for config in configs)
  # One config holds the options of all linear layers.
  if any(other != first for other in others):
    raise errors.UserError('PEFT has no such method or union of methods')
  if not linear:
    return first
  targets = {
      name: [c for c in configs if name in c.peft_targets]
      for config in configs for name in config.peft_targets}
  return {**first, **peft_names.target_modules(targets, shape)}


def _own_tensors(
    configs: tuple[methods.Method, ...], leaves: Mapping[str, np.ndarray],
    family: str,
) -> weights.Tensors:
  """Returns the tensors of methods' leaves."""
  tensors = {}
  for path, leaf in leaves.items():
    config, where = places.find(path, configs, family)
    key = peft_names.key_of(config, where, family)
    if key in tensors:
      raise errors.UserError(f'{key}: PEFT has no two methods in one place')
    tensors[key] = config.to_peft_tensor(where, leaf)
  return tensors


def _norms_alone(
    values: dict[str, Any], named: weights.Tensors, head: weights.Tensors,
    family: str,
) -> tuple[dict[str, Any], weights.Tensors]:
  """Returns (values, tensors) of layer norms and an optional head."""
  others = [key for key in named
            if trees.role(families.our_name(key, family)) != 'norm']
  if not named or others:
    raise errors.UserError(
        'there is no adapter to write; without one PEFT has layer norms and '
        'a head (`tune=norms`)')
  tensors = {f'{peft_names.STEM}{key}': leaf for key, leaf in head.items()}
  for key, leaf in named.items():
    module, _, end = key.rpartition('.')
    tensors[f'{peft_names.STEM}{module}.ln_tuning_layers.{end}'] = leaf
  return {
      **values, 'peft_type': 'LN_TUNING',
      'target_modules': peft_names.saved_modules(named, family),
      'modules_to_save': transformers_heads.modules(head) or None}, tensors
