"""Layouts of tables of multiple choice: SWAG, COPA, HellaSwag and others."""

from collections.abc import Mapping, Sequence
import dataclasses
import re

from adapters_jax import errors


@dataclasses.dataclass(frozen=True)
class Columns:
  """Columns of a table of multiple choice.

  Attributes:
    name: Name of the layout, for messages.
    needed: Columns by which the layout is recognised.
    contexts: Columns that make the context, joined by spaces.
    start: Column with the start of every choice, '' for none.
    choices: Pattern of the columns of choices, or one column with a list.
    answers: Possible columns of the answer.
    question: Column of COPA's question, '' for none.
    optional: Column that belongs to the context in rows that have a text in it,
      '' for none.
  """
  name: str
  needed: tuple[str, ...]
  contexts: tuple[str, ...]
  choices: str
  start: str = ''
  answers: tuple[str, ...] = ('answer', 'label')
  question: str = ''
  optional: str = ''


LAYOUTS = (
    Columns('SWAG', ('sent1', 'sent2', 'ending0'), ('sent1',), r'ending\d+',
            start='sent2', answers=('label',)),
    Columns('COPA', ('premise', 'question', 'choice1', 'choice2'), ('premise',),
            r'choice\d+', answers=('label',), question='question'),
    Columns('HellaSwag', ('ctx', 'endings'), ('ctx',), 'endings',
            answers=('label',)),
    Columns('plain', ('context', 'choices'), ('context',), 'choices',
            optional='question'),
    Columns('plain', ('context', 'choice1'), ('context',), r'choice\d+',
            optional='question'),
)


def layout_of(
    path: str, line: int, row: Mapping[str, object],
    contexts: Sequence[str] = (), choices: Sequence[str] = (), answer: str = '',
) -> Columns:
  """Returns the layout of a table.

  Args:
    path: Path of the file, for messages.
    line: Line of the row, for messages.
    row: Its first row, {column: value}.
    contexts: Columns of the context, for other columns than those of LAYOUTS.
    choices: Columns of the choices, or one with a list; () to find a layout.
    answer: Column of the answer; '' for the one of the layout.

  Raises:
    errors.UserError: none of LAYOUTS.
  """
  if choices:
    pattern = '|'.join(map(re.escape, choices))
    return Columns('own', (*contexts, *choices), tuple(contexts), pattern,
                   answers=(answer,))
  for layout in LAYOUTS:
    if set(layout.needed) <= row.keys():
      return dataclasses.replace(layout, answers=(answer,)) if (
          answer) else layout
  raise errors.UserError(
      f'{path}, line {line}: the columns {", ".join(map(repr, row))} are of no '
      'known layout (context and choices, SWAG, COPA, HellaSwag); name yours '
      'with `text_columns` and `choice_columns`')
