"""Turns errors of disks into messages that name the place and a remedy."""

from collections.abc import Iterator, Mapping
import contextlib
import errno
import os
import pathlib

from adapters_jax import errors
from adapters_jax.downloads import pinned

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _is_below(path: str, folder: str) -> bool:
  """Returns whether a path is a folder or lies in it."""
  return pathlib.Path(os.path.abspath(path)).is_relative_to(
      os.path.abspath(folder))


def user_error(
    error: OSError, folders: Mapping[str, str] | None = None
) -> errors.UserError | None:
  """Returns the UserError for an error of a file, None if it names no file.

  Args:
    error: Error that writing or reading raised.
    folders: {folder: name of the argument that chooses it}.
  """
  if not error.filename or not error.strerror:
    return None
  path = os.fsdecode(error.filename) if not isinstance(
      error.filename, int) else str(error.filename)
  text = f'{path}: {error.strerror}'
  way_out = ('make room on the disk' if error.errno in FULL
             else 'check its permissions')
  for folder, name in (folders or {}).items():
    if folder and _is_below(path, folder):
      return errors.UserError(f'{name}: {text}; {way_out}, or give another')
  with contextlib.suppress(errors.UserError):  # No home folder, so no cache.
    if _is_below(path, pinned.cache_dir()):
      return errors.UserError(
          f'{text}; {way_out}, or set ADAPTERS_JAX_CACHE to another folder')
  return errors.UserError(text)


@contextlib.contextmanager
def explained(folders: Mapping[str, str] | None = None) -> Iterator[None]:
  """Raises a UserError for an OSError of the context that names a file.

  Args:
    folders: {folder: name of the argument that chooses it}.
  """
  try:
    yield
  except OSError as error:
    found = user_error(error, folders)
    if found is None:
      raise
    raise found from error
