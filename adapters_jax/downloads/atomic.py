"""Files that are written whole or not at all."""

from collections.abc import Iterator
import contextlib
import hashlib
import json
import os
import re
from typing import Any, BinaryIO
import uuid

# Names of files in progress. The second form is that of earlier versions.
_SCRATCH = re.compile(
    r'\..+\.[0-9a-f]{32}\.part|\w+\.(json\.\d+|safetensors)\.part')


def is_scratch(name: str) -> bool:
  """Returns whether a file name is that of an unfinished write."""
  return _SCRATCH.fullmatch(name) is not None


def clean(folder: str) -> None:
  """Removes the unfinished writes that a kill left in a folder.

  Args:
    folder: Folder that no other process writes to.
  """
  for name in os.listdir(folder) if os.path.isdir(folder) else ():
    if is_scratch(name):
      with contextlib.suppress(OSError):
        os.remove(os.path.join(folder, name))


def _sync_folder(folder: str) -> None:
  """Waits until the names in a folder are on the disk."""
  # Some file systems refuse to open or to synchronise folders.
  with contextlib.suppress(OSError):
    number = os.open(folder, os.O_RDONLY)
    try:
      os.fsync(number)
    finally:
      os.close(number)


@contextlib.contextmanager
def replacing(path: str) -> Iterator[BinaryIO]:
  """Yields a file that takes the place of `path` at the end of the context.

  Readers find the old file or the whole new one, which is on the disk when the
  context ends. An error within the context leaves the old file.

  Args:
    path: Path of the file; its folder is created.
  """
  folder, name = os.path.split(os.path.abspath(path))
  os.makedirs(folder, exist_ok=True)
  # Next to the file, as a rename is atomic only within a file system; hidden,
  # so that an unfinished write is never taken for a result.
  scratch = os.path.join(folder, f'.{name}.{uuid.uuid4().hex}.part')
  try:
    # 'x' follows no link and opens no file of another writer. Permissions are
    # those of the user, unlike tempfile's.
    with open(scratch, 'xb') as file:
      yield file
      file.flush()
      os.fsync(file.fileno())
    os.replace(scratch, path)
  except BaseException as error:
    with contextlib.suppress(OSError):
      os.remove(scratch)
    if isinstance(error, OSError):  # A write to a full disk names no file.
      error.filename = path
    raise
  _sync_folder(folder)


def json_digest(value: Any, *contents: bytes) -> str:
  """Returns the SHA-256 of a JSON value and of files' contents."""
  # Converted as by a file, which has lists for tuples and strings as keys.
  value = json.loads(json.dumps(value))
  found = hashlib.sha256(json.dumps(value, sort_keys=True).encode())
  for content in contents:
    found.update(hashlib.sha256(content).digest())
  return found.hexdigest()


def write_json(path: str, value: Any) -> None:
  """Writes JSON so that readers find the old file or the whole new one.

  Args:
    path: Path of the file; its folder is created.
    value: Value that JSON can hold. Dicts keep their order: the first metric of
      a record is the primary one.
  """
  with replacing(path) as file:
    file.write((json.dumps(value, indent=1) + '\n').encode())
