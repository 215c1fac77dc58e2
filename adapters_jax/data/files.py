"""Examples from the user's own TSV, CSV and JSONL files."""

from collections.abc import Mapping, Sequence
import dataclasses
import difflib
import logging
import math

import numpy as np

from adapters_jax import errors
from adapters_jax.data import held_out
from adapters_jax.data import rows
from adapters_jax.data import tasks

_log = logging.getLogger(__name__)

_LARGEST = float(np.finfo(np.float32).max)
_UNKNOWN = '-1'  # Label of every example of an unlabelled split, as in GLUE.
_WORDS = {bool: 'a truth value', int: 'a number', float: 'a number',
          list: 'a list', dict: 'an object', type(None): 'null'}


@dataclasses.dataclass(frozen=True)
class Table:
  """Columns of a file.

  Attributes:
    path: Path of the file.
    texts: One or two texts for each row.
    labels: Label or score of each row as a string; None where the file has
      none.
    lines: Line, counted from 1, that each row begins in.
    label_column: Column of the labels.
  """
  path: str
  texts: list[tuple[str, ...]]
  labels: list[str] | None
  lines: list[int]
  label_column: str | None = None

  def place(self, row: int) -> str:
    """Returns the place of a row's label, for messages."""
    return f'{self.path}, line {self.lines[row]}, column {self.label_column!r}'

  def take(self, chosen: Sequence[int]) -> 'Table':
    """Returns some of the rows, by their numbers from 0."""
    return dataclasses.replace(
        self, texts=[self.texts[row] for row in chosen],
        labels=self.labels and [self.labels[row] for row in chosen],
        lines=[self.lines[row] for row in chosen])


def _column(
    path: str, line: int, row: Mapping[str, object], name: str, setting: str
) -> object:
  """Returns a cell; UserError for an absent column suggests another one."""
  if name in row:
    return row[name]
  padded = [c for c in row if c.strip() == name]
  near = difflib.get_close_matches(
      name.lower(), [c.lower() for c in row], n=1, cutoff=0.8)
  if padded:
    way = f'remove the blanks around {padded[0]!r} in the header'
  elif near:
    found = next(c for c in row if c.lower() == near[0])
    way = f'did you mean `{setting}={found}`?'
  else:
    way = f'name yours with `{setting}`, or add a header as line 1'
  raise errors.UserError(
      f'{path}, line {line}: no column {name!r}, only '
      f'{", ".join(map(repr, row))}; {way}')


def _text(path: str, line: int, column: str, value: object) -> str:
  """Returns a cell, of any type in JSONL, as a text; UserError for others."""
  place = f'{path}, line {line}, column {column!r}'
  if not isinstance(value, str):
    raise errors.UserError(
        f'{place}: the text is {_WORDS[type(value)]}; give a string, or leave '
        'the row out')
  try:
    value.encode('utf-8')
  except UnicodeEncodeError as error:  # JSON can spell half a character.
    raise errors.UserError(
        f'{place}: {value[error.start]!r} is half of a character; write both '
        'halves') from error
  return value


def _label(path: str, line: int, column: str, value: object) -> str:
  """Returns a cell as a label, '' for an empty one or null."""
  if isinstance(value, float) and not math.isfinite(value):
    raise errors.UserError(
        f'{path}, line {line}, column {column!r}: {value} is no label; give '
        'one, or leave the row out')
  if isinstance(value, (list, dict)):
    raise errors.UserError(
        f'{path}, line {line}, column {column!r}: the label is '
        f'{_WORDS[type(value)]}; give a string or a number')
  return '' if value is None else str(value).strip()  # 0 and false are labels.


def texts_of(
    path: str, line: int, row: Mapping[str, object],
    text_columns: Sequence[str],
) -> tuple[str, ...]:
  """Returns the texts of a row.

  Args:
    path: Path of the file, for messages.
    line: Line of the row, for messages.
    row: {column: value}
    text_columns: Column of the text, or columns of the two texts.

  Raises:
    errors.UserError: an absent column, or a value that is no text.
  """
  # Asked of every row: JSONL has no header that holds for all.
  return tuple(
      _text(path, line, name, _column(path, line, row, name, 'text_columns'))
      for name in text_columns)


def read(
    path: str, text_columns: Sequence[str], label_column: str, *,
    labelled: bool = True,
) -> Table:
  """Reads a file of texts and their labels.

  Args:
    path: A .tsv or .csv file with a header, or a .jsonl file.
    text_columns: Column of the text, or columns of the two texts.
    label_column: Column of the label or score.
    labelled: Whether the labels must be known. Otherwise the column may be
      absent or empty in all rows.

  Raises:
    errors.UserError: a fault of the file, an absent column, an empty label, or
      no row; names the file and the line.
  """
  texts, labels, lines, empty = [], [], [], []
  for line, row in rows.read(path):
    text = texts_of(path, line, row, text_columns)
    texts.append(text)
    lines.append(line)
    if not all(part.strip() for part in text):
      empty.append(line)
    if labelled or label_column in row:
      labels.append(_label(path, line, label_column, _column(
          path, line, row, label_column, 'label_column')))
    else:
      labels.append('')
  if not texts:
    raise errors.UserError(f'{path}: no examples in it')
  if empty:
    _log.warning('%s: %d empty texts, the first in line %d',
                 path, len(empty), empty[0])
  table = Table(path, texts, labels, lines, label_column)
  if not labelled and not any(labels):
    return dataclasses.replace(table, labels=None)
  if '' in labels:
    raise errors.UserError(
        f'{table.place(labels.index(""))}: the label is empty; give one, or '
        'leave the row out')
  return table


