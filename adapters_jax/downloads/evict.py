"""Folders of files that can be made again, within a bound."""

import contextlib
import os


def least_recent(folder: str, most_bytes: int) -> None:
  """Removes the least recently used files of a folder beyond a bound.

  Use is the last change of a file's time, by a write or by `os.utime`.

  Args:
    folder: Folder; those below it are left alone.
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
    with contextlib.suppress(FileNotFoundError):
      os.remove(path)
    total -= size
