"""Tensors in the files of other libraries' adapters."""

from collections.abc import Mapping
import contextlib
import os

import numpy as np
from safetensors import numpy as safetensors_numpy

from adapters_jax import errors
from adapters_jax.downloads import atomic
from adapters_jax.model import tensor_files
from adapters_jax.model import torch_writer

Tensors = tensor_files.Tensors


def find(folder: str, *names: str) -> str:
  """Returns the path of the first of several files that exists.

  Args:
    folder: Folder of the file.
    *names: File names, '.safetensors' or '.bin', the preferred one first.

  Raises:
    errors.UserError: the folder has none of them.
  """
  for name in names:
    path = os.path.join(folder, name)
    if os.path.isfile(path):
      return path
  raise errors.UserError(f'{folder} has no {" or ".join(names)}')


def read(folder: str, *names: str) -> Tensors:
  """Returns the tensors of the first of several files that exists.

  Args:
    folder: Folder of the file.
    *names: File names as for `find`.

  Raises:
    errors.UserError: the folder has none of them, or a damaged one.
  """
  return tensor_files.read_file(find(folder, *names))


def write(path: str, tensors: Mapping[str, np.ndarray]) -> None:
  """Writes a safetensors file that torch's libraries accept.

  Args:
    path: Path of the file.
    tensors: {name: array}.
  """
  content = safetensors_numpy.save(
      {key: np.ascontiguousarray(value) for key, value in tensors.items()},
      metadata={'format': 'pt'})
  # Not `save_file`, whose files only their owner may read.
  with atomic.replacing(path) as file:
    file.write(content)


def write_bin(path: str, tensors: Mapping[str, np.ndarray]) -> None:
  """Writes a file of `torch.save`, without torch.

  Args:
    path: Path of the file.
    tensors: {name: array}.
  """
  with atomic.replacing(path) as file:
    torch_writer.write(file, tensors)


def remove(folder: str, *names: str) -> None:
  """Removes files of an earlier export, which readers would take for parts.

  Args:
    folder: Folder of the export.
    *names: Names of files, absent or not.
  """
  for name in names:
    with contextlib.suppress(FileNotFoundError):
      os.remove(os.path.join(folder, name))
