"""Weights in a Hugging Face folder, in one file or several. No JAX.

The formats are safetensors and torch's .bin, each perhaps in shards with an
index.
"""

from collections.abc import Callable
import dataclasses
import hashlib
import os

import ml_dtypes  # Registers bfloat16 with numpy, which safetensors needs.
import numpy as np
import safetensors

from adapters_jax.downloads import file_hash
from adapters_jax.downloads import weight_files
from adapters_jax import errors
from adapters_jax.model import torch_files

Tensors = dict[str, np.ndarray]

# Files of other programs, which are not read.
_FOREIGN = ('.h5', '.msgpack', '.ot', '.onnx', '.gguf', '.ckpt', '.index')
_FLOATS = (np.float16, np.float32, np.float64, ml_dtypes.bfloat16)
_LISTED = 5  # Names in an error message.
_LFS = b'version https://git-lfs'


@dataclasses.dataclass(frozen=True)
class Weights:
  """The files of a folder's weights.

  Attributes:
    path: File with the weights, or with the index of shards.
    shards: {path of a file with tensors: names in it}; without an index, None
      in place of the names.
  """
  path: str
  shards: dict[str, frozenset[str] | None]


def model_folder(folder: str) -> str:
  """Returns the folder of the encoder in a folder of a checkpoint.

  Args:
    folder: Folder of a checkpoint.

  Raises:
    errors.UserError: the list of modules is damaged, or points outside of the
      folder.
  """
  path = os.path.join(folder, weight_files.MODULES)
  inner = weight_files.read_modules(path) if os.path.isfile(path) else ''
  return os.path.join(folder, inner) if inner else folder


def find_weights(folder: str) -> Weights:
  """Returns the files of a folder's weights.

  Args:
    folder: Folder with one of weight_files.FILES.

  Raises:
    errors.UserError: none of these files, or a damaged index.
  """
  for name in weight_files.FILES:
    path = os.path.join(folder, name)
    if os.path.isfile(path):
      if name.endswith('.json'):
        return Weights(path, _shards(path))
      return Weights(path, {path: None})
  present = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
  foreign = [name for name in present if name.endswith(_FOREIGN)]
  message = (f'{folder} has no model.safetensors and no pytorch_model.bin, in '
             'shards or not')
  if foreign:
    message += (
        f', but {errors.listed(foreign, _LISTED)}, which cannot be read; load '
        'it with transformers and save it with save_pretrained(folder, '
        'safe_serialization=True)')
  raise errors.UserError(message)


def _shards(path: str) -> dict[str, frozenset[str] | None]:
  """Returns the `shards` of an index; raises if one is missing."""
  index = weight_files.read_index(path)
  folder = os.path.dirname(path)
  shards: dict[str, frozenset[str] | None] = {}
  for name in sorted(set(index.values())):
    shard = os.path.join(folder, name)
    if not os.path.isfile(shard):
      raise errors.UserError(f'{path} names {name}, which is missing')
    shards[shard] = frozenset(
        key for key, value in index.items() if value == name)
  return shards


def folder_names(folder: str) -> list[str]:
  """Returns the names of a folder's tensors, without reading their numbers.

  Args:
    folder: Folder with one of weight_files.FILES.

  Raises:
    errors.UserError: as for `read_folder`.
  """
  return [name for path, listed in find_weights(folder).shards.items()
          for name in _checked_names(path, listed)]


def read_folder(
    folder: str, wanted: Callable[[str], bool] = lambda name: True
) -> Tensors:
  """Returns tensors of a folder as they are in the files.

  Args:
    folder: Folder with one of weight_files.FILES.
    wanted: (name) -> whether to read the tensor.

  Returns:
    {name: array}.

  Raises:
    errors.UserError: there are no weights, a file is damaged or missing, or the
      index of shards does not fit the files.
  """
  tensors: Tensors = {}
  for path, listed in find_weights(folder).shards.items():
    if listed is not None:
      _checked_names(path, listed)
    tensors |= read_file(path, wanted)
  return tensors


