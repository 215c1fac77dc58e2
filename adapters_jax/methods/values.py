"""Conversion of JSON values and Python literals to the fields of methods."""

from collections.abc import Iterable, Mapping
import dataclasses
import math
import types
import typing
from typing import Any

import jax
import numpy as np

from adapters_jax import errors
from adapters_jax.methods import places

# {AdapterHub's name of an activation: name in layers.activations}
ACTIVATIONS = {
    'gelu': 'gelu', 'gelu_new': 'gelu_tanh', 'gelu_orig': 'gelu',
    'gelu_pytorch_tanh': 'gelu_tanh', 'relu': 'relu', 'silu': 'swish',
    'swish': 'swish', 'tanh': 'tanh', 'leakyrelu': 'leaky_relu',
    'linear': 'identity', None: 'identity'}
_ACTIVATION_WORDS = {
    'gelu': 'gelu', 'gelu_tanh': 'gelu_new', 'relu': 'relu', 'swish': 'swish',
    'tanh': 'tanh', 'leaky_relu': 'leakyrelu', 'identity': 'linear'}
_LARGEST = 2**31 - 1
_PLAIN = (bool, int, float, str, type(None))
# Files without a version predate the split of 'gelu' into erf and tanh forms.
_OLD_ACTIVATIONS = {**ACTIVATIONS, 'gelu': 'gelu_tanh'}


def scalar(value: Any) -> Any:
  """Returns a scalar of NumPy or JAX as Python's, and all else as it is.

  Tracers, which have no value yet, and keys, which are no numbers, stay.

  Args:
    value: Value of a caller.
  """
  if not isinstance(value, (np.generic, np.ndarray, jax.Array)) or isinstance(
      value, jax.core.Tracer):
    return value
  is_key = jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key)
  return value if value.ndim or is_key else value.item()


def activation(word: Any, version: str = 'adapters') -> str:
  """Returns the name in layers.activations of an activation.

  Args:
    word: AdapterHub's name; None stands for the identity.
    version: Version of the library that wrote the file, '' if unknown.

  Raises:
    errors.UserError: an unknown name.
  """
  table = ACTIVATIONS if version else _OLD_ACTIVATIONS
  word = word.lower() if isinstance(word, str) else word
  if word not in table:
    raise errors.unknown(
        '`non_linearity`', str(word), filter(None, table))
  return table[word]


def activation_word(name: str) -> str:
  """Returns AdapterHub's name of an activation."""
  return _ACTIVATION_WORDS[name]


def needed(values: Any, name: str) -> Any:
  """Returns an entry of a file's JSON or tensors.

  Args:
    values: JSON object or tensors; damaged files may hold any other type.
    name: Name of the entry.

  Raises:
    errors.UserError: there is no such entry.
  """
  if not isinstance(values, dict) or name not in values:
    raise errors.UserError(f"the adapter's files have no {name!r}")
  return values[name]


def copied(start: Any, values: Mapping[str, Any], names: Iterable[str]) -> Any:
  """Returns a method with some of its fields taken from JSON.

  Args:
    start: Method with the values of all other fields.
    values: Config as JSON has it.
    names: Fields that the config may contain under their own names.
  """
  hints = typing.get_type_hints(type(start))
  return dataclasses.replace(start, **{
      name: converted(values[name], hints[name], f'`{name}`')
      for name in names if values.get(name) is not None})  # null: the default.


def converted(
    value: Any, wanted: Any, what: str, allowed: Iterable[str] = ()
) -> Any:
  """Converts a value to an annotated type; lists and dicts become tuples.

  Args:
    value: Value of a JSON file or of a caller; scalars and arrays of NumPy and
      JAX become Python's.
    wanted: Annotation of the field.
    what: Name of the value; starts the message.
    allowed: Texts that the value may be or hold, for the message; () for any.

  Raises:
    errors.UserError: the value has another type, or is not finite.
  """
  choices = _choices(wanted)
  value = _hashable(value)
  if not _finite(value):
    raise errors.UserError(f'{what}: give a finite number')
  # Shapes are products of fields; 64 bits hold them if fields fit 32 bits.
  if type(value) is int and abs(value) > _LARGEST:
    raise errors.UserError(f'{what}: give a number of at most {_LARGEST}')
  for choice in choices:
    if _is(value, choice):
      return value
  # Checked last: a field of `int | float` keeps an int.
  if float in choices and _is(value, int):
    return value
  texts = ', '.join(map(repr, allowed))
  names = ' or '.join(_described(choice, texts) for choice in choices)
  raise errors.UserError(f'{what}: give {names}')


