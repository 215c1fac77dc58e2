"""Setups of the `adapters` library: stacks, and AdapterFusion with weights."""

from collections.abc import Callable, Iterator, Mapping, Sequence
import dataclasses
import os
from typing import Any

import numpy as np

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import composing
from adapters_jax.adapters.formats import adapterhub
from adapters_jax.adapters.formats import adapterhub_norms
from adapters_jax.adapters.formats import models
from adapters_jax.adapters.formats import places
from adapters_jax.adapters.formats import weights
from adapters_jax.downloads import atomic
from adapters_jax.downloads import json_files
from adapters_jax.methods import bottleneck
from adapters_jax.methods import bottleneck_fields
from adapters_jax.methods import values as values_lib
from adapters_jax.model import composition
from adapters_jax.model import encoder
from adapters_jax.model import setups

SETUP = 'adapter_setup.json'
FUSION_CONFIG = 'adapter_fusion_config.json'
FUSION_WEIGHTS = 'model_adapter_fusion.safetensors'
FUSION_BIN = 'pytorch_model_adapter_fusion.bin'
_LEAVES = {'query/kernel': 'query.weight', 'query/bias': 'query.bias',
           'key/kernel': 'key.weight', 'key/bias': 'key.bias',
           'value/kernel': 'value.weight'}
# Fields with other values change outputs and have no counterpart in this
# package: keys that get the residual too, a temperature that falls per call.
_FIXED = {'residual_before': False, 'temperature': False}


def to_dict(setup: composition.Setup) -> dict[str, Any]:
  """Returns the JSON value of a setup of Stack and Fuse blocks."""
  if isinstance(setup, str):
    return {'type': 'single', 'children': [setup]}
  return {'type': type(setup).__name__,
          'children': [to_dict(member) for member in setup.members]}


def from_dict(values: Any, where: str) -> composition.Setup:
  """Returns the setup of a JSON value.

  Args:
    values: JSON value.
    where: Path of its file, for messages.

  Raises:
    errors.UserError: a block other than Stack and Fuse.
  """
  kind, children = (values_lib.needed(values, name)
                    for name in ('type', 'children'))
  if kind == 'single':
    return str(children[0])
  if kind not in ('Stack', 'Fuse'):
    raise errors.UserError(
        f'{where}: setups of Stack and Fuse are read, not {kind}; load the '
        'adapters one by one, and give predict the setup')
  block = composition.Stack if kind == 'Stack' else composition.Fuse
  return block(*(from_dict(child, where) for child in children))


def files(folder: str) -> list[str]:
  """Returns the paths of files that a folder with a setup may have.

  Args:
    folder: Folder with adapter_setup.json.

  Raises:
    errors.UserError: the file is damaged or not supported.
  """
  where = os.path.join(folder, SETUP)
  setup = from_dict(values_lib.needed(
      json_files.read(where), 'adapter_setup'), where)
  single = (adapterhub.CONFIG, adapterhub.WEIGHTS, adapterhub.BIN,
            adapterhub.HEAD_CONFIG, adapterhub.HEAD_WEIGHTS,
            adapterhub.HEAD_BIN)
  fusion = FUSION_CONFIG, FUSION_WEIGHTS, FUSION_BIN
  return [f'{name}/{file}' for name in dict.fromkeys(setups.names(setup))
          for file in single] + [
              f'{_name(block)}/{file}' for block in setups.fuses(setup)
              for file in fusion]


