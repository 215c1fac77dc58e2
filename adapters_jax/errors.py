"""Settings: one frozen dataclass field each, and the errors about them."""

from collections.abc import Iterable
import difflib


class UserError(ValueError):
  """Something the user can put right; the message is one line and says how."""


def unknown(what: str, word: str, known: Iterable[str]) -> UserError:
  """Returns the error for a name that is not in a table, with near matches."""
  known = list(known)
  near = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
  hint = (f'did you mean {" or ".join(near)}?' if near
          else f'it is one of {", ".join(known)}')
  return UserError(f'{what}: unknown {word!r}; {hint}')


