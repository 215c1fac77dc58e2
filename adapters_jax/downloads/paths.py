"""Converts and checks paths that a user gives."""

import os
import re
from typing import Any

from adapters_jax import errors

Path = str | os.PathLike[str]

# Ends of names that a user would give a file, not a folder.
_FILES = '.safetensors', '.npz', '.bin', '.pt', '.pth', '.json'
# A home folder at the start of a path; paths may follow commas or `name=`.
_HOME = re.compile(r'(?<![^,=|])(\s*)(~[^/,|\s]*)')


def expanded(path: str, name: str) -> str:
  """Returns a path with a home folder in place of ~.

  As in a shell, ~ before an unknown user's name stays.

  Args:
    path: Path that a user gives.
    name: Name of the argument or of the variable.

  Raises:
    errors.UserError: the user has no home folder, as in some containers; a
      folder named `~` would appear in the current one.
  """
  found = os.path.expanduser(path)
  if found.split('/')[0] == '~':
    raise errors.UserError(
        f'`{name}`: there is no home folder for {path}; give a path without ~, '
        'or set HOME')
  return found


def at_home(flag: str, name: str) -> str:
  """Returns the value of a flag with home folders in place of ~.

  Args:
    flag: PATH, PATH,PATH or name=PATH; any other text stays as it is.
    name: Name of the flag.

  Raises:
    errors.UserError: as `expanded`.
  """
  return _HOME.sub(lambda found: found[1] + expanded(found[2], name), flag)


def text(value: Any, name: str) -> str:
  """Returns a path as text, with a home folder in place of ~.

  Args:
    value: Path that a user gives: a string or an os.PathLike.
    name: Name of the argument.

  Raises:
    errors.UserError: a value of another type, or no home folder.
  """
  found = os.fspath(value) if isinstance(value, os.PathLike) else value
  if not isinstance(found, str):
    raise errors.UserError(
        f'`{name}`: give a path or a name, as a string or a pathlib.Path, not '
        f'{type(value).__name__}')
  return expanded(found, name)


def target(value: Any, name: str, file: str = '') -> str:
  """Returns the path of a folder or file to write, as text.

  Args:
    value: Path that a user gives.
    name: Name of the argument.
    file: End of the names of files; it is added where it is missing. '' for a
      folder.

  Raises:
    errors.UserError: a value of another type, an empty one, a file or the name
      of one where the folder, or a folder above it, should be, or a folder in
      place of a file.
  """
  path = text(value, name)
  if not path:
    raise errors.UserError(f'`{name}`: it is empty; give a path')
  if not file and path.endswith(_FILES) and not os.path.isdir(path):
    raise errors.UserError(
        f'`{name}={path}`: give a folder, as several files are written')
  if not path.endswith(file):
    path = f'{path}{file}'
  if file and os.path.isdir(path):
    raise errors.UserError(
        f'`{name}={path}`: it is a folder; give another path')
  above = os.path.abspath(os.path.dirname(path) if file else path)
  while not os.path.lexists(above):
    above = os.path.dirname(above)
  if not os.path.isdir(above):
    raise errors.UserError(
        f'`{name}={path}`: {above} is no folder; give another path')
  return path
