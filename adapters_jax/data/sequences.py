"""Lists, arrays and other iterables that a caller gives."""

from collections.abc import Mapping, Set
from typing import Any, TypeGuard

import numpy as np

from adapters_jax import errors


def as_list(name: str, values: Any) -> list[Any]:
  """Returns values as a list.

  Args:
    name: Name of the argument, for messages.
    values: List, array, pandas Series or another iterable.

  Raises:
    errors.UserError: values without an order, or that iterate over something
      else, such as the characters of a string or the columns of a DataFrame.
  """
  if isinstance(values, (str, bytes)):
    raise errors.UserError(
        f'`{name}`: give a list of {name}, as in [...], not a single string')
  if isinstance(values, (Mapping, Set)) or (
      hasattr(values, 'columns') or not hasattr(values, '__iter__')):
    raise errors.UserError(
        f'`{name}`: give a list, not {type(values).__name__}')
  if isinstance(values, np.ndarray) and not values.ndim:
    raise errors.UserError(
        f'`{name}`: give a list, not an array without a dimension')
  return list(values)


def is_row(value: Any) -> TypeGuard[Any]:
  """Returns whether a value is a tuple, a list or an array of one dimension.

  Args:
    value: Value, such as a row of a list or of an array.
  """
  return isinstance(value, (tuple, list)) or (
      isinstance(value, np.ndarray) and value.ndim == 1)


def row_of(value: Any) -> tuple[Any, ...]:
  """Returns a row as a tuple, and a single value as a tuple of one.

  Args:
    value: Value, perhaps a row.
  """
  if isinstance(value, np.ndarray) and value.ndim == 1:
    return tuple(value.tolist())  # Strings of Python, not of numpy.
  return tuple(value) if is_row(value) else (value,)