def _number(text: str) -> float:
  """Returns a label as a float, nan for words."""
  try:
    return float(text)
  except ValueError:
    return math.nan


def _scores(table: Table) -> np.ndarray:
  """Returns [examples] float32 scores; UserError for anything else."""
  scores = [_number(label) for label in table.labels]
  for row, score in enumerate(scores):
    if not abs(score) <= _LARGEST:  # False for nan.
      raise errors.UserError(
          f'{table.place(row)}: {table.labels[row]!r} is no number '
          f'of float32, whose largest is {_LARGEST:.2g}; for classes use '
          '`file_task=classification`')
  return np.array(scores, np.float32)


def _check_classes(table: Table) -> None:
  """Raises UserError for labels that are scores, or numbers with gaps."""
  numbers = [_number(label) for label in table.labels]
  words = [row for row, number in enumerate(numbers) if math.isnan(number)]
  gaps = [row for row in words if table.labels[row].lower() == 'nan']
  if len(words) > len(gaps) or len(gaps) == len(numbers):
    return  # Words, among which 'nan' may be one: it is a language's code.
  if gaps:
    raise errors.UserError(
        f'{table.place(gaps[0])}: {table.labels[gaps[0]]!r} among numbers is '
        'no label; give one, or leave the row out')
  for row, number in enumerate(numbers):
    if not number.is_integer():
      raise errors.UserError(
          f'{table.place(row)}: the label {table.labels[row]!r} is not a whole '
          'number; for scores use `file_task=regression`, and write classes '
          'as words')


def _classes_of(table: Table, classes: Sequence[str], train: str) -> np.ndarray:
  """Returns [examples] int32 classes; UserError for one not in training."""
  numbered = {label: number for number, label in enumerate(classes)}
  for row, label in enumerate(table.labels):
    if label not in numbered:
      raise errors.UserError(
          f'{table.place(row)}: the label {label!r} does not occur in {train}, '
          f'which has {", ".join(classes[:20])}')
  return np.array([numbered[label] for label in table.labels], np.int32)


def _split(
    table: Table, classes: Sequence[str], train: str, may_lack: bool
) -> tasks.Split:
  """Returns the examples of a table.

  Args:
    table: Columns of the file.
    classes: Names of the classes, () for scores.
    train: Path of the training file, for messages.
    may_lack: Whether the labels may be unknown.
  """
  if may_lack and classes and _UNKNOWN not in classes and (
      table.labels and set(table.labels) == {_UNKNOWN}):
    table = dataclasses.replace(table, labels=None)
  if table.labels is None:
    _log.info('%s: has no labels, so it is not scored', table.path)
    unknown = np.full(
        len(table.texts), -1, np.int32 if classes else np.float32)
    return tasks.Split(table.texts, unknown, labelled=False)
  return tasks.Split(
      table.texts,
      _classes_of(table, classes, train) if classes else _scores(table))


def load(
    paths: Mapping[str, str], text_columns: Sequence[str], label_column: str,
    regression: bool, dev_fraction: float = 0.0,
) -> tuple[tasks.Task, dict[str, tasks.Split]]:
  """Reads the user's own files as a task.

  Args:
    paths: {'train' and possibly 'dev' and 'test': path}. Labels may be absent
      from the test file.
    text_columns: Column of the text, or columns of the two texts.
    label_column: Column of the label or score.
    regression: Whether labels are scores. Otherwise the classes are the labels
      of the training file, sorted.
    dev_fraction: Share of the training file to hold out as dev, where dev has
      no file.

  Returns:
    (task, {split: examples})

  Raises:
    errors.UserError: a fault of a file, an absent column, a score that is no
      number, a label unseen in training, fewer than two classes.
  """
  tables = {name: read(path, text_columns, label_column,
                       labelled=name != 'test')
            for name, path in paths.items()}
  train = tables['train']
  classes: tuple[str, ...] = ()
  if not regression:
    _check_classes(train)
    classes = tuple(sorted(set(train.labels)))
    if len(classes) < 2:
      raise errors.UserError(
          f'{train.path}, column {label_column!r}: all rows have the label '
          f'{classes[0]!r}; two classes are needed, or `file_task=regression`')
  if 'dev' not in tables:
    if len(train.texts) < 2:
      raise errors.UserError(
          f'{train.path}: two rows or more are needed to hold some out as dev')
    kept, dev = held_out.draw(len(train.texts), dev_fraction)
    tables = {'train': train.take(kept), 'dev': train.take(dev),
              **{k: v for k, v in tables.items() if k != 'train'}}
  metrics = ('spearman', 'pearson') if regression else ('accuracy', 'macro_f1')
  task = tasks.Task(
      name='files', source='', texts=tuple(text_columns), labels=classes,
      metrics=metrics, target=label_column)
  return task, {
      name: _split(table, classes, train.path, may_lack=name == 'test')
      for name, table in tables.items()}
