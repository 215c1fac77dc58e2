"""Adapter folders of the `adapters` library (AdapterHub), read and written."""

from collections.abc import Callable, Mapping
import dataclasses
import logging
import os
from typing import Any

import numpy as np

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import folders
from adapters_jax.adapters.formats import adapterhub_configs
from adapters_jax.adapters.formats import adapterhub_heads
from adapters_jax.adapters.formats import adapterhub_norms
from adapters_jax.adapters.formats import adapterhub_old
from adapters_jax.adapters.formats import models
from adapters_jax.adapters.formats import origins
from adapters_jax.adapters.formats import places
from adapters_jax.adapters.formats import setup_checks
from adapters_jax.adapters.formats import weights
from adapters_jax.downloads import atomic
from adapters_jax.downloads import json_files
from adapters_jax.methods import strings
from adapters_jax.methods import values as values_lib
from adapters_jax.model import encoder

CONFIG = folders.ADAPTER_CONFIG
WEIGHTS = 'adapter.safetensors'
BIN = 'pytorch_adapter.bin'  # The library's default format.
HEAD_CONFIG = 'head_config.json'
HEAD_WEIGHTS = 'model_head.safetensors'
HEAD_BIN = 'pytorch_model_head.bin'
_log = logging.getLogger(__name__)


def from_tensors(
    values: Mapping[str, Any], tensors: Mapping[str, np.ndarray],
    shape: encoder.BertConfig,
) -> adapter_lib.Adapter:
  """Returns the adapter of an adapter_config.json and its tensors.

  Args:
    values: JSON of the file.
    tensors: {name: tensor}, with or without the prefix of the family, such as
      'bert.'.
    shape: Shape of the base.

  Raises:
    errors.UserError: an adapter of another base, or of an unsupported kind.
  """
  name = values_lib.needed(values, 'name')
  tensors = adapterhub_old.renamed(tensors)
  config = adapterhub_old.without_unused(
      adapterhub_old.flattened(values_lib.needed(values, 'config')),
      values.get('type'), tensors)
  configs = adapterhub_configs.from_config(
      config, values.get('version') or '')
  strings.check_layers(configs, shape.layers, f'adapter {name!r}')
  models.check_adapterhub(configs, shape)
  prefix = models.prefix_of(shape.family)
  tensors = {key.removeprefix(prefix): np.asarray(value, np.float32)
             for key, value in tensors.items()}
  wanted = places.leaf_shapes(configs, shape)
  flat, missing, used = {}, [], set()

  def read(key):
    tensor = tensors[key]  # A KeyError leaves `used` unchanged.
    used.add(key)
    return tensor

  for path, leaf in wanted.items():
    config, where = places.find(path, configs, shape.family)
    key = models.adapterhub_key(
        config.adapterhub_key(where, name), shape.family)
    try:
      flat[path] = config.from_adapterhub_tensors(where, key, leaf.shape, read)
    except KeyError:
      missing.append(key)
  # Ignoring a tensor would silently change the outputs.
  left = [key for key in tensors if key not in used and not any(
      config.adapterhub_copies(key) for config in configs)]
  tuned = trees.unflatten(flat)
  with places.on_base(shape):
    if missing:
      raise errors.UserError(
          f'adapter {name!r}: {len(missing)} tensors are missing, such as '
          f'{missing[0]}')
    if left:
      raise errors.UserError(
          f'adapter {name!r}: {left[0]} has no place in '
          f'{strings.render(configs)}')
    trees.check_same(tuned, trees.unflatten(wanted), f'adapter {name!r}')
  return adapter_lib.Adapter(configs, tuned, family=shape.family)


def to_tensors(
    name: str, adapter: adapter_lib.Adapter, family: str = 'bert'
) -> weights.Tensors:
  """Returns the tensors by the library's names, with the family's prefix.

  Args:
    name: Name of the adapter in the file.
    adapter: Adapter to write.
    family: Family of the base.

  Returns:
    {name: float32 tensor}

  Raises:
    errors.UserError: two methods are in one place, or a tuned layer of the base
      that the library does not save.
  """
  tensors = {}
  for path, leaf in trees.flatten(adapter.tuned).items():
    role = trees.role(path)
    if role == 'encoder' and not trees.is_above(path):
      raise errors.UserError(
          f'{path} has no place in files of AdapterHub, as it belongs to the '
          "base; the formats 'peft', 'transformers' and 'own' hold it")
    # Heads and norms have files of their own.
    if role not in ('adapter', 'fixed'):
      continue
    config, where = places.find(path, adapter.methods, family)
    key = models.prefix_of(family) + models.adapterhub_key(
        config.adapterhub_key(where, name), family)
    found = config.to_adapterhub_tensors(
        where, key, np.asarray(leaf, np.float32))
    if found.keys() & tensors.keys():
      raise errors.UserError(
          f'{key}: two methods of the union are in one place, which the '
          'adapters library cannot hold')
    tensors |= found
  return tensors


