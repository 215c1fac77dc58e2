"""Tensors in the files of other libraries' adapters."""

from collections.abc import Mapping
import os

import numpy as np
from safetensors import numpy as safetensors_numpy

from adapters_jax import errors
from adapters_jax.model import tensor_files

Tensors = tensor_files.Tensors


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
    if os.path.isfile(path):
      return tensor_files.read_file(path)
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
