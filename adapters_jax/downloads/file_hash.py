"""Files below a folder, and their SHA-256."""

from collections.abc import Callable, Iterable, Iterator, Mapping
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


def files_below(
    folder: str, failed: Callable[[OSError], object] | None = None
) -> Iterator[str]:
  """Yields the paths of the files below a folder, always in one order.

  Args:
    folder: Folder, perhaps absent.
    failed: Called for a folder that cannot be listed; None passes over it.
  """
  for parent, folders, names in os.walk(folder, onerror=failed):
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


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
  """Returns the names of files that both have, with other hashes.

  Args:
    before: {name: hash}
    now: {name: hash}
  """
  return [name for name, digest in before.items()
          if now.get(name, digest) != digest]


def unmatched(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
  """Returns the names of files that one of two lacks.

  Such a file need not have come or gone: a later version may hash more names.

  Args:
    before: {name: hash}; {} if unknown, which lacks nothing.
    now: {name: hash}; {} as for `before`.
  """
  if not before or not now:
    return []
  return [name for name in {**before, **now}
          if (name in before) != (name in now)]
