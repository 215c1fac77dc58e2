"""Checks arguments of predictions: texts, and an adapter or a bank of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from adapters_jax import errors
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import bank as bank_lib
from adapters_jax.adapters import field_checks
from adapters_jax.data import sequences
from adapters_jax.model import base as base_lib

# One text, a pair, (context, choices), or a list of words.
Text = str | Sequence[str] | tuple[str, Sequence[str]]
Texts = Sequence[Text] | np.ndarray


def check_types(base: Any, adapter: Any, batch_size: Any) -> None:
  """Checks the types of arguments, which are easily given in another order.

  Args:
    base: Pretrained encoder.
    adapter: Adapter, or a bank {name: adapter}.
    batch_size: Inputs a step.

  Raises:
    errors.UserError: one of another type.
  """
  demand_base(base, 'predict(base, adapter, texts)')
  bank = adapter if isinstance(adapter, Mapping) else {'': adapter}
  for name, one in bank.items():
    _demand_adapter(
        one, f'adapter{name and f"[{name!r}]"}',
        'an Adapter or a bank {name: Adapter}')
  demand_count('batch_size', batch_size)


def demand_adapter(adapter: Any, call: str = '') -> None:
  """Raises UserError unless an argument is an adapter.

  Args:
    adapter: Argument.
    call: Example of the call, for the message.
  """
  _demand_adapter(adapter, 'adapter', f'an Adapter{call and f", as in {call}"}')


def demand_bank(bank: Any, call: str) -> None:
  """Raises UserError unless an argument is a bank {name: adapter}.

  Args:
    bank: Argument.
    call: Example of the call, for the message.
  """
  if not isinstance(bank, Mapping):
    raise errors.UserError(
        f'`bank`: give {{name: Adapter}}, as in {call}, not '
        f'{type(bank).__name__}')
  for name, one in bank.items():
    _demand_adapter(one, f'bank[{name!r}]', 'an Adapter')


def _demand_adapter(value: Any, name: str, wanted: str) -> None:
  if not isinstance(value, adapter_lib.Adapter):
    raise errors.UserError(
        f'`{name}`: give {wanted}, not {type(value).__name__}; load_adapter '
        'reads a saved one')


def demand_count(name: str, value: Any, instead: str = '') -> None:
  """Raises UserError unless an argument is an integer of at least 1.

  Args:
    name: Name of the argument.
    value: Argument.
    instead: End of the message, on a further value that it may have.
  """
  if not field_checks.is_integer(value) or value < 1:
    raise errors.UserError(
        f'`{name}={value!r}`: give an integer of 1 or more{instead}')


def check_encoding(
    pooling: Any, normalize: Any, max_length: Any, prompt: Any, dims: Any,
    largest: int,
) -> None:
  """Checks the settings of embeddings; None stands for a default.

  Args:
    pooling: Name of a pooling, which `Pooling` checks further.
    normalize: Whether to scale embeddings to the length 1.
    max_length: Longest text in tokens.
    prompt: Text before every text.
    dims: Leading dimensions to keep; 0 for all.
    largest: Width of the encoder.

  Raises:
    errors.UserError: one of another type, or out of range.
  """
  for name, value, kinds, wanted in (
      ('pooling', pooling, str, "a name, such as 'mean'"),
      ('normalize', normalize, bool, 'True or False'),
      ('prompt', prompt, str, 'a string')):
    if value is not None and not isinstance(value, kinds):
      raise errors.UserError(f'`{name}={value!r}`: give {wanted}')
  if max_length is not None:
    demand_count('max_length', max_length, ", or None for the model's limit")
  if dims is not None and (
      not field_checks.is_integer(dims) or not 0 <= dims <= largest):
    raise errors.UserError(
        f'`dims={dims!r}`: give an integer from 1 to {largest}, or 0 for all')


def demand_base(base: Any, call: str) -> None:
  """Raises UserError unless an argument is a base.

  Args:
    base: Argument.
    call: Example of the call, for the message.
  """
  if not isinstance(base, base_lib.Base):
    raise errors.UserError(
        f'`base`: give the base first, as in {call}, not '
        f'{type(base).__name__}; load_base loads it')


def demand_base_or_none(base: Any) -> None:
  """Raises UserError unless an optional argument is a base or None."""
  if base is not None and not isinstance(base, base_lib.Base):
    raise errors.UserError(
        f'`base`: give a Base, not {type(base).__name__}; load_base loads it')


def rows_of(texts: Texts) -> list[tuple[str, ...]]:
  """Returns each input as a tuple of its one or two texts.

  Args:
    texts: Texts, or pairs.

  Raises:
    errors.UserError: a single string, or anything else that is no list.
  """
  return list(map(
      sequences.row_of, sequences.as_list('texts', texts)))


def named(
    adapter: Any, names: Sequence[str] | None, count: int
) -> tuple[Mapping[str, adapter_lib.Adapter], list[str]]:
  """Returns (bank, name of an adapter for each text).

  Args:
    adapter: Adapter, or a bank {name: adapter}.
    names: With a bank, the name of the adapter for each text.
    count: Number of texts.

  Raises:
    errors.UserError: names that do not fit.
  """
  if isinstance(adapter, adapter_lib.Adapter):
    if names is not None:
      raise errors.UserError(
          '`adapters`: names are for a bank; give {name: adapter}')
    return {'': adapter}, [''] * count
  if names is None:
    raise errors.UserError(
        f'`adapters`: give a list with the name of an adapter for each of the '
        f'{count} texts')
  found = names_of(adapter, names, count)
  if None in found:
    raise errors.UserError(
        f'`adapters[{found.index(None)}]`: None is the plain base, which has '
        'no head to predict with; aj.encode gives its embeddings')
  return adapter, [name for name in found if name is not None]


def names_of(
    bank: Mapping[str, adapter_lib.Adapter], names: Any, count: int
) -> list[str | None]:
  """Returns the name of the adapter for each text, None for the plain base.

  Args:
    bank: Adapters.
    names: Names that a caller gave.
    count: Number of texts.

  Raises:
    errors.UserError: no list, another number, or a name that the bank lacks.
  """
  found = sequences.as_list('adapters', names)
  if len(found) != count:
    raise errors.UserError(
        f'`adapters`: there are {len(found)} names for {count} texts; give '
        'one for each')
  for number, name in enumerate(found):
    if isinstance(name, str):
      bank_lib.find(bank, name)
    elif name is not None and name not in [*bank]:  # Perhaps without a hash.
      raise errors.UserError(
          f'`adapters[{number}]`: give the name of an adapter as a string, '
          f'not {type(name).__name__}')
  return found
