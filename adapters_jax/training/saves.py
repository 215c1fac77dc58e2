"""Looks up the saves in a folder of `resume`, without JAX."""

import os


def last(folder: str) -> int:
  """Returns the number of the last save in a folder, 0 without one.

  A folder may exist without a save: `Resume` creates it.

  Args:
    folder: Folder of the saves.
  """
  try:
    names = os.listdir(folder)
  except (FileNotFoundError, NotADirectoryError):
    return 0
  return max((int(name) for name in names if name.isdecimal()), default=0)


def exists(folder: str) -> bool:
  """Returns whether a folder holds a saved state."""
  return last(folder) > 0
