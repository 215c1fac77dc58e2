"""Tensors in files: safetensors, and torch's zip files read without torch."""

import collections
from collections.abc import Mapping
import io
import os
import pickle
from typing import Any
import zipfile

import ml_dtypes
import numpy as np
from safetensors import numpy as safetensors_numpy

from adapters_jax import errors

Tensors = dict[str, np.ndarray]

_STORAGES = {
    'FloatStorage': np.float32, 'DoubleStorage': np.float64,
    'HalfStorage': np.float16, 'BFloat16Storage': ml_dtypes.bfloat16,
    'LongStorage': np.int64, 'IntStorage': np.int32, 'ShortStorage': np.int16,
    'CharStorage': np.int8, 'ByteStorage': np.uint8, 'BoolStorage': np.bool_,
}


def read(folder: str, *names: str) -> Tensors:
  """Returns the tensors of the first of several files that exists.

  Args:
    folder: Folder of the file.
    *names: File names, '.safetensors' or '.bin', the preferred one first.

  Raises:
    errors.UserError: the folder has none of them, or a damaged one.
  """
  for name in names:
    path = os.path.join(folder, name)
    if not os.path.isfile(path):
      continue
    try:
      if name.endswith('.safetensors'):
        return safetensors_numpy.load_file(path)
      return read_zip(path)
    except Exception as error:  # Both readers raise many kinds.
      raise errors.UserError(f'{path} cannot be read ({error})') from error
  raise errors.UserError(f'{folder} has no {" or ".join(names)}')


def write(path: str, tensors: Mapping[str, np.ndarray]) -> None:
  """Writes a safetensors file that torch's libraries accept.

  Args:
    path: Path of the file.
    tensors: {name: array}.
  """
  safetensors_numpy.save_file(
      {key: np.ascontiguousarray(value) for key, value in tensors.items()},
      path, metadata={'format': 'pt'})


def read_zip(path: str) -> Tensors:
  """Returns the tensors of a `torch.save` file without executing its pickle.

  The pickle may name the types of a plain state dict. Any other name raises
  before it is imported or called.

  Raises:
    pickle.UnpicklingError: the file holds other objects than tensors.
    zipfile.BadZipFile: the file is older than torch 1.6.
  """
  with zipfile.ZipFile(path) as archive:
    # torch names the folder in the archive after the file.
    index, = (n for n in archive.namelist() if n.endswith('/data.pkl'))
    root = index.removesuffix('data.pkl')

    def storage(key, dtype):
      return np.frombuffer(archive.read(f'{root}data/{key}'), dtype)

    state = _Unpickler(io.BytesIO(archive.read(index)), storage).load()
  return {key: value for key, value in state.items()
          if isinstance(value, np.ndarray)}


class _Unpickler(pickle.Unpickler):
  """Reads a pickled dict of tensors as arrays, and nothing else."""

  def __init__(self, file: io.BytesIO, storage: Any):
    super().__init__(file)
    self._storage = storage

  def find_class(self, module: str, name: str) -> Any:
    """Returns the stand-in for an allowed type; raises for all others."""
    # An allowlist: `pickle` would import and call any other name.
    if (module, name) == ('collections', 'OrderedDict'):
      return collections.OrderedDict
    if (module, name) == ('torch._utils', '_rebuild_tensor_v2'):
      return _rebuild
    if (module, name) == ('torch._utils', '_rebuild_parameter'):
      return lambda data, requires_grad, hooks: data
    if module == 'torch' and name in _STORAGES:
      return _STORAGES[name]
    raise pickle.UnpicklingError(f'{module}.{name} is not part of a tensor')

  def persistent_load(self, pid: Any) -> np.ndarray:
    """Returns the values of a storage, 1-dimensional."""
    # torch appends the device and the number of values.
    kind, dtype, key = pid[:3]
    if kind != 'storage':
      raise pickle.UnpicklingError(f'{kind!r} is not a storage')
    return self._storage(key, dtype)


def _rebuild(storage, offset, shape, stride, *_):
  """Returns the array that torch describes as a view of a storage."""
  size = storage.itemsize
  strides = tuple(step * size for step in stride)  # Bytes; torch counts values.
  # `as_strided` checks no bounds: a damaged file could read any memory.
  extent = offset + 1 + sum(
      (count - 1) * step for count, step in zip(shape, stride, strict=True))
  if 0 not in shape and (min(stride, default=0) < 0 or offset < 0
                         or extent > storage.size):
    raise pickle.UnpicklingError('a tensor reaches outside its storage')
  # Copied: `frombuffer` arrays are read-only and keep the whole storage.
  return np.lib.stride_tricks.as_strided(
      storage[offset:], shape, strides).copy()
