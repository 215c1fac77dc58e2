"""Adapter folders of the `adapters` library (AdapterHub), read and written."""

from collections.abc import Mapping
import dataclasses
import json
import os
import re
from typing import Any

import jax
import numpy as np

from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters.formats import names
from adapters_jax.adapters.formats import orthogonal
from adapters_jax.adapters.formats import settings
from adapters_jax.adapters.formats import settings_writing
from adapters_jax.adapters.formats import weights
from adapters_jax.downloads import atomic
from adapters_jax import errors
from adapters_jax.methods import strings
from adapters_jax.model import encoder
from adapters_jax.model import heads
from adapters_jax import trees

VERSION = 'adapters.1.3.0'  # Whose files these are.
CONFIG = 'adapter_config.json'
WEIGHTS = 'adapter.safetensors'
HEAD_CONFIG = 'head_config.json'
HEAD_WEIGHTS = 'model_head.safetensors'
NORMS = 'layer_norms.safetensors'  # Ours: their files have no layer norms.


def adapter_shapes(
    configs: tuple[Any, ...], shape: encoder.BertConfig
) -> dict[str, Any]:
  """Returns {path: shape} of the leaves that methods add to an encoder."""
  model = heads.Classifier(dataclasses.replace(shape, adapters=configs), 1)
  tree = jax.eval_shape(lambda: encoder.init(model, jax.random.key(0)))
  return {path: leaf for path, leaf in trees.flatten(tree).items()
          if trees.role(path) in ('adapter', 'fixed')}


def from_tensors(
    values: Mapping[str, Any], tensors: Mapping[str, np.ndarray],
    shape: encoder.BertConfig,
) -> adapter_lib.Adapter:
  """Returns the adapter of an adapter_config.json and its tensors.

  Args:
    values: The JSON value.
    tensors: With or without the 'bert.' prefix.
    shape: Of the base.

  Raises:
    options.UserError: it does not fit the base, or cannot be read here.
  """
  name = settings.needed(values, 'name')
  configs = settings.from_adapterhub(
      settings.needed(values, 'config'), values.get('version') or '')
  strings.check_layers(configs, shape.layers, f'adapter {name}')
  tensors = {key.removeprefix('bert.'): np.asarray(value)
             for key, value in tensors.items()}
  wanted = adapter_shapes(configs, shape)
  flat, missing, read_keys = {}, [], set()
  for path, leaf in wanted.items():
    key = names.key_of(path, configs, name)
    read_keys |= {key, *orthogonal.keys(key)}
    if key in tensors:
      flat[path] = names.to_here(path, tensors[key], leaf.shape)
    elif orthogonal.has(tensors, key):
      flat[path] = orthogonal.read(tensors, key)
    else:
      missing.append(key)
  if missing:
    raise errors.UserError(
        f'adapter {name}: {len(missing)} tensors are missing, such as '
        f'{missing[0]}')
  left = [key for key in tensors
          if key not in read_keys and not _repeated(key, configs)]
  if left:
    raise errors.UserError(
        f'adapter {name}: {left[0]} has no place in '
        f'{strings.render(configs)}')
  try:
    trees.check_same(trees.unflatten(flat), trees.unflatten(wanted),
                     f'adapter {name}')
  except ValueError as error:
    raise errors.UserError(str(error)) from error
  return adapter_lib.Adapter(configs, trees.unflatten(flat))


def _repeated(key: str, configs: tuple[Any, ...]) -> bool:
  """Returns whether a tensor is a copy of another, or is never used there."""
  return (
      '.prefix_tuning.pool.' in key
      or (re.search(r'\.adapter_down\.0\.', key) is not None
          and any(getattr(c, 'ln_before', False) for c in configs))
      or ('.units.1.' in key
          and not any(getattr(c, 'suffix_positions', 0) for c in configs)))


