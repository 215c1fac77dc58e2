"""Settings: one frozen dataclass field each."""

import dataclasses
from typing import Any

from adapters_jax import errors


def option(default: Any, help_text: str, **metadata: Any) -> Any:
  """Returns a dataclass field that becomes a flag with this help."""
  return dataclasses.field(
      default=default, metadata={'help': help_text, **metadata})


def parse_layers(text: str, layers: int, flag: str) -> tuple[int, ...]:
  """Returns the layer numbers of 'all', 'none' or '0-5,8', in order.

  Args:
    text: The flag's value.
    layers: How many layers the model has.
    flag: The flag's name, for the message.

  Raises:
    UserError: not of that form, or outside the model.
  """
  if text == 'all':
    return tuple(range(layers))
  if text == 'none':
    return ()
  chosen = set()
  for part in text.split(','):
    first, dash, last = part.strip().partition('-')
    if not first.isdecimal() or (dash and not last.isdecimal()):
      raise errors.UserError(
          f"{flag}: {text!r} is not of the form 'all', 'none' or '0-5,8'")
    first, last = int(first), int(last if dash else first)
    if first > last:
      raise errors.UserError(f'{flag}: the range {part.strip()} runs backwards')
    if last >= layers:
      raise errors.UserError(
          f'{flag}: there is no layer {last}; the model has {layers} layers, '
          f'numbered 0 to {layers - 1}')
    chosen.update(range(first, last + 1))
  return tuple(sorted(chosen))
