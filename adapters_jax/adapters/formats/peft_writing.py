"""Makes the entries and tensors of PEFT's files from adapters."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from adapters_jax import errors
from adapters_jax import methods
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters.formats import head_layers
from adapters_jax.adapters.formats import models
from adapters_jax.adapters.formats import peft_joined
from adapters_jax.adapters.formats import peft_names
from adapters_jax.adapters.formats import places
from adapters_jax.adapters.formats import transformers_heads
from adapters_jax.adapters.formats import weights
from adapters_jax.model import encoder
from adapters_jax.model import families


def to_tensors(
    adapter: adapter_lib.Adapter, shape: encoder.BertConfig,
    base: trees.Tree | None = None,
) -> tuple[dict[str, Any], weights.Tensors]:
  """Returns (values of adapter_config.json, tensors) of an adapter.

  Args:
    adapter: Adapter to write.
    shape: Shape of the base.
    base: Pretrained tree, for leaves of the first layer of a head, or of the
      pooler, that the adapter lacks.

  Raises:
    errors.UserError: PEFT has no such method, or no such head.
  """
  models.check_family(shape.family, 'peft')
  models.check_peft(adapter.methods, shape)
  # Before the head, whose faults a training with another one could avoid.
  entries = _entries(adapter.methods, shape) if adapter.methods else {}
  has_head = adapter.outputs is not None
  head = (transformers_heads.tensors_of(
      adapter, base or {}, shape.family, shape.classifier_pooling,
      shape.classifier_activation)
          if has_head else {})
  own, named, tuned = {}, {}, dict(adapter.tuned)
  if adapter.methods and has_head and 'pooler' in tuned:
    # PEFT reads whole modules.
    tuned['pooler'] = head_layers.leaves_of('pooler', adapter, base or {})
  for path, leaf in trees.flatten(tuned).items():
    value = np.asarray(leaf, np.float32)
    if trees.role(path) in ('adapter', 'fixed'):
      own[path] = value
    elif not peft_names.is_in_head(path, adapter.head_input, shape.family):
      # From Flax's [in, out] to torch's (out, in).
      name = peft_names.saved_name(path, adapter.head_input, shape.family)
      named[name] = value.T if value.ndim == 2 else value
  values = {'peft_type': '', 'base_model_name_or_path': None,
            'inference_mode': True,
            'task_type': adapter.head.peft_task or None if has_head else None}
  if has_head and not adapter.head.peft_task:
    values['auto_mapping'] = _mapping_of(shape.family, adapter.head_input)
    if not all(map(peft_names.at_linears, adapter.methods)):
      raise errors.UserError(
          f'PEFT has no prompts and prefixes for {adapter.head.name}; give '
          '`head=False` to leave the head out')
  if not adapter.methods:
    return _norms_alone(values, named, head, shape.family)
  values |= entries
  tensors = _own_tensors(adapter.methods, own, shape.family)
  if all(map(peft_names.at_linears, adapter.methods)):
    tensors, changed = peft_joined.join(tensors, values, shape.family)
    values |= changed
    values['modules_to_save'] = [
        *_head_modules(head),
        *peft_names.saved_modules(named, shape.family)] or None
    return values, tensors | {
        peft_names.STEM + key: leaf for key, leaf in (head | named).items()}
  if named:
    raise errors.UserError(
        'PEFT saves no layer norms with a prompt or a prefix; train with '
        '`tune_norms=False` for it')
  return values, tensors | {
      'base_model.' + key: leaf for key, leaf in head.items()}


def _mapping_of(family: str, head_input: str) -> dict[str, str]:
  """Returns PEFT's `auto_mapping`, for a head without a task of PEFT's.

  Args:
    family: Key of models.FOREIGN.
    head_input: Key of heads.HEADS, whose class it names.
  """
  module = family.replace('-', '_')
  return {'base_model_class': transformers_heads.class_of(family, head_input),
          'parent_library': f'transformers.models.{module}.modeling_{module}'}


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
      'modules_to_save': _head_modules(head) or None}, tensors


def _head_modules(keys: Collection[str]) -> list[str]:
  """Returns the modules of a head as PEFT saves them: the outermost."""
  return sorted({key.partition('.')[0] for key in keys})
