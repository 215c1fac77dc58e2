"""Files below a folder, and their SHA-256."""

from collections.abc import Iterable, Iterator
import functools
import hashlib
import os

Stamp = tuple[str, int, int]


def sha256(path: str) -> str:
  """Returns the SHA-256 of a file as a hex digest."""
  with open(path, 'rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def kept_sha256(path: str) -> str:
  """Returns the SHA-256 of a file, computed once until the file changes."""
  stat = os.stat(path)
  return _kept(os.path.abspath(path), stat.st_size, stat.st_mtime_ns)


@functools.cache
def _kept(path: str, size: int, changed: int) -> str:
  del size, changed  # Part of the cache's key: a changed file is read again.
  return sha256(path)


def files_below(folder: str) -> Iterator[str]:
  """Yields the paths of the files below a folder, always in one order."""
  for parent, folders, names in os.walk(folder):
    folders.sort()  # In place: `os.walk` follows this order.
    yield from (os.path.join(parent, name) for name in sorted(names))


def stamps(folder: str, names: Iterable[str]) -> tuple[Stamp, ...]:
  """Returns (name, size, time of the last change) of the files that exist.

  Args:
    folder: Folder of the files.
    names: Names of files, some of which may be absent.
  """
  found = []
  for name in names:
    try:
      stat = os.stat(os.path.join(folder, name))
    except OSError:
      continue
    found.append((name, stat.st_size, stat.st_mtime_ns))
  return tuple(found)
