"""Folders of saved adapters in one text: `DIR,DIR` or `name=DIR,name=DIR`."""

import os

from adapters_jax import errors
from adapters_jax.adapters import storage
from adapters_jax.downloads import file_hash


def parse(text: str, what: str = '`adapters`') -> dict[str, str]:
  """Returns {name: folder}.

  A folder without a name is named after itself, or after the run's folder that
  it is in.

  Args:
    text: Folders with commas.
    what: Name of the text in messages.

  Raises:
    errors.UserError: an empty name or folder, or a name for two folders.
  """
  found: dict[str, str] = {}
  for part in text.split(','):
    name, equals, folder = (piece.strip() for piece in part.partition('='))
    if not equals:
      folder = name
      whole = os.path.abspath(folder)
      name = os.path.basename(
          os.path.dirname(whole) if os.path.basename(whole) == 'adapter'
          else whole)
    if not name or not folder:
      raise errors.UserError(
          f'{what}: {part!r} is not of the form DIR or name=DIR')
    if name in found:
      raise errors.UserError(
          f'{what}: two folders have the name {name!r}; give names, as in '
          'one=DIR,two=DIR')
    found[name] = folder
  return found


def absolute(text: str) -> str:
  """Returns the text with absolute paths."""
  return ','.join(
      f'{name}={os.path.abspath(os.path.expanduser(folder))}'
      for name, folder in parse(text).items())


def portable(text: str) -> str:
  """Returns the text with hashes of the weights in place of folders.

  Raises:
    errors.UserError: a folder without an adapter.
  """
  found = []
  for name, folder in parse(text).items():
    path = os.path.join(storage.folder_of(folder), storage.WEIGHTS)
    try:
      found.append(f'{name}@{file_hash.kept_sha256(path)[:16]}')
    except OSError as error:
      raise errors.UserError(
          f'`adapters`: {folder} holds no saved adapter ({error.strerror})'
      ) from error
  return ','.join(found)
