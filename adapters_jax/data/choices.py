"""Multiple choice: contexts with several endings or answers, one of them right.

A row of texts is (context, (choice, choice, ...)). Tables may have the layout
of SWAG (Zellers et al., 2018), COPA (Roemmele et al., 2011) or HellaSwag, or
columns of other names.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import re
from typing import Any

import numpy as np

from adapters_jax import errors
from adapters_jax.data import choice_layouts
from adapters_jax.data import sequences
from adapters_jax.data import tables
from adapters_jax.data import tasks

TEXTS = ('context', 'choices')
METRICS = ('accuracy',)
_UNKNOWN = ('-1', '-1.0')  # Answers of unlabelled splits.
# The questions that COPA's test asks.
_QUESTIONS = {'cause': 'What was the cause of this?',
              'effect': 'What happened as a result?'}

Row = Mapping[str, object]
Choices = tuple[str, tuple[str, ...]]  # (context, choices)


def choices_of(
    path: str, line: int, row: Row, layout: choice_layouts.Columns
) -> Choices:
  """Returns (context, choices) of a row.

  Args:
    path: Path of the file, for messages.
    line: Line of the row, for messages.
    row: {column: value}
    layout: Layout of the table.

  Raises:
    errors.UserError: an absent column, a value that is no text, an empty
      choice, or fewer than two choices.
  """
  def text(name, setting='text_columns'):
    value = tables.column(path, line, row, name, setting)
    return tables.text_of(path, line, name, value)

  asked = [] if tables.is_empty(row, layout.optional) else [layout.optional]
  context = ' '.join(text(name) for name in (*layout.contexts, *asked))
  if layout.question:
    word = text(layout.question).strip().lower()
    if word not in _QUESTIONS:
      raise errors.UserError(
          f'{path}, line {line}, column {layout.question!r}: {word!r} is '
          "neither 'cause' nor 'effect'")
    context = f'{context} {_QUESTIONS[word]}'
  found = [one for name in _columns_of(row, layout)
           for one in _cells(path, line, name, tables.column(
               path, line, row, name, 'choice_columns'))]
  if len(found) < 2:
    count = f'is {len(found)} choice' if len(found) == 1 else 'are no choices'
    raise errors.UserError(
        f'{path}, line {line}: there {count}; two or more are needed')
  start = f'{text(layout.start)} ' if layout.start else ''
  return context, tuple(start + one for one in found)


def _columns_of(row: Row, layout: choice_layouts.Columns) -> list[str]:
  """Returns the columns of the choices, in their order."""
  columns = [name for name in dict.fromkeys((*layout.needed, *row))
             if re.fullmatch(layout.choices, name)]
  return columns if layout.name == 'own' else sorted(columns, key=_number)


def _number(name: str) -> int:
  """Returns the number at the end of a column's name."""
  digits = re.search(r'\d+$', name)
  return int(digits.group()) if digits else 0


def _cells(path: str, line: int, name: str, value: object) -> list[str]:
  """Returns the choices of a column: its text, or a list of texts."""
  values = value if isinstance(value, list) else [value]
  found = [tables.text_of(path, line, name, one) for one in values]
  if not all(one.strip() for one in found):
    raise errors.UserError(
        f'{path}, line {line}, column {name!r}: a choice is empty; give a '
        'text, or leave the row out')
  return found


def _answer(
    path: str, line: int, row: Row, layout: choice_layouts.Columns,
    choices: Sequence[str],
) -> int:
  """Returns the number of the right choice, from 0."""
  name, *others = [
      n for n in layout.answers if n in row] or layout.answers[-1:]
  if others:
    raise errors.UserError(
        f'{path}, line {line}: the columns {name!r} and {others[0]!r} may both '
        'hold the answer; remove one')
  value = tables.column(path, line, row, name, 'label_column')
  word = tables.label_of(path, line, name, value)
  place = f'{path}, line {line}, column {name!r}'
  is_number = type(value) in (int, float)  # A number of JSON, but no bool.
  found = set()
  numeral = re.fullmatch(r'\d+(\.0)?', word)
  if numeral and float(word) < len(choices):
    found.add(int(float(word)))
  if not is_number:
    found |= {number for number, one in enumerate(choices)
              if one.strip() == word}
  # The class names of COPA are columns. A number is none: columns 1 and 2 may
  # have answers from 0, and a file must have one reading.
  if not found and not numeral and not is_number:
    columns = _columns_of(row, layout)
    if word in columns and len(columns) == len(choices):  # No list of texts.
      found.add(columns.index(word))
  if len(found) > 1:
    several = ' and '.join(repr(choices[number]) for number in sorted(found))
    raise errors.UserError(
        f'{place}: the answer {word!r} may be the choices {several}, by number '
        'from 0 or text; give the number, as a number in JSONL')
  if not found:
    way = f'give its number, 0 to {len(choices) - 1}' + (
        ', or its text in quotes' if is_number and word in choices else '')
    raise errors.UserError(
        f'{place}: the answer {word!r} is none of the {len(choices)} choices; '
        f'{way}')
  return found.pop()