def read(
    folder: str, shape: encoder.BertConfig, head: bool = True,
    base: Callable[[], trees.Tree] | None = None,
) -> adapter_lib.Adapter:
  """Returns the composed adapter of a folder of `save_adapter_setup`.

  Args:
    folder: Folder with adapter_setup.json, and one for each adapter and fusion.
    shape: Shape of the base.
    head: Whether to read the head of the last adapter.
    base: As for `adapterhub.read`.

  Raises:
    errors.UserError: a file is missing, damaged or not supported.
  """
  where = os.path.join(folder, SETUP)
  setup = from_dict(values_lib.needed(
      json_files.read(where), 'adapter_setup'), where)
  names = list(dict.fromkeys(setups.names(setup)))
  bank = {name: adapterhub.read(
      os.path.join(folder, name), shape, head and name == names[-1], base)[1]
          for name in names}
  setup = _with_fields(setup, folder)
  whole = composing.compose(bank, setup)
  tuned = dict(whole.tuned)
  for block, tree in zip(setups.fuses(setup), _trees(whole), strict=True):
    tuned = trees.overlay(tuned, _read_fusion(
        folder, block, tree.index, shape, whole))
  last = bank[names[-1]]
  tuned = trees.overlay(tuned, {
      part: leaves for part, leaves in last.tuned.items()
      if part in trees.ABOVE})
  tuned = trees.overlay(tuned, adapterhub_norms.read(
      folder, _tensors(folder, names)))
  return dataclasses.replace(whole, tuned=tuned, labels=last.labels)


def write(
    folder: str, name: str, adapter: adapter_lib.Adapter, base: trees.Tree,
    shape: encoder.BertConfig, model: str = '',
) -> list[str]:
  """Writes a folder for `load_adapter_setup`, or for `load_adapter`.

  The head is in the folder of the last adapter, whose name it has there.

  Args:
    folder: Folder, created if absent.
    name: Name of an adapter that is not composed.
    adapter: Composed adapter, or another, as in `adapterhub.write`.
    base: Pretrained tree, for the pooler where the head reads it.
    shape: Shape of the base.
    model: Name of the base on the Hugging Face hub, '' if unknown.

  Returns:
    Notes for the user.

  Raises:
    errors.UserError: a setup that the library computes in another way.
  """
  if adapter.setup is None:
    return adapterhub.write(folder, name, adapter, base, shape, model)
  _check(adapter)
  last, _ = adapter.members[-1]
  notes: list[str] = []
  for member, _ in adapter.members:
    one = composing.member(adapter, member)
    kept, _ = trees.split(
        one.tuned, lambda path: trees.role(path) != 'norm' and (
            member == last or path.split('/')[0] not in trees.ABOVE))
    notes += adapterhub.write(
        os.path.join(folder, member), member,
        dataclasses.replace(one, tuned=kept), base, shape, model)
  for block, tree in zip(
      setups.fuses(adapter.setup), _trees(adapter), strict=True):
    notes += _write_fusion(folder, block, tree.index, adapter, shape, model)
  atomic.write_json(os.path.join(folder, SETUP), {
      'adapter_setup': to_dict(adapter.setup), 'head_setup': None,
      'version': adapterhub.VERSION})
  tensors = _tensors(folder, [name for name, _ in adapter.members])
  return notes + adapterhub_norms.write(folder, adapter.tuned, tensors)


def _tensors(folder: str, names: Sequence[str]) -> weights.Tensors:
  """Returns {adapter/name: tensor} of the folders of some adapters."""
  return {
      f'{name}/{key}': tensor for name in names for key, tensor in weights.read(
          os.path.join(folder, name), adapterhub.WEIGHTS,
          adapterhub.BIN).items()}


def _trees(adapter: adapter_lib.Adapter) -> list[composition.Fuse]:
  """Returns the resolved Fuse blocks of a composed adapter."""
  return setups.fuses(adapter.composition)


def _check(adapter: adapter_lib.Adapter) -> None:
  """Raises UserError for a setup that the library computes in another way."""

  def blocks(setup):
    if not isinstance(setup, str):
      yield setup
      for member in setup.members:
        yield from blocks(member)

  words = {block.word for block in blocks(adapter.setup)} - {'stack', 'fuse'}
  nested = any(isinstance(member, composition.Block)
               for block in setups.fuses(adapter.setup)
               for member in block.members)
  plain = all(isinstance(method, bottleneck.Bottleneck)
              and not method.is_parallel for method in adapter.methods)
  dots = any('.' in name for name, _ in adapter.members)
  if words or nested or not plain or dots:
    raise errors.UserError(
        '`format=adapterhub`: holds stacks and fuses of serial bottlenecks, '
        f'with names without dots, and computes {adapter.setup} in another '
        'way; export its members one by one, as in aj.member(adapter, '
        f'{adapter.members[-1][0]!r})')


