"""JSON files that users or other programs have written, perhaps damaged."""

from collections.abc import Mapping
import json
from typing import Any

from adapters_jax import errors

_SHOWN = 40  # Characters of a value in a message.


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
    # The text of an OSError repeats the path.
    reason = getattr(error, 'strerror', None) or error
    raise errors.UserError(
        f'{what}{path} cannot be read ({reason})') from error
  except RecursionError as error:
    raise errors.UserError(
        f'{what}{path} cannot be read (its values are nested too deeply)'
    ) from error


def integer(
    values: Mapping[str, Any], name: str, where: str, low: int, high: int,
    default: int | None = None,
) -> int:
  """Returns an entry that is a whole number; arguments as for `number`."""
  value = _present(values, name, where, default)
  if type(value) is not int or not low <= value <= high:  # bool is an int.
    raise _wrong(where, name, value, f'a whole number from {low} to {high}')
  return value


def number(
    values: Mapping[str, Any], name: str, where: str, low: float, high: float,
    default: float | None = None,
) -> float:
  """Returns an entry that is a number.

  Args:
    values: JSON object.
    name: Name of the entry.
    where: Path of the file; starts the message.
    low: Smallest valid value.
    high: Largest valid value.
    default: Value of an absent entry or null; None if it must be present.

  Raises:
    errors.UserError: the entry is absent or another value.
  """
  value = _present(values, name, where, default)
  # NaN is in no range.
  if type(value) not in (int, float) or not low <= value <= high:
    raise _wrong(where, name, value, f'a number from {low:g} to {high:g}')
  return value


def string(
    values: Mapping[str, Any], name: str, where: str, default: str | None = None
) -> str:
  """Returns an entry that is a string; arguments as for `number`."""
  value = _present(values, name, where, default)
  if not isinstance(value, str):
    raise _wrong(where, name, value, 'a text')
  return value


def strings(
    values: Mapping[str, Any], name: str, where: str
) -> tuple[str, ...]:
  """Returns an entry that is a list of strings; arguments as for `number`."""
  value = _present(values, name, where, None)
  if not isinstance(value, list) or not all(
      isinstance(item, str) for item in value):
    raise _wrong(where, name, value, 'a list of texts')
  return tuple(value)


def inner(values: Mapping[str, Any], name: str, where: str) -> dict[str, Any]:
  """Returns an entry that is an object; {} where it is absent.

  Arguments as for `number`.
  """
  value = _present(values, name, where, {})
  if not isinstance(value, dict):
    raise _wrong(where, name, value, 'a JSON object')
  return value


def _present(values, name, where, default):
  """Returns an entry or its default; raises if there is neither."""
  value = values.get(name)
  if value is None and default is None:
    raise errors.UserError(f'{where} has no {name}')
  return default if value is None else value


def _wrong(where, name, value, wanted):
  """Returns the error for an entry of another type or size."""
  shown = repr(value)
  shown = shown if len(shown) < _SHOWN else f'{shown[:_SHOWN]}...'
  return errors.UserError(f'{where} has {name} {shown}; it should be {wanted}')