def _choices(wanted: Any) -> tuple[Any, ...]:
  """Returns the members of a union of types; any other type alone."""
  # `Optional[int]` and `int | None` are of different classes.
  union = typing.get_origin(wanted) in (typing.Union, types.UnionType)
  return typing.get_args(wanted) if union else (wanted,)


def _is_written(kind: Any) -> bool:
  """Returns whether texts of methods can express a type."""
  entries = typing.get_args(kind)
  if typing.get_origin(kind) is tuple and entries:
    return all(_is_written(one) for one in entries if one is not Ellipsis)
  return kind in _PLAIN


def _described(choice: Any, texts: str) -> str:
  """Returns the description of a type, to follow the word 'give'.

  Args:
    choice: Plain type, or type of tuples.
    texts: Texts that values of type `str` may be; '' for any.
  """
  entry, *rest = typing.get_args(choice) or (None,)
  if rest == [Ellipsis] and not typing.get_args(entry):
    return f'a list of {texts if entry is str and texts else entry.__name__}'
  if entry is not None:
    return str(choice)
  if choice is str and texts:
    return texts if ', ' not in texts else f'one of {texts}'
  return 'None' if choice is type(None) else choice.__name__


def _hashable(value: Any) -> Any:
  """Returns a value of Python's, with tuples in place of lists and dicts."""
  if isinstance(value, Mapping):
    value = [(str(key), entry) for key, entry in value.items()]
  elif tolist := getattr(value, 'tolist', None):  # Of NumPy or JAX.
    value = tolist()
  if isinstance(value, (list, tuple)):
    return tuple(map(_hashable, value))
  return value


def _finite(value: Any) -> bool:
  """Returns whether a value has no NaN or infinity, which no text holds."""
  if isinstance(value, tuple):
    return all(map(_finite, value))
  return not isinstance(value, float) or math.isfinite(value)


def convert_fields(config: Any) -> None:
  """Converts the fields of a config to their annotated types, in place.

  Args:
    config: Frozen dataclass that is being made.

  Raises:
    errors.UserError: a field has another type, or one that texts of methods
      cannot express.
  """
  hints = typing.get_type_hints(type(config))
  for field in dataclasses.fields(config):
    if not all(map(_is_written, _choices(hints[field.name]))):
      raise errors.UserError(
          f'`{field.name}`: texts of methods cannot express the type '
          f'{field.type}; annotate the field with bool, int, float, str, '
          'tuples of these such as tuple[int, ...], or unions of these with '
          'None')
    value = getattr(config, field.name)
    object.__setattr__(config, field.name, converted(
        value, hints[field.name], f'`{field.name}={value!r}`',
        getattr(config, 'choices', {}).get(field.name, ())))


def _is(value: Any, kind: Any) -> bool:
  """Returns whether a value has a plain type or a type of tuples."""
  arguments = typing.get_args(kind)
  if not arguments:
    if kind in (int, float) and isinstance(value, bool):
      return False  # bool is a subclass of int.
    return isinstance(value, kind)
  if not isinstance(value, tuple):
    return False
  if arguments[-1] is Ellipsis:
    return all(_is(entry, arguments[0]) or (
        arguments[0] is float and _is(entry, int)) for entry in value)
  return len(value) == len(arguments) and all(
      _is(entry, argument) or argument is float and _is(entry, int)
      for entry, argument in zip(value, arguments, strict=True))


def switched(
    fields: Mapping[str, Any], switches: Mapping[str, tuple[str, ...]],
    sites: Iterable[str],
) -> dict[str, Any]:
  """Replaces AdapterHub's switches of sites by the field `sites`.

  Args:
    fields: {field or switch: value}, perhaps with `sites`.
    switches: {switch: sites that it turns on or off}.
    sites: Default of `sites`.

  Returns:
    {field: value}

  Raises:
    errors.UserError: the value of a switch is not a bool.
  """
  fields = dict(fields)
  given = {word: fields.pop(word) for word in switches if word in fields}
  if not given:
    return fields
  chosen = set(fields.get('sites', sites))
  for word, on in given.items():
    if on not in (True, False):
      raise errors.unknown(f'`{word}`', str(on), ('True', 'False'))
    if not on:
      chosen -= set(switches[word])
    # Turning on a switch of several sites keeps an explicit choice among them.
    elif not chosen & set(switches[word]):
      chosen |= set(switches[word])
  fields['sites'] = tuple(site for site in places.LINEARS if site in chosen)
  return fields