def to_tensors(name: str, adapter: adapter_lib.Adapter) -> weights.Tensors:
  """Returns the adapter's tensors under the library's keys, with 'bert.'."""
  tensors = {}
  for path, leaf in trees.flatten(adapter.tuned).items():
    if trees.role(path) not in ('adapter', 'fixed'):
      continue
    key = 'bert.' + names.key_of(path, adapter.methods, name)
    if key in tensors:
      raise errors.UserError(
          f'{key}: two methods of the union are in one place, which the '
          'adapters library cannot hold')
    value = np.asarray(leaf, np.float32)
    config = adapter.methods[int(names.PATH.fullmatch(path)['index'])]
    if getattr(config, 'orthogonality', False) and path.endswith('projection'):
      tensors.update(orthogonal.written(key, value))
      continue
    tensors[key] = names.to_there(path, value)
    if 'adapter_norm_before' in key:  # Saved twice: it stands in a list too.
      tensors[key.replace('adapter_norm_before', 'adapter_down.0')] = (
          tensors[key])
  return tensors


def head_tensors(
    values: Mapping[str, Any] | None, tensors: Mapping[str, np.ndarray]
) -> tuple[trees.Tree, str]:
  """Returns (partial tree of a head, head_input).

  Args:
    values: The 'config' of head_config.json; None for transformers' own head.
    tensors: Of the head's file.

  Raises:
    options.UserError: a head that `heads` does not compute.
  """
  def dense(stem):
    kernel = settings.needed(dict(tensors), f'{stem}.weight').T
    bias = tensors.get(f'{stem}.bias', np.zeros(kernel.shape[1]))
    return {'kernel': np.asarray(kernel, np.float32),
            'bias': np.asarray(bias, np.float32)}

  if values is None:
    if 'qa_outputs.weight' in tensors:
      return {'head': dense('qa_outputs')}, 'tokens'
    return {'head': dense('classifier')}, 'pooler'
  layers, pooled = values.get('layers', 1), values.get('use_pooler', False)
  stem = next((key.rpartition('.1.weight')[0] for key in tensors
               if re.match(r'heads\..+\.1\.weight$', key)), 'heads')
  if (values.get('head_type'), layers) == ('question_answering', 1):
    return {'head': dense(f'{stem}.1')}, 'tokens'
  if values.get('head_type') != 'classification' or (layers, pooled) not in (
      (1, False), (1, True), (2, False)) or (
          layers == 2 and values.get('activation_function') != 'tanh'):
    raise errors.UserError(
        f'head: a {values.get("head_type")} head of {layers} layers '
        f'({values.get("activation_function")}, use_pooler={pooled}) is not '
        'supported; for classification one linear layer is, or two with tanh '
        'without the pooler, and for question answering one')
  if layers == 1:
    return {'head': dense(f'{stem}.1')}, 'pooler' if pooled else 'cls'
  return {'pooler': dense(f'{stem}.1'), 'head': dense(f'{stem}.4')}, 'pooler'


def check_head(head_input: str, outputs: int) -> None:
  """Raises UserError for a head on every position that finds no spans."""
  if head_input == 'tokens' and outputs != 2:
    raise errors.UserError(
        f'head: {outputs} outputs for each position, not one for the start '
        'and one for the end of an answer')


def read(
    folder: str, shape: encoder.BertConfig
) -> tuple[str, adapter_lib.Adapter]:
  """Returns (name, adapter) of a folder, with its head and norms if there.

  A .bin file is read without executing what is in it.

  Args:
    folder: With adapter_config.json and adapter.safetensors or
      pytorch_adapter.bin, and perhaps the files of a head.
    shape: Of the base.

  Raises:
    options.UserError: something is missing, damaged or not supported.
  """
  values = _read_json(os.path.join(folder, CONFIG))
  adapter = from_tensors(
      values, weights.read(folder, WEIGHTS, 'pytorch_adapter.bin'), shape)
  tuned, head_input, labels = adapter.tuned, 'cls', ()
  if os.path.isfile(os.path.join(folder, HEAD_CONFIG)):
    head = _read_json(os.path.join(folder, HEAD_CONFIG))
    tree, head_input = head_tensors(
        settings.needed(head, 'config'), weights.read(
            folder, HEAD_WEIGHTS, 'pytorch_model_head.bin'))
    tuned = trees.overlay(tuned, tree)
    numbered = ((head['config'] or {}).get('label2id')
                or head.get('label2id') or {})
    check_head(head_input, tree['head']['bias'].size)
    if head_input != 'tokens' and tree['head']['bias'].size > 1:
      labels = tuple(sorted(numbered, key=numbered.get))
  if os.path.isfile(os.path.join(folder, NORMS)):
    tuned = trees.overlay(
        tuned, trees.unflatten(weights.read(folder, NORMS)))
  return values['name'], dataclasses.replace(
      adapter, tuned=tuned, head_input=head_input, labels=labels)


