"""Tables of examples: the columns of a file of rows, checked."""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import decimal
import difflib
import logging
import math
import re
from typing import Any

import numpy as np

from adapters_jax import errors
from adapters_jax.data import held_out
from adapters_jax.data import rows
from adapters_jax.data import tasks

_log = logging.getLogger(__name__)

_DECIMAL = re.compile(r'[+-]?(\d+\.?\d*|\.\d+)', re.ASCII)
_NUMBER = re.compile(_DECIMAL.pattern + r'([eE][+-]?\d+)?', re.ASCII)
_WORDS = {bool: 'a truth value', int: 'a number', float: 'a number',
          list: 'a list', dict: 'an object', type(None): 'null',
          bytes: 'bytes'}


@dataclasses.dataclass(frozen=True)
class Table:
  """Columns of a file.

  Attributes:
    path: Path of the file.
    texts: One or two texts for each row.
    labels: Label or score of each row as a string; in tables of `label_sets` a
      list of labels, in those of `choices` the number of the answer. None if
      the file has none.
    lines: Line, counted from 1, that each row begins in.
    label_column: Column of the labels.
  """
  path: str
  texts: list[Any]
  labels: list[Any] | None
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


def column(
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


def text_of(path: str, line: int, name: str, value: object) -> str:
  """Returns a cell, of any type in JSONL, as a text; UserError for others."""
  return text_at(f'{path}, line {line}, column {name!r}', value)


def text_at(place: str, value: object) -> str:
  """Returns a value of JSON as a text; UserError for others.

  Args:
    place: Place of the value, for messages.
    value: Value.
  """
  if not isinstance(value, str):
    raise errors.UserError(
        f'{place}: the text is {_WORDS[type(value)]}; give a string, or leave '
        'it out')
  try:
    value.encode('utf-8')
  except UnicodeEncodeError as error:  # JSON can spell half a character.
    raise errors.UserError(
        f'{place}: {value[error.start]!r} is half of a character; write both '
        'halves') from error
  return value


def label_of(path: str, line: int, name: str, value: object) -> str:
  """Returns a cell as a label, '' for an empty one or null."""
  if isinstance(value, float) and not math.isfinite(value):
    raise errors.UserError(
        f'{path}, line {line}, column {name!r}: {value} is no label; give '
        'one, or leave the row out')
  if isinstance(value, (list, dict, bytes)):
    raise errors.UserError(
        f'{path}, line {line}, column {name!r}: the label is '
        f'{_WORDS[type(value)]}; give a string or a number')
  return text_at(  # 0 and false are labels.
      f'{path}, line {line}, column {name!r}',
      '' if value is None else str(value).strip())


def check_spellings(table: Table) -> None:
  """Raises UserError for two spellings of one number or truth value.

  Args:
    table: Table with a label, or a list of labels, for each row.
  """
  rows: dict[str, int] = {}
  for row, labels in enumerate(table.labels or ()):
    for label in labels if isinstance(labels, list) else [labels]:
      rows.setdefault(label, row)
  # Among words, 1e3 and 1000 may be codes; 1_0 is a name in any case.
  pattern = _NUMBER if all(map(_NUMBER.fullmatch, rows)) else _DECIMAL
  found: dict[object, str] = {}
  for label, row in rows.items():
    value: object = label.lower()  # JSON's true is True here.
    if pattern.fullmatch(label):
      value = decimal.Decimal(label)  # Exact, for long ids.
    elif value not in ('true', 'false'):
      continue
    first = found.setdefault(value, label)
    if first != label:
      raise errors.UserError(
          f'{table.place(row)}: the label {label!r} is {first!r} of line '
          f'{table.lines[rows[first]]} in another spelling; write both alike')


def texts_of(
    path: str, line: int, row: Mapping[str, object],
    text_columns: Sequence[str], settings: Mapping[str, str] | None = None,
) -> tuple[str, ...]:
  """Returns the texts of a row.

  Args:
    path: Path of the file, for messages.
    line: Line of the row, for messages.
    row: {column: value}
    text_columns: Column of the text, or columns of the two texts.
    settings: {column: setting that names it}, for those that `text_columns`
      does not.

  Raises:
    errors.UserError: an absent column, or a value that is no text.
  """
  # Columns are looked up in every row, as JSONL has no header.
  return tuple(
      text_of(path, line, name, column(
          path, line, row, name, (settings or {}).get(name, 'text_columns')))
      for name in text_columns)


def is_empty(row: Mapping[str, object], name: str) -> bool:
  """Returns whether a row has no column of a name, or nothing in it."""
  value = row.get(name)
  return value is None or (isinstance(value, str) and not value.strip())


def read_table(
    path: str, texts_of_row: Callable[[int, Mapping[str, object]], Any],
    labels_of_row: Callable[[int, Mapping[str, object]], Any],
    label_column: str,
    unknown: Callable[[Mapping[str, object]], bool] | None = None,
) -> Table:
  """Reads the rows of a file.

  Args:
    path: A file that `rows.read` reads.
    texts_of_row: (line, row) -> texts.
    labels_of_row: (line, row) -> label or labels.
    label_column: Name of the column of labels, for messages.
    unknown: (row) -> whether it lacks its labels, for a file in which all rows
      may lack them; None for a file that must have them.

  Raises:
    errors.UserError: no row, or an error of the functions.
  """
  texts, labels, lines, empty = [], [], [], []
  for line, row in rows.read(path):
    texts.append(texts_of_row(line, row))
    labels.append(labels_of_row(line, row) if unknown is None else row)
    lines.append(line)
    # The second part of multiple choice is a tuple of texts.
    if not all(part.strip() for part in texts[-1] if isinstance(part, str)):
      empty.append(line)
  if not texts:
    raise errors.UserError(f'{path}: no examples in it')
  if empty:
    _log.warning('%s: %d empty texts, the first in line %d',
                 path, len(empty), empty[0])
  if unknown is not None:  # `labels` are rows.
    if all(map(unknown, labels)):
      return Table(path, texts, None, lines, label_column)
    labels = [labels_of_row(line, row)
              for line, row in zip(lines, labels, strict=True)]
  return Table(path, texts, labels, lines, label_column)


def with_dev(
    tables: Mapping[str, Table], dev_fraction: float,
    test_fraction: float = 0.0,
) -> Mapping[str, Table]:
  """Returns tables with a dev table, held out of training if there is none.

  Args:
    tables: {'train' and possibly 'dev' and 'test': table}.
    dev_fraction: Share of the training table to hold out.
    test_fraction: Share to hold out as test in addition.

  Raises:
    errors.UserError: too few rows to divide.
  """
  if 'dev' in tables:
    return tables
  train = tables['train']
  fewest = 'three' if test_fraction else 'two'
  if len(train.texts) < 2 + bool(test_fraction):
    raise errors.UserError(
        f'{train.path}: {fewest} rows or more are needed to hold some out')
  kept, dev, test = map(train.take, held_out.split(
      len(train.texts), dev_fraction, test_fraction))
  held_out.warn_of_known(kept.texts, dev.texts, test.texts)
  return {'train': kept, 'dev': dev, **({'test': test} if test.texts else {}),
          **{k: v for k, v in tables.items() if k != 'train'}}


def to_splits(
    tables: Mapping[str, Table], labels_of: Callable[[Table], np.ndarray],
    unknown: Any,
) -> dict[str, tasks.Split]:
  """Returns {split: examples} of tables, some of which may lack labels.

  Args:
    tables: {split: table}
    labels_of: (table) -> [rows, ...] labels as numbers.
    unknown: [...] numbers of a row without labels, of NumPy.
  """
  found = {}
  for name, table in tables.items():
    labelled = table.labels is not None
    if not labelled:
      _log.info('%s: has no labels, so it is not scored', table.path)
    found[name] = tasks.Split(
        table.texts, labels_of(table) if labelled else np.repeat(
            unknown[np.newaxis], len(table.texts), axis=0), labelled)
  return found
