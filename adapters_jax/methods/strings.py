"""Methods as text: `lora[r=8]`, `par_bn|prefix_tuning`."""

import ast
from collections.abc import Iterable
import re
import typing
from typing import Any

from adapters_jax import errors
from adapters_jax import methods
from adapters_jax.methods import codec
from adapters_jax.methods import hints
from adapters_jax.methods import registry
from adapters_jax.methods import values as values_lib

convert = values_lib.converted

_BOOLEANS = {'true': 'True', 'false': 'False'}  # As in flags.
_PART = re.compile(
    rf'\s*({registry.NAME})\s*(?:\[(.*)\])?\s*', re.DOTALL)


def parse(
    text: str, flag: str = '`method`', saved: bool = False
) -> tuple[methods.Method, ...]:
  """Returns the methods of a text.

  The grammar is `name[field=value, ...]`, joined by '|' for a union. Where a
  name stands for several methods, a field applies to all methods that have it.

  Args:
    text: Methods, such as 'houlsby', 'seq_bn[reduction_factor=8]' or 'mam'.
    flag: Name of the text in messages.
    saved: Whether the text comes with a trained adapter, perhaps of a version
      that took any value of fields without effect; these get their defaults.

  Raises:
    errors.UserError: an unknown name, field or value.
  """
  configs = []
  for part in split(text, '|'):
    found = _PART.fullmatch(part)
    if not found:
      raise errors.UserError(
          f'{flag}: {part.strip()!r} is not of the form NAME[FIELD=VALUE, ...]')
    name, fields = found.groups()
    if name not in methods.CONFIGS:
      if advice := hints.of_method(name, methods.CONFIGS):
        raise errors.UserError(f'{flag}: {name!r} {advice}')
      raise errors.unknown(flag, name, methods.CONFIGS)
    values = _parse_fields(fields or '', name, flag)
    configs.extend(
        _with_fields(methods.CONFIGS[name], values, name, flag, saved))
  # An adapter that no text describes could not be saved after its training.
  render(configs, flag)
  return tuple(configs)


def render(configs: Iterable[methods.Method], what: str = '`methods`') -> str:
  """Returns a short text that `parse` turns into the methods.

  Args:
    configs: Methods.
    what: Name of the methods in messages.

  Raises:
    errors.UserError: no name stands for a method alone.
  """
  return '|'.join(_render(config, what) for config in configs)


def _render(config: methods.Method, what: str) -> str:
  """Returns the shortest text of one method, relative to a named one."""
  texts = []
  for name, start in _starts(config).items():
    values = ', '.join(
        f'{k}={v!r}' for k, v in config.changes(start).items())
    texts.append(f'{name}[{values}]' if values else name)
  if not texts:
    kind = type(config).__name__
    raise errors.UserError(
        f'{what}: {kind} has no name of its own, from which saved adapters are '
        f'read; set methods.CONFIGS[NAME] = ({kind}(),)')
  return min(texts, key=len)


def _starts(config: methods.Method) -> dict[str, methods.Method]:
  """Returns {name: method} of the names of a method's class.

  Args:
    config: Method. If its class has no name, a class that replaces it has:
      running the cell of a notebook again defines another with its name.
  """
  alone = {name: start for name, (start, *more) in methods.CONFIGS.items()
           if not more}
  # Compare exact types: a Compacter is a Bottleneck, too.
  found = {name: start for name, start in alone.items()
           if type(start) is type(config)}
  if found:
    return found
  wanted = _identity(config)
  found = {name: start for name, start in alone.items()
           if _identity(start) == wanted}
  # A function may define several classes of one name.
  return found if len(set(map(type, found.values()))) == 1 else {}


def _identity(config: methods.Method) -> tuple[Any, ...]:
  """Returns what a class keeps if its definition runs again."""
  kind = type(config)
  return kind.__module__, kind.__qualname__, codec.names_of(config)


def check_layers(
    configs: tuple[methods.Method, ...], layers: int, flag: str
) -> None:
  """Checks the layers that the configs name.

  Args:
    configs: Methods of an adapter.
    layers: Number of the model's layers.
    flag: Name of the methods' text in messages.

  Raises:
    errors.UserError: the model has no such layer.
  """
  known = set(map(str, range(layers)))
  for config in configs:
    for field, chosen in config.named_layers.items():
      for layer in chosen:
        if str(layer) not in known:
          raise errors.UserError(
              f'{flag}: {field}: there is no layer {layer}; the model has '
              f'{layers} layers, numbered 0 to {layers - 1}')


