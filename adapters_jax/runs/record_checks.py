"""Checks that a JSON value has the entries and types of a record."""

from collections.abc import Mapping
import dataclasses
import math
import typing
from typing import Any

from adapters_jax.runs import config as config_lib

_SHOWN = 40  # Characters of a value in a message.


def problem(values: Mapping[str, Any], record_class: type) -> str:
  """Returns why a JSON object is no record, '' if it is one.

  Args:
    values: The object, without the hash.
    record_class: Dataclass of records, whose annotations give the types.
  """
  fields = dataclasses.fields(record_class)
  hints = typing.get_type_hints(record_class)
  missing = [field.name for field in fields if field.name not in values
             and field.default is dataclasses.MISSING
             and field.default_factory is dataclasses.MISSING]
  unknown = [name for name in values if name not in hints]
  if missing or unknown:
    return ', '.join([*(f'no {name}' for name in missing),
                      *(f'unknown {name}' for name in unknown)])
  return (_misfit(values, hints) or _misfit_of_config(values['config'])
          or _misfit_of_results(values))


def _misfit(
    values: Mapping[str, Any], hints: Mapping[str, Any], *, finite: bool = True
) -> str:
  """Returns a description of the first value of another type, '' for none.

  Args:
    values: JSON object.
    hints: {name of an entry: its annotated type}.
    finite: Whether numbers must be finite; NaN never fits.
  """
  for name, value in values.items():
    if name in hints and not _fits(value, hints[name], finite):
      shown = repr(value)
      more = '...' if len(shown) > _SHOWN else ''
      return f'{name} is {shown[:_SHOWN]}{more}'
  return ''


def _misfit_of_config(values: Mapping[str, Any]) -> str:
  """Returns the first problem of the settings; newer ones may be missing."""
  absent = [name for name in ('task', 'seed') if name not in values]
  if absent:
    return f'no {absent[0]} in config'
  # A setting may be infinite, as `clip_norm` without clipping.
  wrong = _misfit(
      values, typing.get_type_hints(config_lib.Config), finite=False)
  return f'config: {wrong}' if wrong else ''


def _misfit_of_results(values: Mapping[str, Any]) -> str:
  """Returns the first problem of the scores and the data, '' for none."""
  if not values['metrics'].get('dev'):
    return 'no score on dev'
  if not all(values['metrics'].values()):
    return 'a split without a score'
  if not all(isinstance(facts.get('sha256'), str)
             for facts in values.get('data', {}).values()):
    return 'no hash in data'
  return ''


def _fits(value: Any, hint: Any, finite: bool) -> bool:
  """Returns whether a JSON value has an annotated type.

  Args:
    value: JSON value.
    hint: str, bool, int, float, Any, or dict and list of such.
    finite: As for `_misfit`.
  """
  kind, inner = typing.get_origin(hint) or hint, typing.get_args(hint)
  if kind is Any:
    return True
  if kind is dict:
    return isinstance(value, dict) and all(
        _fits(item, inner[1], finite) for item in value.values())
  if kind is list:
    return isinstance(value, list) and all(
        _fits(item, inner[0], finite) for item in value)
  if kind is float:
    return type(value) in (int, float) and (
        math.isfinite(value) if finite else not math.isnan(value))
  return type(value) is kind