def _with_fields(setup: composition.Setup, folder: str) -> composition.Setup:
  """Returns a setup whose Fuse blocks have the fields of their configs."""
  if isinstance(setup, str):
    return setup
  fields: dict[str, Any] = {}
  if isinstance(setup, composition.Fuse):
    path = os.path.join(folder, _name(setup), FUSION_CONFIG)
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
      [_with_fields(member, folder) for member in setup.members], **fields)


def _name(block: composition.Fuse) -> str:
  """Returns the library's name of a fusion."""
  return ','.join(block.members)


def _modules(
    index: int, adapter: adapter_lib.Adapter, shape: encoder.BertConfig
) -> Iterator[tuple[str, str]]:
  """Yields (path of a fusion's module, its name in the library)."""
  for layer in range(shape.layers):
    for site in bottleneck_fields.SITES:
      if any(method.applies(site, layer) for method in adapter.methods):
        yield (f'encoder/layer_{layer}/adapter_fusion_{site}_{index}',
               places.sublayer_module(site, layer, shape.family))


def _read_fusion(
    folder: str, block: composition.Fuse, index: int,
    shape: encoder.BertConfig, adapter: adapter_lib.Adapter,
) -> trees.Tree:
  """Returns the leaves of a fusion."""
  inner = os.path.join(folder, _name(block))
  prefix = models.prefix_of(shape.family)
  tensors = {key.removeprefix(prefix): np.asarray(value, np.float32)
             for key, value in weights.read(
                 inner, FUSION_WEIGHTS, FUSION_BIN).items()}
  flat = {}
  for path, module in _modules(index, adapter, shape):
    for leaf, name in _LEAVES.items():
      key = f'{module}.adapter_fusion_layer.{_name(block)}.{name}'
      if key in tensors:
        tensor = tensors[key]
        flat[f'{path}/{leaf}'] = tensor.T if tensor.ndim == 2 else tensor
      elif getattr(block, leaf.split('/')[0]):
        raise errors.UserError(f'{inner}: {key} is missing')
  return trees.unflatten(flat)


def _write_fusion(
    folder: str, block: composition.Fuse, index: int,
    adapter: adapter_lib.Adapter, shape: encoder.BertConfig, model: str,
) -> list[str]:
  """Writes the folder of a fusion; returns notes."""
  inner = os.path.join(folder, _name(block))
  os.makedirs(inner, exist_ok=True)
  found: Mapping[str, Any] = trees.flatten(adapter.tuned)
  tensors = {}
  for path, module in _modules(index, adapter, shape):
    for leaf, name in _LEAVES.items():
      if f'{path}/{leaf}' in found:
        key = (f'{models.prefix_of(shape.family)}{module}.adapter_fusion_layer.'
               f'{_name(block)}.{name}')
        value = np.asarray(found[f'{path}/{leaf}'], np.float32)
        tensors[key] = value.T if value.ndim == 2 else value
  weights.write_both(inner, FUSION_WEIGHTS, FUSION_BIN, tensors)
  atomic.write_json(os.path.join(inner, FUSION_CONFIG), {
      'config': {
          'query': block.query, 'key': block.key, 'value': block.value,
          'query_before_ln': block.query_before_ln, **_FIXED,
          'regularization': bool(block.regularization),
          'value_before_softmax': True, 'value_initialized': block.value,
          'dropout_prob': block.dropout},
      'adapter_names': list(block.members),
      **adapterhub.entries(_name(block), shape, model)})
  return [] if block.dropout else [
      'a dropout of 0 in a fuse becomes 0.1 in `adapters` 1.3.0']
