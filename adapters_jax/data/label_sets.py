"""Examples with several labels each, from the user's own files."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from adapters_jax import errors
from adapters_jax.data import label_values
from adapters_jax.data import tables
from adapters_jax.data import tasks

_TRUE, _FALSE = ('1', '1.0', 'true'), ('0', '0.0', 'false')
METRICS = ('micro_f1', 'macro_f1', 'mean_average_precision')


def read(
    path: str, text_columns: Sequence[str], label_columns: Sequence[str],
    separator: str, *, labelled: bool = True,
) -> tables.Table:
  """Reads a file of texts and their labels.

  Args:
    path: A .tsv or .csv file with a header, or a .jsonl file.
    text_columns: Column of the text, or columns of the two texts.
    label_columns: Column of the labels, joined by a separator, or a list in
      JSONL; or a column of 0 and 1 for each label.
    separator: Separator of the labels.
    labelled: Whether the columns must be present. Otherwise they may be absent,
      or empty in all rows.

  Returns:
    Table, whose `labels` are the names of each row, [] for none.

  Raises:
    errors.UserError: a fault of the file, an absent column or a cell that holds
      no labels; names the file and the line.
  """
  one_hot = len(label_columns) > 1

  def labels_of(line, row):
    cells = [tables.column(path, line, row, name, 'label_column')
             for name in label_columns]
    if one_hot:
      return [name for name, cell in zip(label_columns, cells, strict=True)
              if _is_true(path, line, name, cell)]
    return _split(path, line, label_columns[0], cells[0], separator)

  def unknown(row):
    return all(tables.is_empty(row, name) for name in label_columns)

  return tables.read_table(
      path, lambda line, row: tables.texts_of(path, line, row, text_columns),
      labels_of, ', '.join(label_columns),
      unknown=None if labelled else unknown)


def _is_true(path: str, line: int, name: str, value: object) -> bool:
  """Returns whether a row has the label of a column."""
  word = str(value).strip().lower()
  if word not in _TRUE + _FALSE:
    raise errors.UserError(
        f'{path}, line {line}, column {name!r}: {value!r} is neither 0 nor 1')
  return word in _TRUE


def _split(
    path: str, line: int, name: str, value: object, separator: str
) -> list[str]:
  """Returns the labels of a cell."""
  place = f'{path}, line {line}, column {name!r}'
  if isinstance(value, list):
    cells = [tables.label_of(path, line, name, one) for one in value]
  else:
    text = tables.label_of(path, line, name, value)
    cells = [part.strip() for part in text.split(separator)] if text else []
  if '' in cells:
    raise errors.UserError(
        f'{place}: one of the labels in {value!r} is empty; give one, or '
        'remove its separator')
  for cell in cells:
    if cells.count(cell) > 1:
      raise errors.UserError(
          f'{place}: the label {cell!r} is there {cells.count(cell)} times; '
          'remove all but one')
  return cells


def load(
    paths: Mapping[str, str], text_columns: Sequence[str],
    label_columns: Sequence[str], separator: str, dev_fraction: float = 0.0,
    test_fraction: float = 0.0,
) -> tuple[tasks.Task, dict[str, tasks.Split]]:
  """Reads the user's own files as a task with several labels a text.

  Args:
    paths: {'train' and possibly 'dev' and 'test': path}. Labels may be absent
      from the test file.
    text_columns: Column of the text, or columns of the two texts.
    label_columns: As for `read`.
    separator: Separator of the labels in one column.
    dev_fraction: Share of the training file to hold out as dev, where dev has
      no file.
    test_fraction: Share to hold out as test in addition.

  Returns:
    (task, {split: examples})

  Raises:
    errors.UserError: a fault of a file, or a label unseen in training.
  """
  read_in = {name: read(path, text_columns, label_columns, separator,
                        labelled=name != 'test')
             for name, path in paths.items()}
  train = read_in['train']
  classes = classes_of(train, label_columns)
  task = tasks.Task(
      name='files', source='', texts=tuple(text_columns), labels=classes,
      metrics=METRICS, target=', '.join(label_columns), form='multilabel')
  return task, tables.to_splits(
      tables.with_dev(read_in, dev_fraction, test_fraction),
      lambda table: matrix(table, classes, train.path),
      np.zeros(len(classes), np.float32))


def classes_of(
    train: tables.Table, label_columns: Sequence[str]
) -> tuple[str, ...]:
  """Returns the labels of a task: those of training, sorted, or the columns.

  Args:
    train: Table of `read`.
    label_columns: Its columns of labels.

  Raises:
    errors.UserError: no row has a label, or a number has two spellings.
  """
  found = {name for labels in train.labels or () for name in labels}
  if not found:
    raise errors.UserError(
        f'{train.path}, column {train.label_column!r}: no row has a label')
  if len(label_columns) == 1:
    tables.check_spellings(train)
  return tuple(label_columns if len(label_columns) > 1 else sorted(found))


def matrix(
    table: tables.Table, classes: Sequence[str], train: str
) -> np.ndarray:
  """Returns the labels of a table as numbers.

  Args:
    table: Table of `read`, labelled.
    classes: Names of the labels.
    train: Path of the training file, for messages.

  Returns:
    [examples, classes] float32, 1 for a label.

  Raises:
    errors.UserError: a label that is none of `classes`.
  """
  labels = table.labels or ()
  return to_matrix(labels, label_values.numbered(
      labels, classes, table.place, train))


def to_matrix(
    rows: Iterable[Iterable[Any]], number: Mapping[Any, int]
) -> np.ndarray:
  """Returns [rows, labels] float32, 1 for each label of a row.

  Args:
    rows: Labels of each row.
    number: {label: its column}
  """
  rows = list(rows)
  found = np.zeros((len(rows), len(number)), np.float32)
  for row, labels in enumerate(rows):
    for name in labels:
      found[row, number[name]] = 1
  return found
