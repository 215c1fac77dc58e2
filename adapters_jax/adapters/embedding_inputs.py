"""Arguments of `aj.encode`: texts, and the adapter of each."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from adapters_jax import errors
from adapters_jax.adapters import arguments
from adapters_jax.adapters import composing
from adapters_jax.data import sequences
from adapters_jax.model import composition


def strings(texts: Sequence[str] | np.ndarray) -> list[str]:
  """Returns the texts as a list; raises UserError unless all are strings."""
  rows = arguments.rows_of(texts)
  sequences.check_present('texts', rows)
  for number, row in enumerate(rows):
    if len(row) != 1 or not isinstance(row[0], str):
      raise errors.UserError(f'`texts[{number}]`: give a string')
  return [row[0] for row in rows]


def columns(
    bank: Any, names: Any, setup: composition.Setup | None, count: int
) -> list[tuple[str | None, Mapping[str, Any], list[str | None]]]:
  """Returns the adapters for each embedding that a text gets.

  Args:
    bank: Adapters, or another type.
    names: Name of the adapter for each text, or None.
    setup: Setup of the bank, or None.
    count: Number of texts.

  Returns:
    [(key in the result, bank, name for each text)]; the key None stands for a
    single embedding, without a dict around it. [] without a bank.
  """
  if not isinstance(bank, Mapping):
    for name, value in (('adapters', names), ('setup', setup)):
      if value is not None:
        raise errors.UserError(f'`{name}`: is for a bank {{name: adapter}}')
    return []
  if setup is None:
    if names is not None:
      return [(None, bank, arguments.names_of(bank, names, count))]
    if not bank:
      raise errors.UserError('`adapter`: the bank is empty; give None for the '
                             'base alone')
    return [(name, bank, [name] * count) for name in bank]
  if names is not None:
    raise errors.UserError('`setup`: is for all texts; leave out `adapters`')
  found = composing.segments(bank, setup, count)
  if len(found) == 1:
    return [(None, found[0][0], list(found[0][1]))]
  by_key: dict[str | None, tuple[Any, list[str | None]]] = {}
  for composed, keys in found:
    key = ', '.join(composed)  # Not of `keys`: there may be no texts.
    if by_key.setdefault(key, (composed, [*keys]))[1] != keys:
      raise errors.UserError(
          f'`setup`: two members of {setup} have the key {key!r}; embed with '
          'one at a time')
  return [(key, *column) for key, column in by_key.items()]