def read(
    folder: str, shape: encoder.BertConfig, head: bool = True,
    base: Callable[[], trees.Tree] | None = None,
) -> tuple[str, adapter_lib.Adapter]:
  """Returns (name, adapter) of a folder, with its head and norms if present.

  A .bin file is read without executing its pickle.

  Args:
    folder: Folder with adapter_config.json and adapter.safetensors or
      pytorch_adapter.bin, and perhaps the files of a head.
    shape: Shape of the base.
    head: Whether to read the head.
    base: Makes the pretrained tree, to check the decoder of a masked_lm head.

  Raises:
    errors.UserError: a file is missing, damaged or not supported.
  """
  values = json_files.read(os.path.join(folder, CONFIG))
  origins.check(values, shape, os.path.join(folder, CONFIG))
  whole = weights.read(folder, WEIGHTS, BIN)
  adapter = from_tensors(values, whole, shape)
  for note in dict.fromkeys(
      config.adapterhub_on_padding() for config in adapter.methods):
    if note:
      _log.warning('%s: %s', folder, note)
  tuned, head_input, labels = adapter.tuned, 'cls', ()
  if head and os.path.isfile(os.path.join(folder, HEAD_CONFIG)):
    tensors = weights.read(folder, HEAD_WEIGHTS, HEAD_BIN)
    with errors.within(weights.find(folder, HEAD_WEIGHTS, HEAD_BIN)):
      found, head_input, labels = adapterhub_heads.read(
          json_files.read(os.path.join(folder, HEAD_CONFIG)), tensors, shape,
          base)
    tuned = trees.overlay(tuned, found)
  tuned = trees.overlay(tuned, adapterhub_norms.read(folder, whole))
  return values['name'], dataclasses.replace(
      adapter, tuned=tuned, head_input=head_input, labels=labels)


def write(
    folder: str, name: str, adapter: adapter_lib.Adapter, base: trees.Tree,
    shape: encoder.BertConfig, model: str = '',
) -> list[str]:
  """Writes a folder for `load_adapter` of the library, in both its formats.

  Args:
    folder: Folder, created if absent.
    name: Name of the adapter in the files.
    adapter: Adapter to write; its labels may be empty.
    base: Pretrained tree, for the pooler where the head reads it.
    shape: Shape of the base.
    model: Name of the base on the Hugging Face hub, '' if unknown.

  Returns:
    Notes for the user, such as that tuned layer norms went to a file that the
    library does not read.

  Raises:
    errors.UserError: the library cannot hold the adapter or the name.
  """
  setup_checks.check_name(name, '`name`')
  models.check_family(shape.family, 'adapterhub')
  models.check_adapterhub(adapter.methods, shape)
  common = entries(name, shape, model)
  config = adapterhub_configs.to_config(adapter.methods, shape)
  tensors = to_tensors(name, adapter, shape.family)
  head = (adapterhub_heads.config_and_tensors(name, adapter, base, shape)
          if 'head' in adapter.tuned else None)
  os.makedirs(folder, exist_ok=True)  # After everything that can fail.
  weights.remove(folder, HEAD_CONFIG, HEAD_WEIGHTS, HEAD_BIN)
  atomic.write_json(
      os.path.join(folder, CONFIG), {'config': config, **common})
  weights.write_both(folder, WEIGHTS, BIN, tensors)
  if head is not None:
    head_config, head_tensors = head
    atomic.write_json(os.path.join(folder, HEAD_CONFIG),
                      {'config': head_config, **common})
    weights.write_both(folder, HEAD_WEIGHTS, HEAD_BIN, head_tensors)
  notes = list(dict.fromkeys(  # Gates of several methods have the same note.
      note for config in adapter.methods for note in config.adapterhub_notes()))
  notes += models.adapterhub_notes(adapter.methods, shape.family)
  return notes + adapterhub_norms.write(folder, adapter.tuned, tensors)


def entries(
    name: str, shape: encoder.BertConfig, model: str
) -> dict[str, Any]:
  """Returns the entries that all JSON files of the library have.

  Args:
    name: Name of the adapter, or of a fusion.
    shape: Shape of the base.
    model: Name of the base on the Hugging Face hub, '' if unknown.
  """
  return {
      'hidden_size': shape.dim,
      'model_class': models.adapterhub_class(shape.family), 'model_name': model,
      'model_type': shape.family, 'name': name,
      'version': adapterhub_configs.VERSION}
