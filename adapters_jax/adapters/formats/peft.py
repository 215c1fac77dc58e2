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
from adapters_jax.adapters.formats import models
from adapters_jax.adapters.formats import places
from adapters_jax.adapters.formats import transformers_heads
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

_STEM = 'base_model.model.'


def read(
    folder: str, shape: encoder.BertConfig, head: bool = True
) -> adapter_lib.Adapter:
  """Returns the adapter of a folder, with its head and saved modules.

  Args:
    folder: Folder with adapter_config.json and adapter_model.safetensors or
      .bin.
    shape: Shape of the base.
    head: Whether to read the head.

  Raises:
    errors.UserError: a file is missing, damaged or not supported.
  """
  return from_tensors(
      json_files.read(os.path.join(folder, CONFIG)),
      weights.read(folder, WEIGHTS, 'adapter_model.bin'), shape, head)


def from_tensors(
    values: Mapping[str, Any], tensors: Mapping[str, np.ndarray],
    shape: encoder.BertConfig, head: bool = True,
) -> adapter_lib.Adapter:
  """Returns the adapter of an adapter_config.json and its tensors.

  Layers and sites follow from the tensors, so that patterns in `target_modules`
  need no interpretation.

  Args:
    values: JSON of the file.
    tensors: {name: tensor}.
    shape: Shape of the base.
    head: Whether to read the head.

  Raises:
    errors.UserError: an adapter of another base, or of an unsupported kind.
  """
  _refuse(values)
  family, ends, saved, own = shape.family, {}, {}, {}
  for key, value in tensors.items():
    key, value = _short(key, family), np.asarray(value, np.float32)
    if transformers_heads.is_head(key, family):
      ends[key] = value
    elif _is_saved(key, family):
      saved[key] = value
    else:
      own[key] = value
  configs, tuned = _methods(values, own, shape)
  if saved:
    tuned = trees.overlay(tuned, pretrained.from_hugging_face(saved, family))
  head_input = 'cls'
  if ends and head:
    found, head_input = transformers_heads.read(ends, family)
    tuned = trees.overlay(tuned, found)
    adapterhub_heads.check(head_input, found['head']['kernel'].shape[1])
  return adapter_lib.Adapter(configs, tuned, head_input, family=family)


def _is_saved(key: str, family: str) -> bool:
  """Returns whether a tensor is of a layer norm, or of the encoder's pooler."""
  path = families.our_name(key, family)
  # An update of the pooler is neither, and is refused.
  return trees.role(path) == 'norm' and path.endswith(('/scale', '/bias')) or (
      path in ('pooler/kernel', 'pooler/bias'))


def _place(key: str, family: str) -> tuple[tuple[int, str], str] | None:
  """Returns ((layer, site), rest of the name) of a linear layer's tensor."""
  table, number = families.FAMILIES[family], re.search(r'\.(\d+)\.', key)
  if number:
    key = key.replace(number[0], '.{}.', 1)
    for site, module in table.linears.items():
      start = f'{table.modules[module]}.'
      if key.startswith(start):
        return (int(number[1]), site), key.removeprefix(start)
  return None


def _short(key: str, family: str) -> str:
  """Returns a name without the prefixes of PEFT and transformers."""
  for start in ('base_model.', 'model.', models.prefix_of(family)):
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
    found = _place(key, shape.family)
    if found:
      sites.setdefault(found[0], {})[found[1]] = value
  configs = tuple(config for c in classes
                  for config in c.from_peft(values, sites, shape.layers))
  models.check_peft(configs, shape)
  wanted, flat, left = places.leaf_shapes(configs, shape), {}, dict(tensors)
  for path, leaf in wanted.items():
    config, where = places.find(path, configs, shape.family)
    key = _short(_key(config, where, shape.family), shape.family)
    if key in left:
      flat[path] = config.from_peft_tensor(where, left.pop(key), leaf.shape)
  if left:
    raise errors.UserError(
        f'{next(iter(left))} of a {kind} adapter has no place in the model')
  tuned = trees.unflatten(flat)
  trees.check_same(tuned, trees.unflatten(wanted), f'{kind} adapter')
  return configs, tuned


def _key(
    config: methods.Method, where: places_lib.Place, family: str
) -> str:
  """Returns PEFT's name of a leaf."""
  name = config.peft_names[where.leaf]
  if where.layer is not None:
    return f'{_STEM}{models.prefix_of(family)}{where.module}.{name}'
  # Leaves outside the layers: of VeRA's projections, or of a prompt.
  return f'base_model.{name}' if _at_linears(config) else name


