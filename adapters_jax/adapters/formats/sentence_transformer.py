"""Folders of sentence-transformers: an encoder with an adapter folded in."""

import dataclasses
import os
import shutil

import numpy as np

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import embedding_settings
from adapters_jax.adapters import folding
from adapters_jax.adapters.formats import weights
from adapters_jax.downloads import atomic
from adapters_jax.downloads import hub
from adapters_jax.downloads import json_files
from adapters_jax.model import families
from adapters_jax.model import family_configs
from adapters_jax.model import pretrained
from adapters_jax.model import sentence_files
from adapters_jax.model import tensor_files


def write(
    folder: str, adapter: adapter_lib.Adapter, checkpoint: str
) -> list[str]:
  """Writes a folder for `SentenceTransformer(folder)`.

  Args:
    folder: Folder, created if absent.
    adapter: Adapter whose methods are changes of weights, or fine-tuned leaves.
    checkpoint: Name or folder of its base.

  Returns:
    Notes for the user.

  Raises:
    errors.UserError: an adapter that cannot be folded into its base.
  """
  source = pretrained.resolve(checkpoint)
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
    folded, _ = folding.fold(
        tree, dataclasses.replace(adapter, tuned=tuned))
  except errors.UserError as error:
    raise errors.UserError(
        f"{error}; 'own' holds every adapter, and aj.encode applies it"
    ) from error
  flat = trees.flatten(folded)
  os.makedirs(folder, exist_ok=True)
  weights.write(os.path.join(folder, 'model.safetensors'), {
      name: _changed(name, value, flat, shape.family)
      for name, value in tensors.items()})
  values = json_files.read(os.path.join(source, 'config.json'))
  if adapter.hidden_activation:
    values |= family_configs.activation_entry(
        shape.family, adapter.hidden_activation)
  atomic.write_json(os.path.join(folder, 'config.json'), values)
  for name in hub.TOKENIZER_FILES:
    if os.path.isfile(os.path.join(source, name)):
      shutil.copyfile(
          os.path.join(source, name), os.path.join(folder, name))
  sentence_files.write(
      folder, embedding_settings.pooling_of(checkpoint, adapter), shape.dim,
      shape.longest)
  return _notes(adapter)


def _notes(adapter: adapter_lib.Adapter) -> list[str]:
  """Returns a note on a head, which a folder for embeddings does not hold."""
  if adapter.outputs is None:
    return []
  values = {'labels': adapter.labels, 'threshold': adapter.threshold}
  lost = ''.join(
      f', `{name}={value}`' for name, value in values.items() if value)
  return [f'the head is left out{lost}: the folder holds an encoder for '
          'embeddings']


def _changed(
    name: str, value: np.ndarray, flat: dict[str, np.ndarray], family: str
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
