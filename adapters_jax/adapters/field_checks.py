"""Checks an adapter's fields, which users may set with dataclasses.replace."""

import collections
from collections.abc import Iterable, Mapping
import math
import numbers
from typing import Any

import jax
import numpy as np

from adapters_jax import errors
from adapters_jax.layers import activations
from adapters_jax.methods import values as values_lib
from adapters_jax.model import composition
from adapters_jax.model import families
from adapters_jax.model import heads

LONGEST = 10**6  # Tokens, far above any input.


def is_integer(value: Any) -> bool:
  """Returns whether a value is an integer of Python, NumPy or JAX, no bool."""
  value = values_lib.scalar(value)
  return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def threshold(value: Any) -> float | None:
  """Returns a threshold as a number, None for none.

  Raises:
    errors.UserError: no number from 0 to 1.
  """
  if value is None:
    return None
  value = values_lib.scalar(value)
  if (not isinstance(value, numbers.Real) or isinstance(value, bool)
      or not 0 <= float(value) <= 1):  # NaN is in no range.
    raise errors.UserError(
        f'`threshold={value!r}`: give a number from 0 to 1, or None')
  return float(value)


def max_length(value: Any) -> int:
  """Returns a maximum number of tokens as an int.

  Raises:
    errors.UserError: no whole number, or one out of range.
  """
  if not is_integer(value) or not 1 <= int(value) <= LONGEST:
    raise errors.UserError(
        f'`max_length={value!r}`: give a whole number from 1 to {LONGEST}')
  return int(value)


def labels(values: Any) -> tuple[str, ...]:
  """Returns names of classes as a tuple.

  Raises:
    errors.UserError: no list of different strings.
  """
  found = strings('labels', values)
  counts = collections.Counter(found)
  if twice := [value for value in found if counts[value] > 1]:
    raise errors.UserError(
        f'`labels`: {twice[0]!r} is there twice; give each class a name of its '
        'own')
  return found


def strings(name: str, values: Any) -> tuple[str, ...]:
  """Returns names as a tuple.

  Args:
    name: Field.
    values: Its value.

  Raises:
    errors.UserError: no list of strings.
  """
  if not isinstance(values, (tuple, list)) or not all(
      isinstance(value, str) for value in values):
    raise errors.UserError(f'`{name}`: give a tuple of strings, not {values!r}')
  return tuple(values)


def known(name: str, value: Any, names: Iterable[str]) -> None:
  """Raises UserError for a value that is not one of some names.

  Args:
    name: Field.
    value: Its value.
    names: Valid values.
  """
  names = list(names)
  if not isinstance(value, str) or value not in names:
    raise errors.unknown(f'`{name}`', str(value), names)


def check_tree(tuned: Any, setup: Any) -> None:
  """Raises UserError for a tree without arrays, or a setup of another type.

  It looks at types and shapes alone, so that leaves may be tracers of JAX.

  Args:
    tuned: Partial tree.
    setup: Block, or None.
  """
  if not isinstance(tuned, Mapping):
    raise errors.UserError(
        f'`tuned`: give a dict of arrays, not {type(tuned).__name__}')
  _check_leaves(tuned)
  check_head(tuned, '`tuned`')
  if setup is not None and not isinstance(setup, composition.Block):
    raise errors.UserError(
        f'`setup`: give a block or None, not {setup!r:.60}; aj.compose makes '
        'one adapter of several')


def _check_leaves(tree: Mapping[Any, Any], start: str = '') -> None:
  """Raises UserError for keys that are no strings, or leaves without a shape.

  Args:
    tree: A part of the tuned tree.
    start: Start of its paths.
  """
  for key, value in tree.items():
    path = f'{start}{key}'
    if not isinstance(key, str):
      raise errors.UserError(
          f'`tuned`: {path}: the key {key!r} is no string; give the names of '
          'the parts')
    if isinstance(value, Mapping):
      _check_leaves(value, f'{path}/')
    elif not (hasattr(value, 'shape') and hasattr(value, 'dtype')):
      raise errors.UserError(
          f'`tuned`: {path} is no array but of type {type(value).__name__}; '
          'give one of NumPy or JAX')


def check_head(tuned: Mapping[str, Any], what: str) -> None:
  """Raises UserError for a head without a bias, whose size counts its outputs.

  Args:
    tuned: Partial tree.
    what: Name of the tree; starts the message.
  """
  head = tuned.get('head')
  bias = head.get('bias') if isinstance(head, Mapping) else None
  if 'head' in tuned and not getattr(bias, 'shape', None):
    raise errors.UserError(f'{what} has no head/bias')


def check_names(head_input: Any, hidden_activation: Any, family: Any) -> None:
  """Raises UserError for a head, activation or family that does not exist."""
  known('head_input', head_input, heads.HEADS)
  known('family', family, families.FAMILIES)
  if hidden_activation != '':
    known('hidden_activation', hidden_activation, activations.ACTIVATIONS)


def check_texts(**values: Any) -> None:
  """Raises UserError for a field that is no string.

  Args:
    **values: {field: value}.
  """
  for name, value in values.items():
    if not isinstance(value, str):
      raise errors.UserError(
          f"`{name}={value!r}`: give a text, '' where it is unknown")


def entries(name: str, values: Any) -> dict[str, Any]:
  """Returns a dict as it would be after writing it to JSON and reading it.

  Args:
    name: Field.
    values: Its value.

  Raises:
    errors.UserError: no dict, or one with a value that JSON cannot hold.
  """
  if not isinstance(values, Mapping):
    raise errors.UserError(f'`{name}`: give a dict, not {values!r:.60}')
  return plain(values, name)


def plain(value: Any, name: str) -> Any:
  """Returns a JSON value, with Python's numbers for those of NumPy and JAX.

  Args:
    value: Value.
    name: Field or entry that holds it, for the message.

  Raises:
    errors.UserError: a value that JSON cannot hold.
  """
  if isinstance(value, Mapping):
    return {str(key): plain(entry, str(key)) for key, entry in value.items()}
  if isinstance(value, (list, tuple)):
    return [plain(entry, name) for entry in value]
  if isinstance(value, float) and math.isnan(value):
    return math.nan  # The same object every time, so that dicts compare equal.
  if isinstance(value, (np.ndarray, np.generic, jax.Array)):
    return plain(value.tolist(), name)
  if not isinstance(value, (str, int, float, type(None))):
    raise errors.UserError(
        f'`{name}`: {value!r:.60} cannot be saved; give numbers, texts, or '
        'lists and dicts of them')
  return value
