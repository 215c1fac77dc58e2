"""Fusions of the `adapters` library: AdapterFusion's config and weights."""

from collections.abc import Iterator, Mapping
import os
from typing import Any

import numpy as np

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters.formats import adapterhub
from adapters_jax.adapters.formats import models
from adapters_jax.adapters.formats import places
from adapters_jax.adapters.formats import weights
from adapters_jax.downloads import atomic
from adapters_jax.downloads import json_files
from adapters_jax.methods import base
from adapters_jax.methods import bottleneck_fields
from adapters_jax.methods import values as values_lib
from adapters_jax.model import composition
from adapters_jax.model import encoder
from adapters_jax.model import setups

CONFIG = 'adapter_fusion_config.json'
WEIGHTS = 'model_adapter_fusion.safetensors'
BIN = 'pytorch_model_adapter_fusion.bin'
_LEAVES = {'query/kernel': 'query.weight', 'query/bias': 'query.bias',
           'key/kernel': 'key.weight', 'key/bias': 'key.bias',
           'value/kernel': 'value.weight'}
# Other values of these fields change outputs, and have no counterpart in this
# package: keys that include the residual, a temperature that falls per call.
_FIXED = {'residual_before': False, 'temperature': False}


def with_fields(setup: composition.Setup, folder: str) -> composition.Setup:
  """Returns a setup whose Fuse blocks have the fields of their configs.

  Args:
    setup: Setup of Stack and Fuse blocks.
    folder: Folder with a subfolder for each fusion.

  Raises:
    errors.UserError: a field with a value that is not supported.
  """
  if isinstance(setup, str):
    return setup
  fields: dict[str, Any] = {}
  if isinstance(setup, composition.Fuse):
    path = os.path.join(folder, name_of(setup), CONFIG)
    values = values_lib.needed(json_files.read(path), 'config')
    for name, value in _FIXED.items():
      if values.get(name, value) != value:
        raise errors.UserError(
            f'{path}: {name}={values[name]} is not supported; train the fusion '
            'without it')
    fields = {name: bool(values.get(name, True))
              for name in ('query', 'key', 'value')}
    fields['query_before_ln'] = bool(values.get('query_before_ln', False))
    # To the library None and 0 both mean the model's rate, 0.1 in BERT.
    fields['dropout'] = float(values.get('dropout_prob') or 0.1)
  return setup.with_members(
      [with_fields(member, folder) for member in setup.members], **fields)


def name_of(block: composition.Fuse) -> str:
  """Returns the library's name of a fusion."""
  return ','.join(block.members)


def _modules(
    tree: composition.Fuse, adapter: adapter_lib.Adapter,
    shape: encoder.BertConfig
) -> Iterator[tuple[str, str]]:
  """Yields (path of a fusion's module, its name in the library)."""
  methods = _methods(tree, adapter)
  for layer in range(shape.layers):
    for site in bottleneck_fields.SITES:
      if any(method.applies(site, layer) for method in methods):
        yield (f'encoder/layer_{layer}/adapter_fusion_{site}_{tree.index}',
               places.sublayer_module(site, layer, shape.family))


def _methods(
    tree: composition.Fuse, adapter: adapter_lib.Adapter
) -> list[base.Method]:
  """Returns the methods of a fuse's members, not those around the fuse."""
  return [method for part in setups.parts(tree)
          for method in adapter.methods[part.start:part.stop]]


def read(
    folder: str, block: composition.Fuse, tree: composition.Fuse,
    shape: encoder.BertConfig, adapter: adapter_lib.Adapter,
) -> trees.Tree:
  """Returns the leaves of a fusion.

  Args:
    folder: Folder with a subfolder for each fusion.
    block: The fusion in the setup, over names.
    tree: The same fusion, over the methods.
    shape: Shape of the base.
    adapter: Composed adapter.

  Raises:
    errors.UserError: a tensor is missing.
  """
  inner = os.path.join(folder, name_of(block))
  prefix = models.prefix_of(shape.family)
  tensors = {key.removeprefix(prefix): np.asarray(value, np.float32)
             for key, value in weights.read(
                 inner, WEIGHTS, BIN).items()}
  flat = {}
  for path, module in _modules(tree, adapter, shape):
    for leaf, name in _LEAVES.items():
      key = f'{module}.adapter_fusion_layer.{name_of(block)}.{name}'
      if key in tensors:
        tensor = tensors[key]
        flat[f'{path}/{leaf}'] = tensor.T if tensor.ndim == 2 else tensor
      elif getattr(block, leaf.split('/')[0]):
        raise errors.UserError(f'{inner}: {key} is missing')
  return trees.unflatten(flat)


def write(
    folder: str, block: composition.Fuse, tree: composition.Fuse,
    adapter: adapter_lib.Adapter, shape: encoder.BertConfig, model: str,
) -> list[str]:
  """Writes the folder of a fusion; returns notes.

  Args:
    folder: Folder in which the fusion gets a subfolder.
    block: The fusion in the setup, over names.
    tree: The same fusion, over the methods.
    adapter: Composed adapter.
    shape: Shape of the base.
    model: Name of the base on the Hugging Face hub, '' if unknown.
  """
  inner = os.path.join(folder, name_of(block))
  os.makedirs(inner, exist_ok=True)
  found: Mapping[str, Any] = trees.flatten(adapter.tuned)
  tensors = {}
  for path, module in _modules(tree, adapter, shape):
    for leaf, name in _LEAVES.items():
      if f'{path}/{leaf}' in found:
        key = (f'{models.prefix_of(shape.family)}{module}.adapter_fusion_layer.'
               f'{name_of(block)}.{name}')
        value = np.asarray(found[f'{path}/{leaf}'], np.float32)
        tensors[key] = value.T if value.ndim == 2 else value
  weights.write_both(inner, WEIGHTS, BIN, tensors)
  atomic.write_json(os.path.join(inner, CONFIG), {
      'config': {
          'query': block.query, 'key': block.key, 'value': block.value,
          'query_before_ln': block.query_before_ln, **_FIXED,
          'regularization': bool(block.regularization),
          'value_before_softmax': True, 'value_initialized': block.value,
          'dropout_prob': block.dropout},
      'adapter_names': list(block.members),
      **adapterhub.entries(name_of(block), shape, model)})
  notes = [] if block.dropout else [
      'a dropout of 0 in a fuse becomes 0.1 in `adapters` 1.3.0']
  if _fails(tree, adapter, shape):
    notes.append(
        f'`adapters` 1.3.0 fails on {adapter.setup}: it needs the last of a '
        'fuse wherever another adapter of the setup is')
  return notes


def _fails(
    tree: composition.Fuse, adapter: adapter_lib.Adapter,
    shape: encoder.BertConfig,
) -> bool:
  """Returns whether a fuse's last member lacks a place that others adapt."""
  last = setups.parts(tree)[-1]

  def found(methods):
    return {(site, layer) for layer in range(shape.layers)
            for site in bottleneck_fields.SITES
            if any(method.kind == 'sublayer' and method.applies(site, layer)
                   for method in methods)}

  return found(adapter.methods) > found(adapter.methods[last.start:last.stop])