def check_effect(
    configs: tuple[methods.Method, ...], layers: int, flag: str
) -> None:
  """Checks that each config adapts something, unless it has `layers=()`.

  Otherwise a run would train only the head, under the method's name.

  Args:
    configs: Methods of an adapter.
    layers: Number of the model's layers.
    flag: Name of the methods' text in messages.

  Raises:
    errors.UserError: no sites, or no layer.
  """
  for config in configs:
    if not config.sites:
      raise errors.UserError(
          f'{flag}: sites=(): there is nothing to adapt; name a site, or give '
          '`tune=head` for the head alone')
    if config.layers != () and len(config.absent(layers)) == layers:
      raise errors.UserError(
          f'{flag}: leave_out={config.leave_out}: none of the {layers} layers '
          'is left; leave out fewer, or give `tune=head` for the head alone')


def split(text: str, separator: str) -> list[str]:
  """Splits a text at separators, except in brackets and Python's strings.

  Args:
    text: Text.
    separator: One letter.
  """
  parts, depth, start, quote, escaped = [], 0, 0, '', False
  for position, letter in enumerate(text):
    if escaped:
      escaped = False
    elif quote:
      escaped = letter == '\\'
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
  """Returns {field: value} from 'field=value, ...'; bare words are strings."""
  values = {}
  for part in split(text, ','):
    if not part.strip():
      continue
    field, equals, value = (s.strip() for s in part.partition('='))
    if not equals or not field.isidentifier():
      raise errors.UserError(
          f'{flag}: {part.strip()!r} in {name}[...] is not of the form '
          'FIELD=VALUE')
    if field in values:
      raise errors.UserError(f'{flag}: {name} is given {field} twice')
    values[field] = literal(value)
  return values


def literal(text: str) -> Any:
  """Returns the Python value of a text; bare words are strings."""
  try:
    return ast.literal_eval(_BOOLEANS.get(text, text))
  except (ValueError, SyntaxError):
    return text


def _with_fields(
    configs: tuple[methods.Method, ...], values: dict[str, Any], name: str,
    flag: str, saved: bool,
) -> list[methods.Method]:
  """Returns the methods of a name, each with the values of its own words.

  Args:
    configs: Methods that the name stands for.
    values: {word: value} from the brackets.
    name: The name, for messages.
    flag: Name of the text in messages.
  """
  known = [config.words() for config in configs]
  fixed = {}
  for config in configs:
    fixed |= config.fixed_words()
  words = sorted({*fixed}.union(*known))
  for word in values:
    if word not in words:
      if same := hints.of_field(word, set().union(*known)):
        raise errors.UserError(
            f'{flag}: {name} has no field {word!r}; did you mean {same}, as in '
            f'{name}[{same}={values[word]}]?')
      if hints.names_layers(word) and 'leave_out' in words:
        raise errors.UserError(
            f'{flag}: {name} has no field {word!r}; leave_out names the layers '
            f'without an adapter, as in {name}[leave_out=[0,1]]')
      raise errors.unknown(f'{flag}: field of {name}', word, words)
  try:
    # A word that is a field of any method of a union is not fixed.
    for word in set(values) - set().union(*known):
      _check_fixed(word, values[word], *fixed[word])
    return [
        _changed(config, {word: values[word] for word in values if word in own},
                 saved)
        for config, own in zip(configs, known, strict=True)]
  except errors.UserError as error:
    # No backticks, which would mark an argument: some arguments have the names
    # of fields.
    message = str(error).replace('`', '')
    raise errors.UserError(f'{flag}: {name}: {message}') from error


def _check_fixed(word: str, value: Any, wanted: Any, advice: str) -> None:
  """Raises UserError unless a word without a field has its only value."""
  if value != wanted:
    raise errors.UserError(
        f'`{word}={value!r}`: only {wanted!r} is supported; {advice}')


def _changed(
    config: methods.Method, values: dict[str, Any], saved: bool
) -> methods.Method:
  """Returns a method with some words changed; see `parse`."""
  hints = typing.get_type_hints(type(config))
  fields = {
      field: convert(value, hints[field], f'`{field}={value!r}`',
                     config.choices.get(field, ()))
      for field, value in config.from_words(values).items()}
  if saved:
    fields = config.effective(fields)
  return config.with_fields(**fields) if fields else config
