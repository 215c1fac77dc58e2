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
  """Returns the path of the newest of several files.

  If a library saves into a folder again, in its default format, a stale file of
  the other format stays.

  Args:
    folder: Folder of the file.
    *names: File names, '.safetensors' or '.bin'; at equal times the first wins.

  Raises:
    errors.UserError: the folder has none of them.
  """
  paths = [path for name in names
           if os.path.isfile(path := os.path.join(folder, name))]
  if paths:
    return max(paths, key=os.path.getmtime)
  raise errors.UserError(f'{folder} has no {" or ".join(names)}')


def read(folder: str, *names: str) -> Tensors:
  """Returns the tensors of the newest of several files.

  Args:
    folder: Folder of the file.
    *names: File names as for `find`.

  Raises:
    errors.UserError: the folder has none of them, or a damaged one.
  """
  return tensor_files.read_file(find(folder, *names))


def write(
    path: str, tensors: Mapping[str, np.ndarray],
    metadata: Mapping[str, str] | None = None,
) -> None:
  """Writes a safetensors file that torch's libraries accept.

  Args:
    path: Path of the file.
    tensors: {name: array}.
    metadata: Further entries of its metadata.
  """
  content = safetensors_numpy.save(
      {key: np.ascontiguousarray(value) for key, value in tensors.items()},
      metadata={'format': 'pt', **(metadata or {})})
  # Not `save_file`, whose files are readable by their owner only.
  with atomic.replacing(path) as file:
    file.write(content)


def write_both(
    folder: str, name: str, bin_name: str, tensors: Mapping[str, np.ndarray]
) -> None:
  """Writes a file of `torch.save`, without torch, and a safetensors file.

  Args:
    folder: Folder of the files.
    name: Name of the safetensors file; written last, so that `find` prefers it.
    bin_name: Name of the file of `torch.save`.
    tensors: {name: array}.
  """
  with atomic.replacing(os.path.join(folder, bin_name)) as file:
    torch_writer.write(file, tensors)
  write(os.path.join(folder, name), tensors)


def remove(folder: str, *names: str) -> None:
  """Removes files of an earlier export, which readers would take for parts.

  Args:
    folder: Folder of the export.
    *names: Names of files, absent or not.
  """
  for name in names:
    with contextlib.suppress(FileNotFoundError):
      os.remove(os.path.join(folder, name))
