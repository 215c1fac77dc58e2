"""Converts lists, arrays and other iterables from callers."""

from collections.abc import Iterable, Mapping, Set
import numbers
from typing import Any, TypeGuard

import numpy as np

from adapters_jax import errors


def as_list(name: str, values: Any) -> list[Any]:
  """Returns values as a list.

  Args:
    name: Name of the argument, for messages.
    values: List, array of NumPy or JAX, pandas Series, column of PyArrow or
      another iterable.

  Raises:
    errors.UserError: values without an order, or whose iterator yields other
      things, such as the characters of a string or the columns of a DataFrame.
  """
  if isinstance(values, (str, bytes)):
    raise errors.UserError(
        f'`{name}`: give a list of {name}, as in [...], not a single string')
  if isinstance(values, (Mapping, Set)) or (
      hasattr(values, 'columns') or not hasattr(values, '__iter__')):
    raise errors.UserError(
        f'`{name}`: give a list, not {type(values).__name__}')
  if is_array(values) and not values.ndim:
    raise errors.UserError(
        f'`{name}`: give a list, not an array without a dimension')
  if hasattr(values, 'to_pylist'):  # A column of PyArrow holds its scalars.
    return list(values.to_pylist())
  # Items of other libraries' arrays are arrays, which are slow to fetch singly.
  return list(values if isinstance(values, np.ndarray) or not is_array(values)
              else values.tolist())


def is_array(value: Any) -> bool:
  """Returns whether a value is an array of NumPy, JAX or a similar library.

  Those of the array API have a device, unlike a Series of pandas.

  Args:
    value: Value.
  """
  return isinstance(value, np.ndarray) or not isinstance(
      value, np.generic) and all(
          hasattr(value, name) for name in ('device', 'ndim', 'tolist'))


def scalar_of(value: Any) -> Any:
  """Returns an array of no dimensions as a Python number, and all else as is.

  Args:
    value: Value.
  """
  return value.tolist() if is_array(value) and not value.ndim else value


def is_row(value: Any) -> TypeGuard[Any]:
  """Returns whether a value is a tuple, a list or an array of one dimension.

  Args:
    value: Value, such as a row of a list or of an array.
  """
  return isinstance(value, (tuple, list)) or (
      is_array(value) and value.ndim == 1)


def row_of(value: Any) -> tuple[Any, ...]:
  """Returns a row as a tuple, and a single value as a tuple of one.

  Args:
    value: Value, perhaps a row.
  """
  if is_array(value) and value.ndim == 1:
    return tuple(value.tolist())  # Strings of Python, not of numpy.
  return tuple(value) if is_row(value) else (value,)


def is_missing(value: Any) -> bool:
  """Returns whether a value stands for none: None, NaN, or NA or NaT of pandas.

  Args:
    value: Value, such as a cell of a table.
  """
  # By name, as pandas need not be installed.
  return value is None or type(value).__name__ in ('NAType', 'NaTType') or (
      isinstance(value, numbers.Real) and bool(value != value))


def check_present(name: str, values: Iterable[Any]) -> None:
  """Raises UserError for a missing value, perhaps in a row.

  Args:
    name: Name of the argument.
    values: Its values, or rows of them.
  """
  for number, value in enumerate(values):
    # Most are strings, for which this is the quickest test.
    if not isinstance(value, str) and any(map(is_missing, row_of(value))):
      raise errors.UserError(
          f'`{name}[{number}]`: is missing; leave the row out')
