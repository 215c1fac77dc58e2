"""Errors that the user can correct, and the flag names in their messages."""

from collections.abc import Callable, Collection, Iterable, Iterator
from collections.abc import Mapping
import contextlib
import difflib
import re

# `name` or `name=value`; a value may contain spaces.
_ARGUMENT = re.compile(r'`(\w+)(?:=([^`]*))?`')
# Any other word in backticks. Commands such as `pip download` contain spaces
# and keep their backticks.
_WORD = re.compile(r'`([^`\s]+)`')
# {argument in Python: its flag, if that has another name}
_FLAGS = {'base': 'checkpoint'}
_BOOLS = {'True': 'true', 'False': 'false'}


class UserError(ValueError):
  """An error that the user can correct; its message says how, in one line.

  The message names arguments as Python does, in backticks and with the value
  where it matters: "`max_length=600`: the model has 512 positions for text".
  It never spells a command-line flag, as callers of the library have none; it
  may quote a whole command.
  Commands pass the message through `as_flags` before they print it.
  """


class SweepError(UserError):
  """An error of one run that ends its whole sweep, whose runs share the cause.

  Other errors of a run are reported, and the other runs continue.
  """


# A prefix, not a class: failed runs report to other processes as text.
_DIVERGED = 'diverged: '


def diverged(message: str) -> UserError:
  """Returns the error for a training whose numbers are no longer finite.

  Args:
    message: Numbers, their step, and settings to change.
  """
  return UserError(_DIVERGED + message)


def is_divergence(message: str) -> bool:
  """Returns whether a failed run diverged, which its settings caused.

  Args:
    message: Message of the failure.
  """
  return message.startswith(_DIVERGED)


def first_line(error: BaseException) -> str:
  """Returns the type and the first line of an error of any origin.

  Args:
    error: Error, perhaps without a message.
  """
  text = (str(error).strip() or 'no message').splitlines()[0]
  return f'{type(error).__name__}: {text}'


class Interrupted(Exception):
  """Raised where a signal stops training.

  Attributes:
    saved: Whether a state is saved, from which the training can continue.
  """

  def __init__(self, message: str, saved: bool = False):
    super().__init__(message, saved)  # Both, so that pickle restores both.
    self.saved = saved

  def __str__(self) -> str:
    return self.args[0]


def as_flags(message: str, names: Collection[str]) -> str:
  """Rewrites a message of the library for a reader on a command line.

  Args:
    message: Message of a UserError, with arguments in backticks.
    names: Names of the command line's flags.

  Returns:
    The message with "`name`" and "`name=value`" as "--name" and "--name=value"
    for flags, and with true for True. Other single words lose their backticks;
    quoted commands contain blanks and keep them.
  """

  def flag(name, value):
    if name not in names and _FLAGS.get(name) in names:
      name = _FLAGS[name]
    text = name if value is None else f'{name}={_BOOLS.get(value, value)}'
    return f'--{text}' if name in names else text

  return _WORD.sub(r'\1', rewrite(message, flag))


def rewrite(message: str, write: Callable[[str, str | None], str]) -> str:
  """Replaces the arguments in backticks in a message.

  Args:
    message: Message of a UserError.
    write: (name, value or None) -> replacement, backticks included.
  """
  return _ARGUMENT.sub(lambda found: write(*found.groups()), message)


@contextlib.contextmanager
def within(what: str) -> Iterator[None]:
  """Prefixes the messages of UserErrors in the context.

  Args:
    what: Argument in backticks, or path of a file.
  """
  try:
    yield
  except UserError as error:
    raise UserError(f'{what}: {error}') from error.__cause__


def listed(names: Iterable[str], most: int) -> str:
  """Returns comma-separated names, with a count of those beyond `most`.

  Args:
    names: Names.
    most: Number of names to spell out.
  """
  names = list(names)
  rest = len(names) - most
  return ', '.join(names[:most]) + (f' and {rest} more' if rest > 0 else '')


def _near(word: str, known: Iterable[str]) -> list[str]:
  """Returns the names of similar spelling, the nearest first.

  These are names that begin with the word, as 'batch_size' with 'batch', and
  those that share most of its letters in their order.
  """
  known = list(known)
  start = [one for one in known if len(word) > 2 and one.startswith(word)]
  # At lower cutoffs, long words share their letters by chance: 'report_to' and
  # 'dropout', 'output_dir' and 'data_dir'.
  near = difflib.get_close_matches(word, known, n=3, cutoff=0.7)
  ratios = [difflib.SequenceMatcher(None, one, word).ratio() for one in near]
  return [*dict.fromkeys([
      *(one for one, ratio in zip(near, ratios) if ratio > ratios[0] - 0.15),
      *start])][:3]


def unknown(
    what: str, word: str, known: Iterable[str],
    same: Mapping[str, str] | None = None,
) -> UserError:
  """Returns the error for a name that is not in a table.

  Args:
    what: Argument or field that holds the name; starts the message.
    word: The unknown name.
    known: Names in the table. The message suggests the ones of similar
      spelling, or lists all; '', a default, is no name.
    same: {name in other libraries: name in the table}, suggested first.
  """
  known = list(filter(None, known))
  lowered = {one.lower(): one for one in known}
  # Callers in Python may give another type.
  said = str(word).lower()
  found = (same or {}).get(said)
  near = [found.lower()] if found in known else _near(said, lowered)
  hint = (f'did you mean {" or ".join(lowered[one] for one in near)}?' if near
          else f'it is one of {", ".join(known)}')
  return UserError(f'{what}: unknown {word!r}; {hint}')
