"""Method configs written as text: `lora[r=8]`, `par_bn|prefix_tuning`."""

import ast
import dataclasses
import re
import types
import typing
from typing import Any

from adapters_jax import errors
from adapters_jax import methods
from adapters_jax.methods import words

_BOOLEANS = {'true': 'True', 'false': 'False'}  # As a flag has them.
_PART = re.compile(r'\s*([\w+]+)\s*(?:\[(.*)\])?\s*', re.DOTALL)


def parse(text: str, flag: str = 'adapter config') -> tuple[Any, ...]:
  """Returns the method configs of a text.

  The grammar is `name[field=value, ...]`, joined by '|' for a union. A field
  of a name that stands for several methods goes to all that have it.

  Args:
    text: E.g. 'houlsby', 'seq_bn[reduction_factor=8]' or 'mam'.
    flag: How to call the text in messages.

  Raises:
    options.UserError: an unknown name, field or value.
  """
  configs = []
  for part in _split(text, '|'):
    found = _PART.fullmatch(part)
    if not found:
      raise errors.UserError(
          f'{flag}: {part.strip()!r} is not of the form NAME[FIELD=VALUE, ...]')
    name, fields = found.groups()
    if name not in methods.CONFIGS:
      raise errors.unknown(flag, name, methods.CONFIGS)
    values = _parse_fields(fields or '', name, flag)
    configs.extend(_with_fields(methods.CONFIGS[name], values, name, flag))
  return tuple(configs)


def render(configs: tuple[Any, ...]) -> str:
  """Returns a short text that `parse` makes the configs of."""
  return '|'.join(_render(config) for config in configs)


def _render(config: Any) -> str:
  """Returns the shortest text of one config, from the nearest named one."""
  texts = []
  for name, (start, *more) in methods.CONFIGS.items():
    if more or type(start) is not type(config):
      continue
    changed = {
        f.name: getattr(config, f.name) for f in dataclasses.fields(config)
        if getattr(config, f.name) != getattr(start, f.name)}
    if 'reduction_factor' in changed:
      changed.setdefault('size', config.size)
    values = ', '.join(f'{k}={v!r}' for k, v in changed.items())
    texts.append(f'{name}[{values}]' if values else name)
  return min(texts, key=len)


def check_layers(configs: tuple[Any, ...], layers: int, flag: str) -> None:
  """Raises UserError for a layer that a model of so many does not have."""
  for config in configs:
    for field in ('layers', 'leave_out'):
      for layer in getattr(config, field, None) or ():
        if not 0 <= layer < layers:
          raise errors.UserError(
              f'{flag}: {field}: there is no layer {layer}; the model has '
              f'{layers} layers, numbered 0 to {layers - 1}')


def _split(text: str, separator: str) -> list[str]:
  """Returns the parts of a text between separators outside brackets, quotes."""
  parts, depth, start, quote = [], 0, 0, ''
  for position, letter in enumerate(text):
    if quote:
      quote = '' if letter == quote else quote
    elif letter in '\'"':
      quote = letter
    else:
      depth += (letter in '[({') - (letter in '])}')
      if letter == separator and depth == 0:
        parts.append(text[start:position])
        start = position + 1
  return [*parts, text[start:]]


def _parse_fields(text: str, name: str, flag: str) -> dict[str, Any]:
  """Returns {field: value} of 'field=value, ...'; bare words are strings."""
  values = {}
  for part in _split(text, ','):
    if not part.strip():
      continue
    field, equals, value = (s.strip() for s in part.partition('='))
    if not equals or not field.isidentifier():
      raise errors.UserError(
          f'{flag}: {part.strip()!r} in {name}[...] is not of the form '
          'FIELD=VALUE')
    if field in values:
      raise errors.UserError(f'{flag}: {name} is given {field} twice')
    try:
      values[field] = ast.literal_eval(_BOOLEANS.get(value, value))
    except (ValueError, SyntaxError):
      values[field] = value
  return values


def _with_fields(
    configs: tuple[Any, ...], values: dict[str, Any], name: str, flag: str
) -> list[Any]:
  """Returns the configs with the values in all that have the fields."""
  known = [words.of(config) for config in configs]
  fixed = words.fixed(configs)
  given = [{} for _ in configs]
  for word, value in values.items():
    takers = [i for i, names in enumerate(known) if word in names]
    if not takers and word not in fixed:
      raise errors.unknown(
          f'{flag}: field of {name}', word, sorted({*fixed}.union(*known)))
    for index in takers:
      given[index][word] = value
  try:
    for word in set(values) - set().union(*known):
      words.check_fixed(word, values[word], fixed[word])
    return [_changed(config, changes)
            for config, changes in zip(configs, given, strict=True)]
  except errors.UserError as error:
    raise errors.UserError(f'{flag}: {name}: {error}') from error


def _changed(config: Any, values: dict[str, Any]) -> Any:
  """Returns a config with the values of some words."""
  hints = typing.get_type_hints(type(config))
  fields = {
      field: convert(value, hints[field], f'{field}={value!r}')
      for field, value in words.to_fields(config, values).items()}
  return config.with_fields(**fields) if fields else config


def convert(value: Any, wanted: Any, what: str) -> Any:
  """Returns a value as the annotated type, lists and dicts as tuples.

  Args:
    value: Of JSON or a Python literal.
    wanted: The annotation of the field.
    what: How to name it in the message.

  Raises:
    options.UserError: it is of another type.
  """
  choices = (typing.get_args(wanted)
             if isinstance(wanted, types.UnionType) else (wanted,))
  if isinstance(value, dict):
    value = tuple((str(key), entry) for key, entry in value.items())
  if isinstance(value, (list, tuple)):
    value = tuple(value)
  for choice in choices:
    if _is(value, choice):
      return value
  if float in choices and _is(value, int):
    return value
  names = ' or '.join(
      'None' if c is type(None) else getattr(c, '__name__', str(c))
      if not typing.get_args(c) else str(c) for c in choices)
  raise errors.UserError(f'{what}: give {names}')


def _is(value: Any, kind: Any) -> bool:
  """Returns whether a value is of a plain or a tuple type."""
  arguments = typing.get_args(kind)
  if not arguments:
    if kind in (int, float) and isinstance(value, bool):
      return False
    return isinstance(value, kind)
  if not isinstance(value, tuple):
    return False
  if arguments[-1] is Ellipsis:
    return all(_is(entry, arguments[0]) or (
        arguments[0] is float and _is(entry, int)) for entry in value)
  return len(value) == len(arguments) and all(
      _is(entry, argument) or argument is float and _is(entry, int)
      for entry, argument in zip(value, arguments, strict=True))