def _at_linears(config: methods.Method) -> bool:
  return config.kind in ('linear', 'input')


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
  os.makedirs(folder, exist_ok=True)  # Only after all that can fail.
  atomic.write_json(os.path.join(folder, CONFIG), values)
  weights.write(os.path.join(folder, WEIGHTS), tensors)
  if adapter.outputs is None:
    return [f'names are those of a model of a task, such as '
            f'{models.class_of(shape.family, "SequenceClassification")}; PEFT '
            'does not find them in a bare encoder']
  name = transformers_heads.class_of(shape.family, adapter.head_input)
  notes = [f'load it on {name} with num_labels={adapter.outputs}']
  if (adapter.head_input == 'pooler'
      and transformers_heads.holds_pooler(shape.family)
      and any(config.kind == 'key_value' for config in adapter.methods)):
    notes.append(
        'peft 0.21.2 with transformers 4.57 fails on classes after a prefix of '
        f'{shape.family}; spans (`QUESTION_ANS`) it computes')
  if adapter.head_input == 'tokens' and shape.segments > 1:
    notes.append(
        'PeftModelForQuestionAnswering does not pass token_type_ids on (peft '
        '0.21.2); but for prompts and prefixes, call its get_base_model()')
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
  models.check(shape.family, 'peft')
  models.check_peft(adapter.methods, shape)
  has_head = adapter.outputs is not None
  head = (transformers_heads.written(adapter, base or {}, shape.family)
          if has_head else {})
  own, named = {}, {}
  for path, leaf in trees.flatten(adapter.tuned).items():
    value = np.asarray(leaf, np.float32)
    if trees.role(path) in ('adapter', 'fixed'):
      own[path] = value
    elif not _in_head(path, adapter.head_input, shape.family):
      # [in, out] to (out, in)
      named[_their_name(path, shape.family)] = (
          value.T if value.ndim == 2 else value)
  values = {'peft_type': '', 'base_model_name_or_path': None,
            'inference_mode': True,
            'task_type': transformers_heads.task_of(adapter.head_input)
                         if has_head else None}
  if not adapter.methods:
    return _norms_alone(values, named, head, shape.family)
  values |= _entries(adapter.methods, shape)
  tensors = _own_tensors(adapter.methods, own, shape.family)
  if all(map(_at_linears, adapter.methods)):
    values['modules_to_save'] = [
        *transformers_heads.modules(head), *_modules(named, shape.family)
    ] or None
    return values, tensors | {
        _STEM + key: leaf for key, leaf in (head | named).items()}
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
      name: [c for c in configs if name in c.peft_targets]
      for config in configs for name in config.peft_targets}
  return {**first, **_targets(targets, shape)}


def _targets(
    configs: Mapping[str, list[methods.Method]], shape: encoder.BertConfig
) -> dict[str, list[str]]:
  """Returns {entry: ends of names of modules} from {entry: its methods}.

  Always written out, since PEFT has no default for some families. Names with
  the index of the layer, unless short ones mean the same.
  """
  places = {
      entry: [(site, layer) for site in families.LINEARS
              for layer in range(shape.layers)
              if any(config.applies(site, layer) for config in chosen)]
      for entry, chosen in configs.items()}
  short = {site: _short_name(site, shape.family) for site in families.LINEARS}
  # One form for all entries: PEFT wants feedforward_modules among the targets.
  if all(short[site] and len([s for s, _ in found if s == site]) == shape.layers
         for found in places.values() for site, _ in found):
    return {entry: list(dict.fromkeys(short[site] for site, _ in found))
            for entry, found in places.items()}
  return {entry: [families.their_site(*place, shape.family) for place in found]
          for entry, found in places.items()}


def _short_name(site: str, family: str) -> str:
  """Returns the shortest end of a module's name that no other one has.

  '' if there is none: BERT's 'output.dense' ends two kinds of layers.
  """
  table = families.FAMILIES[family]
  name = table.modules[table.linears[site]]
  parts = name.partition('{}.')[2].split('.')
  for count in range(1, len(parts) + 1):
    end = '.'.join(parts[-count:])
    if not any(other.endswith(end) for other in table.modules.values()
               if other != name):
      return end
  return ''


def _own_tensors(
    configs: tuple[methods.Method, ...], leaves: Mapping[str, np.ndarray],
    family: str,
) -> weights.Tensors:
  """Returns the tensors of methods' leaves."""
  tensors = {}
  for path, leaf in leaves.items():
    config, where = places.find(path, configs, family)
    key = _key(config, where, family)
    if key in tensors:
      raise errors.UserError(f'{key}: PEFT has no two methods in one place')
    tensors[key] = config.to_peft_tensor(where, leaf)
  return tensors


def _modules(keys: Iterable[str], family: str) -> list[str]:
  """Returns the names of the modules that have these leaves."""
  prefix = models.prefix_of(family)
  return sorted({key.removeprefix(prefix).rsplit('.', 1)[0] for key in keys})


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
  tensors = {f'{_STEM}{key}': leaf for key, leaf in head.items()}
  for key, leaf in named.items():
    module, _, end = key.rpartition('.')
    tensors[f'{_STEM}{module}.ln_tuning_layers.{end}'] = leaf
  return {
      **values, 'peft_type': 'LN_TUNING',
      'target_modules': _modules(named, family),
      'modules_to_save': transformers_heads.modules(head) or None}, tensors


def _in_head(path: str, head_input: str, family: str) -> bool:
  """Returns whether a leaf is of the head, as transformers divides models."""
  pooler = head_input == 'pooler' and transformers_heads.holds_pooler(family)
  return path.startswith('head/') or pooler and path.startswith('pooler/')


def _their_name(path: str, family: str) -> str:
  """Returns transformers' name of a norm or of the encoder's pooler."""
  pooler = (path.startswith('pooler/')
            and not transformers_heads.holds_pooler(family))
  if not pooler and trees.role(path) != 'norm':
    raise errors.UserError(f'{path} has no place in a PEFT adapter')
  return models.prefix_of(family) + families.their_name(path, family)
