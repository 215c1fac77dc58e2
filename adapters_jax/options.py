"""Settings: one frozen dataclass field each, and the errors about them."""

from collections.abc import Iterable
import dataclasses
import difflib
from typing import Any


class UserError(ValueError):
  """Something the user can put right; the message is one line and says how."""


def option(default: Any, help_text: str, **metadata: Any) -> Any:
  """Returns a dataclass field that becomes a flag with this help."""
  return dataclasses.field(
      default=default, metadata={'help': help_text, **metadata})


def unknown(what: str, word: str, known: Iterable[str]) -> UserError:
  """Returns the error for a name that is not in a table, with near matches."""
  known = list(known)
  near = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
  hint = (f'did you mean {" or ".join(near)}?' if near
          else f'it is one of {", ".join(known)}')
  return UserError(f'{what}: unknown {word!r}; {hint}')


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
      raise UserError(
          f"{flag}: {text!r} is not of the form 'all', 'none' or '0-5,8'")
    first, last = int(first), int(last if dash else first)
    if first > last:
      raise UserError(f'{flag}: the range {part.strip()} runs backwards')
    if last >= layers:
      raise UserError(
          f'{flag}: there is no layer {last}; the model has {layers} layers, '
          f'numbered 0 to {layers - 1}')
    chosen.update(range(first, last + 1))
  return tuple(sorted(chosen))
