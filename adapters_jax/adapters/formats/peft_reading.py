"""Builds adapters from the entries and tensors of PEFT's files."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from adapters_jax import errors
from adapters_jax import methods
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters.formats import adapterhub_heads
from adapters_jax.adapters.formats import models
from adapters_jax.adapters.formats import peft_joined
from adapters_jax.adapters.formats import peft_names
from adapters_jax.adapters.formats import peft_patterns
from adapters_jax.adapters.formats import peft_pooler
from adapters_jax.adapters.formats import places
from adapters_jax.adapters.formats import transformers_heads
from adapters_jax.methods import values as values_lib
from adapters_jax.model import encoder
from adapters_jax.model import pretrained


def from_tensors(
    values: Mapping[str, Any], tensors: Mapping[str, np.ndarray],
    shape: encoder.BertConfig, head: bool = True,
    base: peft_pooler.Base | None = None,
) -> adapter_lib.Adapter:
  """Returns the adapter of an adapter_config.json and its tensors.

  Layers and sites are inferred from the tensors, so patterns in
  `target_modules` need no interpretation.

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
        ends, family, _task_of(values), shape.classifier_pooling, base,
        shape.classifier_activation)
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
      ('alora_invocation_tokens', None), ('arrow_config', None),
      ('layer_replication', [])):
    if values.get(name) not in (plain, None):  # Absent or null: plain.
      raise errors.UserError(
          f'`{name}={values[name]!r}` of a PEFT adapter is not supported')
  init = values.get('init_lora_weights', True)
  # Other values, such as 'pissa', also change the base's kernels.
  if init not in (True, False, 'gaussian', 'orthogonal', 'eva'):
    raise errors.UserError(
        f'`init_lora_weights={init!r}` changes the base; save the adapter with '
        'path_initial_model_for_weight_conversion to make it plain LoRA')


def _methods(
    values: Mapping[str, Any], tensors: Mapping[str, np.ndarray],
    shape: encoder.BertConfig,
) -> tuple[tuple[methods.Method, ...], trees.Tree]:
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
  tuned = trees.unflatten(flat)
  with places.on_base(shape):
    if left:
      raise errors.UserError(
          f'{next(iter(left))} of a {kind} adapter has no place in the model')
    trees.check_same(tuned, trees.unflatten(wanted), f'{kind} adapter')
  return configs, tuned
