"""Tensors in files of `torch.save`, read without torch.

Both layouts are read: the zip archives of torch 1.6 and later, and the plain
files of older versions.
"""

from collections.abc import Callable, Iterator
import contextlib
import functools
import io
import mmap
import os
import struct
from typing import Any
import zipfile

import numpy as np

from adapters_jax.model import torch_pickle

_MAGIC = 0x1950a86a20f9469cfc6c  # First value of a plain file.
# Maximum size of all tensors, as a multiple of the file's. Tensors may share
# numbers, but a small file that describes gigabytes is an attack.
_MOST_SHARED = 2

_Numbers = Callable[[torch_pickle.Storage], np.ndarray]


def tensor_names(path: str) -> list[str]:
  """Returns the names of the tensors of a file; their numbers are not read.

  Raises:
    torch_pickle.FormatError, OSError, zipfile.BadZipFile: as for
      `read_tensors`.
  """
  with _opened(path) as (views, _):
    return list(views)


def read_tensors(
    path: str, wanted: Callable[[str], bool]
) -> dict[str, np.ndarray]:
  """Returns tensors of a file, without executing its pickle.

  Names of the same numbers, such as tied weights, share one array.

  Args:
    path: File of `torch.save` that holds a dict of tensors.
    wanted: (name) -> whether to read the tensor.

  Raises:
    torch_pickle.FormatError: the file is damaged, or holds other values than
      tensors.
    OSError, zipfile.BadZipFile: the file cannot be read.
  """
  with _opened(path) as (views, numbers):
    views = {name: view for name, view in views.items() if wanted(name)}
    # Sorted by storage, so that each storage is read once.
    distinct = sorted(set(views.values()), key=lambda view: view.storage.key)
    total = sum(view.bytes for view in distinct)
    if total > _MOST_SHARED * os.path.getsize(path):
      raise torch_pickle.FormatError(
          f'its tensors would take {total} bytes, more than the file has')
    numbers = functools.lru_cache(maxsize=1)(numbers)
    arrays = {view: _array(view, numbers) for view in distinct}
    return {name: arrays[view] for name, view in views.items()}


def _array(view: torch_pickle.View, numbers: _Numbers) -> np.ndarray:
  """Returns the array of a view."""
  if not view.bytes:  # Its storage may be absent.
    return np.zeros(view.shape, view.storage.dtype)
  size = view.storage.dtype.itemsize
  # Within bounds, which `View` checks. Copied: the arrays of `frombuffer` are
  # read-only and keep the whole storage.
  return np.lib.stride_tricks.as_strided(
      numbers(view.storage)[view.offset:], view.shape,
      tuple(step * size for step in view.strides)).copy()


@contextlib.contextmanager
def _opened(
    path: str
) -> Iterator[tuple[dict[str, torch_pickle.View], _Numbers]]:
  """Yields ({name: tensor}, (storage) -> its numbers) of a file."""
  if zipfile.is_zipfile(path):
    with zipfile.ZipFile(path) as archive:
      yield _in_archive(archive)
  else:
    with open(path, 'rb') as file, mmap.mmap(
        file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
      yield _in_plain(mapped)


def _in_archive(
    archive: zipfile.ZipFile
) -> tuple[dict[str, torch_pickle.View], _Numbers]:
  """Returns ({name: tensor}, (storage) -> its numbers) of an archive."""
  # torch names the folder in the archive after the file.
  found = [name for name in archive.namelist() if name.endswith('/data.pkl')]
  if len(found) != 1:
    raise torch_pickle.FormatError('it is no archive of torch')
  root = found[0].removesuffix('data.pkl')
  if f'{root}byteorder' in archive.namelist() and (
      _member(archive, f'{root}byteorder') != b'little'):
    raise torch_pickle.FormatError('its numbers are not little-endian')
  views = _views(torch_pickle.interpret(io.BytesIO(_member(archive, found[0]))))
  return views, lambda storage: _values(
      _member(archive, f'{root}data/{storage.key}'), storage)


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
  """Returns a file of an archive; refuses compressed ones."""
  try:
    info = archive.getinfo(name)
  except KeyError as error:
    raise torch_pickle.FormatError(f'it has no {name}') from error
  # torch never compresses; a few compressed bytes could stand for gigabytes.
  if info.compress_type != zipfile.ZIP_STORED:
    raise torch_pickle.FormatError(f'its {name} is compressed')
  return archive.read(info)


def _in_plain(
    file: mmap.mmap
) -> tuple[dict[str, torch_pickle.View], _Numbers]:
  """Returns ({name: tensor}, (storage) -> its numbers) of a plain file.

  It has five pickles: a magic number, the version, the machine, the dict of
  tensors and the keys of the storages. The storages follow in the order of the
  keys, each after the count of its numbers.
  """
  try:
    magic = torch_pickle.interpret(file)
  except torch_pickle.FormatError:
    magic = None
  if magic != _MAGIC:
    raise torch_pickle.FormatError('it is no file of torch.save')
  torch_pickle.interpret(file)
  machine = torch_pickle.interpret(file)
  if not isinstance(machine, dict) or not machine.get('little_endian'):
    raise torch_pickle.FormatError('its numbers are not little-endian')
  views = _views(torch_pickle.interpret(file))
  places = _places(file, torch_pickle.interpret(file), views)

  def numbers(storage):
    if storage.key not in places:
      raise torch_pickle.FormatError(f'it has no storage {storage.key}')
    file.seek(places[storage.key])
    return _values(file.read(storage.bytes), storage)

  return views, numbers


def _places(
    file: mmap.mmap, keys: Any, views: dict[str, torch_pickle.View]
) -> dict[str, int]:
  """Returns {key: position in the file} of the storages of a plain file."""
  storages = {view.storage.key: view.storage for view in views.values()}
  places = {}
  place = file.tell()
  for key in keys:
    if key not in storages:
      raise torch_pickle.FormatError(f'storage {key} belongs to no tensor')
    file.seek(place)
    count, = struct.unpack('<q', file.read(8))
    if count != storages[key].size:
      raise torch_pickle.FormatError(f'storage {key} has another size')
    places[key] = place + 8
    place += 8 + storages[key].bytes
  return places


def _values(content: bytes, storage: torch_pickle.Storage) -> np.ndarray:
  """Returns the numbers of a storage."""
  if len(content) < storage.bytes:
    raise torch_pickle.FormatError(f'its storage {storage.key} ends early')
  return np.frombuffer(content, storage.dtype, storage.size)


def _views(state: Any) -> dict[str, torch_pickle.View]:
  """Returns the tensors of an unpickled value, {name: tensor}."""
  if not isinstance(state, dict):
    raise torch_pickle.FormatError('it holds no dict of tensors')
  return {name: value for name, value in state.items()
          if isinstance(value, torch_pickle.View) and isinstance(name, str)}
