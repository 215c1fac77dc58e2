"""Arguments of predictions: texts, and an adapter or a bank of them."""

from collections.abc import Mapping, Sequence
import numbers
from typing import Any

from adapters_jax import errors
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import bank as bank_lib
from adapters_jax.data import sequences
from adapters_jax.model import base as base_lib

Text = str | tuple[str, ...]  # One text, or a pair.


def check_types(base: Any, adapter: Any, batch_size: Any) -> None:
  """Checks the types of arguments, which a call may give in another order.

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
  demand_batch_size(batch_size)


def demand_adapter(adapter: Any) -> None:
  """Raises UserError unless an argument is an adapter."""
  _demand_adapter(adapter, 'adapter', 'an Adapter')


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


def demand_batch_size(batch_size: Any) -> None:
  """Raises UserError unless an argument is a number of inputs."""
  if not is_whole(batch_size) or batch_size < 1:
    raise errors.UserError(f'`batch_size={batch_size!r}`: give 1 or more')


def is_whole(value: Any) -> bool:
  """Returns whether a value is an integer of Python or numpy."""
  # True is an integer to Python.
  return isinstance(value, numbers.Integral) and not isinstance(value, bool)


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


def demand_optional_base(base: Any) -> None:
  """Raises UserError unless an argument is a base or None."""
  if base is not None and not isinstance(base, base_lib.Base):
    raise errors.UserError(
        f'`base`: give a Base, not {type(base).__name__}; load_base loads it')


def rows_of(texts: Sequence[Text]) -> list[tuple[str, ...]]:
  """Returns each input as a tuple of its one or two texts.

  Args:
    texts: Texts, or pairs.

  Raises:
    errors.UserError: a single string, or another thing that is no list.
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
  if names is None or isinstance(names, str) or len(names) != count:
    raise errors.UserError(
        f'`adapters`: give a list with the name of an adapter for each of the '
        f'{count} texts')
  for number, name in enumerate(names):
    if name is None:
      raise errors.UserError(
          f'`adapters[{number}]`: None is the plain base, which has no head to '
          'predict with; aj.encode gives its embeddings')
    bank_lib.find(adapter, name)
  return adapter, list(names)
