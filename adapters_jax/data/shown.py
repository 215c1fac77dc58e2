"""Short texts of data in memory: with all of its texts, a `repr` is a book."""

from collections.abc import Sequence
import numbers
from typing import Any

from adapters_jax import errors
from adapters_jax.data import label_values

_NAMED = 8  # Labels.
_LONGEST = 30  # Letters of a label.


def line(data: Any, *parts: str) -> str:
  """Returns the class of data with its parts.

  Args:
    data: Data in memory.
    *parts: Parts; empty ones are left out.
  """
  return f'{type(data).__name__}({", ".join(filter(None, parts))})'


def count(number: int, one: str) -> str:
  """Returns a number with its noun.

  Args:
    number: Number.
    one: Noun for one, perhaps with words after it.
  """
  noun, *more = one.split(' ', 1)
  return ' '.join([f'{number:,}', noun + 's' * (number != 1), *more])


def labels(
    values: Sequence[Any], names: Sequence[Any] | None = None,
    what: str = 'labels',
) -> str:
  """Returns the different labels, or the range of scores.

  Args:
    values: Label or labels of each example, of any types.
    names: Names of all labels, None if unknown.
    what: Noun for the labels.
  """
  rows = [list(value) if label_values.is_several(value) else [value]
          for value in values]
  each = [one for row in rows for one in row]
  if names is not None:
    each = list(names)
  elif len(rows[0]) > 1 and label_values.are_columns(values, len(rows[0])):
    return f'{len(rows[0])} columns of {what}'
  elif any(isinstance(one, float) for one in each) and all(
      isinstance(one, numbers.Real) for one in each):
    return f'scores {min(each):g} to {max(each):g}'
  if not each:
    return f'no {what}'
  return f'{what} {errors.listed(map(_short, _ordered(each, names)), _NAMED)}'


def _ordered(values: Sequence[Any], names: Sequence[Any] | None) -> list[Any]:
  """Returns each value once: sorted, unless they are names.

  Args:
    values: Labels.
    names: As for `labels`.
  """
  try:
    return list(names) if names is not None else sorted(set(values))
  except TypeError:  # No hash, or of several types.
    return list(dict.fromkeys(map(str, values)))


def _short(label: Any) -> str:
  """Returns the text of a label, without the end of a long one."""
  text = str(label)
  return text if len(text) <= _LONGEST else f'{text[:_LONGEST - 3]}...'
