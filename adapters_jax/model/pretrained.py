"""Strict loading of pretrained checkpoints."""

from collections.abc import Mapping
import difflib
import json
import os

import numpy as np
from safetensors import numpy as safetensors_numpy

from adapters_jax.downloads import hub
from adapters_jax.downloads import pinned
from adapters_jax import errors
from adapters_jax.model import encoder
from adapters_jax.model import families
from adapters_jax.model import heads
from adapters_jax import trees

# {pinned asset: shape}. The shape is here too, so that flags can be checked
# before any download.
CHECKPOINTS = {
    'minilm-l6': encoder.BertConfig(dim=384, layers=6, heads=12, ffn_dim=1536),
    'mpnet-base': encoder.BertConfig(
        vocab_size=30527, positions=514, segments=0, norm_epsilon=1e-5,
        family='mpnet', first_position=2, relative_bias=True),
}


def read_config(folder: str) -> encoder.BertConfig:
  """Returns the shape in the config.json of a Hugging Face folder.

  Raises:
    errors.UserError: the file is missing or describes an unsupported model.
  """
  path = os.path.join(folder, 'config.json')
  try:
    with open(path, encoding='utf-8') as file:
      values = json.load(file)
  except (OSError, ValueError) as error:
    raise errors.UserError(
        f'`checkpoint`: cannot read {path} ({error}); give a folder with '
        'config.json and model.safetensors') from error
  if not isinstance(values, dict):
    raise errors.UserError(f'`checkpoint`: {path} holds no JSON object')
  return families.read_config(values, path)


def config_of(checkpoint: str) -> encoder.BertConfig:
  """Returns the shape of a checkpoint by name or folder, without its weights.

  For a name on the Hugging Face hub, only config.json is downloaded.

  Raises:
    errors.UserError: unknown name, or an unsupported model.
  """
  if checkpoint in CHECKPOINTS:
    return CHECKPOINTS[checkpoint]
  if os.path.isdir(checkpoint):
    return read_config(checkpoint)
  # A typo of an embedded name must not become a request to the hub.
  if difflib.get_close_matches(checkpoint, CHECKPOINTS, cutoff=0.7):
    raise errors.unknown('`checkpoint`', checkpoint, CHECKPOINTS)
  return read_config(os.path.dirname(hub.config(checkpoint)))


def resolve(checkpoint: str) -> str:
  """Returns the folder of a checkpoint; downloads named checkpoints."""
  if checkpoint in CHECKPOINTS:
    return pinned.fetch(checkpoint)
  if os.path.isdir(checkpoint):
    return checkpoint
  return hub.folder(checkpoint)


def from_hugging_face(
    tensors: Mapping[str, np.ndarray], family: str = 'bert'
) -> trees.Tree:
  """Returns the tree of a checkpoint's tensors, with kernels [in, out].

  Args:
    tensors: {Hugging Face's name: tensor}.
    family: Key of families.FAMILIES.
  """
  flat = {}
  for name, value in tensors.items():
    if not families.is_ignored(name, family):
      path = families.our_name(name, family)
      value = np.asarray(value, np.float32)
      # torch keeps [out, in].
      flat[path] = value.T if path.endswith('/kernel') else value
  return trees.unflatten(flat)


def load_base(folder: str, *, pooler: bool = True) -> trees.Tree:
  """Returns the pretrained tree of a Hugging Face folder.

  Args:
    folder: Folder with config.json and model.safetensors of any of
      families.FAMILIES, tensor names with or without the family's prefix.
    pooler: Whether the model reads the pooler, which is dropped otherwise.

  Returns:
    float32 numpy arrays at the paths of `heads.Classifier`, without a head.

  Raises:
    errors.UserError: lists the missing, unknown and misshapen paths; or the
      family has no pooler.
  """
  config = read_config(folder)
  families.check_head_input(config, 'pooler' if pooler else 'cls')
  path = os.path.join(folder, 'model.safetensors')
  tree = from_hugging_face(_tensors(path), config.family)
  if not pooler:
    tree.pop('pooler', None)
  model = heads.Classifier(config, 1, 'pooler' if pooler else 'cls')
  wanted = encoder.shapes(model)
  wanted.pop('head')
  trees.check_same(tree, wanted, f'`checkpoint`: {path}')
  return tree


def _tensors(path: str) -> dict[str, np.ndarray]:
  """Returns {Hugging Face's name: tensor} of a file."""
  try:
    return safetensors_numpy.load_file(path)
  except Exception as error:  # safetensors raises its own errors and OSErrors.
    raise errors.UserError(
        f'`checkpoint`: cannot read {path} ({error})') from error