def _checked_names(path: str, listed: frozenset[str] | None) -> list[str]:
  """Returns the names of a file; raises if its index lists others."""
  found = _file_names(path)
  if listed is None:
    return found
  for title, other in (('lacks', listed.difference(found)),
                       ('also has', set(found).difference(listed))):
    if other:
      raise errors.UserError(
          f'{path} {title} {errors.listed(sorted(other), _LISTED)}, unlike its '
          'index; the files are of different saves')
  return found


def _file_names(path: str) -> list[str]:
  """Returns the names of the tensors of a file, as `read_file` has them."""
  try:
    if not path.endswith('.safetensors'):
      return torch_files.tensor_names(path)
    with safetensors.safe_open(path, 'numpy') as file:
      # Add names of tied weights, of which `save_model` writes only one.
      return [*file.keys(), *_tied(file)]
  except Exception as error:  # Both readers raise many kinds.
    raise _unreadable(path, error) from error


def read_file(
    path: str, wanted: Callable[[str], bool] = lambda name: True
) -> Tensors:
  """Returns tensors of a file; pickles are not executed.

  Args:
    path: File that ends in .safetensors or .bin.
    wanted: (name) -> whether to read the tensor.

  Raises:
    errors.UserError: the file is damaged or missing.
  """
  try:
    if not path.endswith('.safetensors'):
      return torch_files.read_tensors(path, wanted)
    with safetensors.safe_open(path, 'numpy') as file:
      tensors = {
          name: file.get_tensor(name) for name in file.keys() if wanted(name)}
      for name, kept in _tied(file).items():
        if wanted(name):
          tensors[name] = file.get_tensor(kept)
      return tensors
  except Exception as error:  # Both readers raise many kinds.
    raise _unreadable(path, error) from error


def metadata(path: str) -> dict[str, str]:
  """Returns the metadata of a safetensors file.

  Raises:
    errors.UserError: the file is damaged or missing.
  """
  try:
    with safetensors.safe_open(path, 'numpy') as file:
      return file.metadata() or {}
  except Exception as error:  # The reader raises many kinds.
    raise _unreadable(path, error) from error


def _tied(file: safetensors.safe_open) -> dict[str, str]:
  """Returns {absent name: name of the equal tensor} of a safetensors file.

  safetensors' `save_model` leaves out tied weights and lists them in the
  metadata.
  """
  present = set(file.keys())
  return {name: kept for name, kept in (file.metadata() or {}).items()
          if kept in present and name not in present}


def as_float32(name: str, tensor: np.ndarray) -> np.ndarray:
  """Returns a tensor of floating-point numbers as float32.

  Args:
    name: Name of the tensor, for the message.
    tensor: Tensor of any shape.

  Raises:
    errors.UserError: the tensor holds integers, as quantized weights do.
  """
  if tensor.dtype not in _FLOATS:
    raise errors.UserError(
        f'{name} has the type {tensor.dtype}; weights should be of float32, '
        'float16 or bfloat16, not quantized')
  return np.asarray(tensor, np.float32)


def folder_digest(folder: str) -> str:
  """Returns 16 hexadecimal digits that identify the weights of a folder.

  The first digits of the SHA-256 of the file, or of the list of the shards'
  names and SHA-256.

  Args:
    folder: Folder of a checkpoint.

  Raises:
    errors.UserError: there are no weights.
  """
  return encoder_digest(model_folder(folder))


def encoder_digest(folder: str) -> str:
  """Returns `folder_digest` of the folder that holds the weights themselves.

  Args:
    folder: Result of `model_folder`, or folder of a download.

  Raises:
    errors.UserError: there are no weights.
  """
  shards = find_weights(folder).shards
  hashes = {os.path.basename(path): file_hash.kept_sha256(path)
            for path in shards}
  if len(hashes) == 1:
    return hashes.popitem()[1][:16]
  text = ''.join(f'{name} {value}\n' for name, value in sorted(hashes.items()))
  return hashlib.sha256(text.encode()).hexdigest()[:16]


def _unreadable(path: str, error: Exception) -> errors.UserError:
  """Returns the error for a file that cannot be read."""
  reason = ' '.join(str(error).split()) or type(error).__name__
  if os.path.isfile(path):
    with open(path, 'rb') as file:
      if file.read(len(_LFS)) == _LFS:
        reason = 'it is a pointer of Git LFS; run `git lfs pull`'
  return errors.UserError(f'{path} cannot be read ({reason})')
