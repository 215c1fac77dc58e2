"""Bounds the size of caches: folders of files that can be recomputed."""

import contextlib
import os


def least_recent(folder: str, most_bytes: int) -> None:
  """Removes the least recently used files of a folder beyond a bound.

  A file's time of modification counts as its last use; readers set it by
  `os.utime`.

  Args:
    folder: Folder; folders below it stay.
    most_bytes: Bytes of the files that may stay.
  """
  files = []
  with os.scandir(folder) as entries:
    for entry in entries:  # Unfinished writes of killed processes too.
      with contextlib.suppress(FileNotFoundError):  # Another process evicts.
        if entry.is_file():
          files.append(
              (entry.stat().st_mtime, entry.stat().st_size, entry.path))
  total = sum(size for _, size, _ in files)
  for _, size, path in sorted(files):
    if total <= most_bytes:
      break
    with contextlib.suppress(OSError):  # Gone, or on a read-only disk.
      os.remove(path)
    total -= size