def write(
    folder: str, name: str, adapter: adapter_lib.Adapter, base: trees.Tree,
    shape: encoder.BertConfig,
) -> list[str]:
  """Writes a folder for `load_adapter(..., use_safetensors=True)`.

  Args:
    folder: Made if absent.
    name: What to call it there.
    adapter: What to write; its labels may be empty.
    base: The pretrained tree, for the pooler where the head reads it.
    shape: Of the base.

  Returns:
    Notes for the user, such as that tuned layer norms went to a file that the
    library does not read.
  """
  if not name or '.' in name:  # Torch's names of modules have no dots.
    raise errors.UserError(f'--name={name}: give a name without dots')
  common = {
      'hidden_size': shape.dim, 'model_class': 'BertAdapterModel',
      'model_name': '', 'model_type': 'bert', 'name': name,
      'version': VERSION}
  config = settings_writing.to_adapterhub(
      adapter.methods, shape.dim, shape.layers)
  notes = []
  tensors = to_tensors(name, adapter)
  os.makedirs(folder, exist_ok=True)
  atomic.write_json(
      os.path.join(folder, CONFIG), {'config': config, **common})
  weights.write(os.path.join(folder, WEIGHTS), tensors)
  if 'head' in adapter.tuned:
    head_config, tensors = _head_of(name, adapter, base)
    atomic.write_json(os.path.join(folder, HEAD_CONFIG),
                       {'config': head_config, **common})
    weights.write(os.path.join(folder, HEAD_WEIGHTS), tensors)
  if any(getattr(c, 'stochastic_depth', 0) for c in adapter.methods):
    notes.append('`adapters` needs torchvision for stochastic_depth')
  if 'subtract_projection' in config and not config['subtract_projection']:
    notes.append(
        '`adapters` reads a DiReft from files as a NoReft, its own too, and '
        'computes something else')
  norms, _ = trees.split(
      adapter.tuned, lambda path: trees.role(path) == 'norm')
  if norms:
    weights.write(os.path.join(folder, NORMS), {
        path: np.asarray(leaf, np.float32)
        for path, leaf in trees.flatten(norms).items()})
    notes.append(
        f"tuned layer norms are in {NORMS}, which `adapters` does not load; "
        'train with --tune_norms=false for equal outputs there')
  return notes


def _head_of(
    name: str, adapter: adapter_lib.Adapter, base: trees.Tree
) -> tuple[dict[str, Any], weights.Tensors]:
  """Returns the head's config and tensors: all that is above the encoder."""
  stem = f'heads.{name}'

  def tensors(number, dense):
    return {f'{stem}.{number}.weight': np.asarray(dense['kernel']).T,
            f'{stem}.{number}.bias': np.asarray(dense['bias'])}

  head, pooled = adapter.tuned['head'], adapter.head_input == 'pooler'
  answers = adapter.head_input == 'tokens'
  found = tensors(4 if pooled else 1, head)
  if pooled:
    found |= tensors(1, adapter.tuned.get('pooler') or base['pooler'])
  labels = adapter.labels or tuple(
      f'LABEL_{n}' for n in range(adapter.outputs))
  kind = ({'head_type': 'question_answering'} if answers else
          {'head_type': 'classification', 'bias': True, 'use_pooler': False})
  return {
      **kind, 'num_labels': adapter.outputs, 'layers': 2 if pooled else 1,
      'activation_function': 'tanh', 'dropout_prob': None,
      'label2id': {label: n for n, label in enumerate(labels)}}, found


def _read_json(path: str) -> dict[str, Any]:
  try:
    with open(path, encoding='utf-8') as file:
      return json.load(file)
  except (OSError, ValueError) as error:
    raise errors.UserError(f'{path} cannot be read ({error})') from error