def read(
    path: str, contexts: Sequence[str] = (), choices: Sequence[str] = (),
    answer: str = '', *, labelled: bool = True,
) -> tables.Table:
  """Reads a file of contexts, choices and answers.

  Args:
    path: A file that `rows.read` reads.
    contexts: Columns of the context, with `choices`.
    choices: Columns of the choices, or one with a list; () for a layout of
      `choice_layouts`.
    answer: Column of the answer, '' for the one of a layout. It holds the
      number of the right choice, from 0, or its text, or else its column. A
      number of JSON is no text, and no number is a column.
    labelled: Whether the answers must be known. Otherwise they may be absent,
      empty or -1 in all rows.

  Returns:
    Table, whose texts are `Choices` and whose labels are numbers of choices.

  Raises:
    errors.UserError: a fault of the file, an absent column, too few choices, or
      an answer out of range; names the file and the line.
  """
  found: list[choice_layouts.Columns] = []

  def layout(line, row):
    if not found:
      found.append(choice_layouts.layout_of(
          path, line, row, contexts, choices, answer))
    return found[0]

  def unknown(row):
    return all(
        tables.is_empty(row, name) or str(row[name]).strip() in _UNKNOWN
        for name in layout(1, row).answers)

  return tables.read_table(
      path, lambda line, row: choices_of(path, line, row, layout(line, row)),
      lambda line, row: _answer(
          path, line, row, layout(line, row),
          choices_of(path, line, row, dataclasses.replace(
              layout(line, row), start=''))[1]),
      answer or 'answer', unknown=None if labelled else unknown)


def load(
    paths: Mapping[str, str], contexts: Sequence[str], choices: Sequence[str],
    answer: str, dev_fraction: float = 0.0,
    test_fraction: float = 0.0,
) -> tuple[tasks.Task, dict[str, tasks.Split]]:
  """Reads the user's own files as a task of multiple choice.

  Args:
    paths: {'train' and possibly 'dev' and 'test': path}. Answers may be absent
      from the test file.
    contexts: As for `read`.
    choices: As for `read`.
    answer: As for `read`.
    dev_fraction: Share of the training file to hold out as dev, where dev has
      no file.
    test_fraction: Share to hold out as test in addition.

  Returns:
    (task, {split: examples})

  Raises:
    errors.UserError: a fault of a file, or rows that differ in their number of
      choices.
  """
  read_in = {name: read(path, contexts, choices, answer,
                        labelled=name != 'test')
             for name, path in paths.items()}
  count = len(read_in['train'].texts[0][1])
  for table in read_in.values():
    check_counts(table.texts, [
        f'{table.path}, line {line}' for line in table.lines], count)
  texts = (','.join(contexts), ','.join(choices)) if choices else TEXTS
  return make_task('files', texts, count), tables.to_splits(
      tables.with_dev(read_in, dev_fraction, test_fraction),
      lambda table: np.array(table.labels, np.int32), np.int32(-1))


def make_task(name: str, texts: tuple[str, ...], count: int) -> tasks.Task:
  """Returns a task of multiple choice.

  Args:
    name: Name of the task.
    texts: Names of the context and of the choices.
    count: Number of choices.
  """
  return tasks.Task(
      name=name, source='', texts=texts, labels=tuple(map(str, range(count))),
      metrics=METRICS, form='multiple_choice')


def check_counts(
    rows: Sequence[Choices], places: Sequence[str], count: int
) -> None:
  """Raises UserError for a row with another number of choices.

  Args:
    rows: Texts of each example.
    places: Place of each, for the message.
    count: Number of choices of the first training example.
  """
  for (_, choices), place in zip(rows, places, strict=True):
    if len(choices) != count:
      raise errors.UserError(
          f'{place}: there are {len(choices)} choices, the first '
          f'training example has {count}; give all as many')


def checked_row(row: Any, place: str) -> Choices:
  """Returns (context, choices) in memory.

  Args:
    row: Value that a caller gave.
    place: Its place, for the message.

  Raises:
    errors.UserError: a value of another form, or fewer than two choices.
  """
  if (not sequences.is_row(row) or len(row) != 2
      or not sequences.is_row(row[1]) or len(row[1]) < 2
      or not all(isinstance(text, str) for text in (row[0], *row[1]))):
    raise errors.UserError(
        f'{place}: give (context, choices), strings with two choices or more')
  return row[0], sequences.row_of(row[1])


def flat(rows: Sequence[Choices]) -> list[tuple[str, str]]:
  """Returns [rows * choices] pairs (context, choice), row by row."""
  return [(context, choice) for context, choices in rows for choice in choices]


def answers(name: str, labels: Sequence[Any], count: int) -> np.ndarray:
  """Returns [examples] int32 answers in memory.

  Args:
    name: Name of the argument, for messages.
    labels: Answer of each example.
    count: Number of choices.

  Raises:
    errors.UserError: an answer out of range.
  """
  for number, label in enumerate(labels):
    if not isinstance(label, (int, np.integer)) or not 0 <= label < count:
      raise errors.UserError(
          f'`{name}`, labels[{number}]: {label!r} is none of the {count} '
          f'choices; give a number from 0 to {count - 1}')
  return np.array(labels, np.int32)
