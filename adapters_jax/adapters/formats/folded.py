"""Whole models: an encoder with an adapter folded in, as a folder's files."""

from collections.abc import Mapping
import dataclasses
import os
import shutil
from typing import Any

import numpy as np

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import folding
from adapters_jax.adapters.formats import weights
from adapters_jax.downloads import atomic
from adapters_jax.downloads import hub_checkpoints
from adapters_jax.downloads import json_files
from adapters_jax.model import encoder as encoder_lib
from adapters_jax.model import families
from adapters_jax.model import family_configs
from adapters_jax.model import pretrained
from adapters_jax.model import tensor_files


@dataclasses.dataclass(frozen=True, eq=False)
class Encoder:
  """An encoder with an adapter folded in.

  Attributes:
    source: Folder of the base.
    shape: Shape of the base.
    values: Entries of its config.json.
    tensors: {name in the files of the base: tensor}, without heads.
  """
  source: str
  shape: encoder_lib.BertConfig
  values: Mapping[str, Any]
  tensors: weights.Tensors


def fold(
    folder: str, adapter: adapter_lib.Adapter, checkpoint: str
) -> Encoder:
  """Folds an adapter, without its head and pooler, into its base.

  Args:
    folder: Folder that is to be written.
    adapter: Adapter whose methods are changes of weights, or fine-tuned leaves.
    checkpoint: Name or folder of its base.

  Raises:
    errors.UserError: an adapter that cannot be folded into its base, or the
      folder of the base.
  """
  source = pretrained.resolve(checkpoint, tokenizer=False)
  if os.path.realpath(folder) in map(os.path.realpath, (source, checkpoint)):
    raise errors.UserError(
        f'`path={folder}`: it is the folder of the base; name another')
  shape = pretrained.read_config(source)
  tuned = {name: leaves for name, leaves in adapter.tuned.items()
           if not trees.is_above(name)}
  tensors = tensor_files.read_folder(
      source, pretrained.names_of_encoder(source, shape.family).__contains__)
  tree = pretrained.from_hugging_face(tensors, shape.family)
  try:
    folded, _ = folding.fold_tree(
        tree, dataclasses.replace(adapter, tuned=tuned))
  except errors.UserError as error:
    raise errors.UserError(
        f"{error}; 'own' holds every adapter, and aj.predict and aj.encode "
        'apply it') from error
  flat = trees.flatten(folded)
  values = json_files.read(os.path.join(source, 'config.json'))
  if adapter.hidden_activation:
    values |= family_configs.activation_entry(
        families.FAMILIES[shape.family].activation, adapter.hidden_activation)
  return Encoder(source, shape, values, {
      name: _changed(name, value, flat, shape.family)
      for name, value in tensors.items()})


def write(
    folder: str, encoder: Encoder, tensors: Mapping[str, np.ndarray],
    values: Mapping[str, Any],
) -> None:
  """Writes the weights, config.json and the tokenizer of the base.

  Args:
    folder: Folder, created if absent.
    encoder: Result of `fold`.
    tensors: {name: tensor} of the model.
    values: Entries of config.json.
  """
  os.makedirs(folder, exist_ok=True)
  weights.write(os.path.join(folder, 'model.safetensors'), tensors)
  # Early BERTs lack the type. All weights here are float32, and a model in
  # transformers 5 would get the type that the file of the base states.
  atomic.write_json(os.path.join(folder, 'config.json'), {
      'model_type': encoder.shape.family,
      **{name: value for name, value in values.items()
         if name not in ('dtype', 'torch_dtype')}})
  for name in hub_checkpoints.TOKENIZER_FILES:
    if os.path.isfile(os.path.join(encoder.source, name)):
      shutil.copyfile(
          os.path.join(encoder.source, name), os.path.join(folder, name))
    else:  # A stale one, of another base, would be read with these weights.
      weights.remove(folder, name)


def _changed(
    name: str, value: np.ndarray, flat: Mapping[str, np.ndarray], family: str
) -> np.ndarray:
  """Returns a tensor with the folded leaves in place of its own.

  Args:
    name: Hugging Face's name.
    value: Tensor of the base.
    flat: {path: leaf} of the folded tree.
    family: Key of families.FAMILIES.
  """
  if families.is_ignored(name, family):
    return value
  found = []
  for part in families.part_tensors(name, value, family):
    path = families.our_name(part, family)
    leaf = np.asarray(flat[path], np.float32)
    found.append(leaf.T if path.endswith('/kernel') else leaf)
  return np.concatenate(found) if len(found) > 1 else found[0]
