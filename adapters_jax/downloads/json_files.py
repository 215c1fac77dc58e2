"""JSON files that users or other programs have written, perhaps damaged."""

import json
from typing import Any

from adapters_jax import errors


def read(path: str, *, what: str = '') -> dict[str, Any]:
  """Returns the JSON object in a file.

  Args:
    path: Path of the file.
    what: Start of the message of an error, such as '`checkpoint`: '.

  Raises:
    errors.UserError: the file cannot be read, or holds other content; names
      the file.
  """
  found = read_any(path, what=what)
  if not isinstance(found, dict):
    raise errors.UserError(
        f'{what}{path} should hold a JSON object, not a '
        f'{type(found).__name__}')
  return found


def read_any(path: str, *, what: str = '') -> Any:
  """Returns the value in a JSON file.

  Args:
    path: Path of the file.
    what: Start of the message of an error.

  Raises:
    errors.UserError: the file cannot be read, or is no JSON; names the file.
  """
  try:
    with open(path, encoding='utf-8') as file:
      return json.load(file)
  # ValueError includes text that is not UTF-8.
  except (OSError, ValueError) as error:
    raise errors.UserError(
        f'{what}{path} cannot be read ({error})') from error
  except RecursionError as error:
    raise errors.UserError(
        f'{what}{path} cannot be read (its values are nested too deeply)'
    ) from error
