"""Examples from the user's own TSV, CSV, JSONL and Parquet files."""

from collections.abc import Iterable, Mapping, Sequence
import dataclasses
import math

import numpy as np

from adapters_jax import errors
from adapters_jax.data import label_values
from adapters_jax.data import tables
from adapters_jax.data import tasks

_LARGEST = float(np.finfo(np.float32).max)
_UNKNOWN = -1  # Label of every example of an unlabelled split, as in GLUE.


def read(
    path: str, text_columns: Sequence[str], label_column: str, *,
    labelled: bool = True, settings: Mapping[str, str] | None = None,
) -> tables.Table:
  """Reads a file of texts and their labels.

  Args:
    path: A .tsv or .csv file with a header, or a .jsonl file.
    text_columns: Column of the text, or columns of the two texts.
    label_column: Column of the label or score.
    labelled: Whether the labels must be known. Otherwise the column may be
      absent or empty in all rows.
    settings: As for `tables.texts_of`.

  Raises:
    errors.UserError: a fault of the file, an absent column, an empty label, or
      no row; names the file and the line.
  """
  def labels_of(line, row):
    found = tables.label_of(path, line, label_column, tables.column(
        path, line, row, label_column, 'label_column'))
    if not found:
      raise errors.UserError(
          f'{path}, line {line}, column {label_column!r}: the label is empty; '
          'give one, or leave the row out')
    return found

  return tables.read_table(
      path, lambda line, row: tables.texts_of(
          path, line, row, text_columns, settings),
      labels_of, label_column,
      None if labelled else lambda row: tables.is_empty(row, label_column))


def _number(text: str) -> float:
  """Returns a label as a float, nan for words."""
  try:
    return float(text)
  except ValueError:
    return math.nan


def are_unknown(labels: Iterable[float], others: Iterable[float]) -> bool:
  """Returns whether labels of a test file only say that they are unknown.

  Args:
    labels: Labels or scores as numbers, nan for words.
    others: Those of the other files.
  """
  return {*labels} == {_UNKNOWN} and _UNKNOWN not in others


def _scores(table: tables.Table) -> np.ndarray:
  """Returns [examples] float32 scores; UserError for anything else."""
  scores = [_number(label) for label in table.labels]
  for row, score in enumerate(scores):
    if not abs(score) <= _LARGEST:  # False for nan.
      raise errors.UserError(
          f'{table.place(row)}: {table.labels[row]!r} is no number '
          f'of float32, whose largest is {_LARGEST:.2g}; for classes use '
          '`file_task=classification`')
  return np.array(scores, np.float32)


def _check_classes(table: tables.Table) -> None:
  """Raises UserError for labels that are scores, or numbers partly missing."""
  tables.check_spellings(table)
  numbers = [_number(label) for label in table.labels]
  words = [row for row, number in enumerate(numbers) if math.isnan(number)]
  gaps = [row for row in words if table.labels[row].lower() == 'nan']
  if len(words) > len(gaps) or len(gaps) == len(numbers):
    return  # All are words; 'nan' may be one, as the code of a language.
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


def load(
    paths: Mapping[str, str], text_columns: Sequence[str], label_column: str,
    regression: bool, dev_fraction: float = 0.0, test_fraction: float = 0.0,
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
    test_fraction: Share to hold out as test in addition.

  Returns:
    (task, {split: examples})

  Raises:
    errors.UserError: a fault of a file, an absent column, a score that is no
      number, a label unseen in training, fewer than two classes.
  """
  read_in = {name: read(path, text_columns, label_column,
                        labelled=name != 'test')
             for name, path in paths.items()}
  train = read_in['train']
  classes: tuple[str, ...] = ()
  if not regression:
    _check_classes(train)
    classes = tuple(sorted(set(train.labels)))
    if len(classes) < 2:
      raise errors.UserError(
          f'{train.path}, column {label_column!r}: all rows have the label '
          f'{classes[0]!r}; two classes are needed, or `file_task=regression`')
  test = read_in.get('test')
  if test is not None and are_unknown(
      map(_number, test.labels or ()),
      (_number(label) for name, table in read_in.items() if name != 'test'
       for label in table.labels or ())):
    read_in['test'] = dataclasses.replace(test, labels=None)

  def labels_of(table):
    if regression:
      return _scores(table)
    number = label_values.numbered(
        zip(table.labels), classes, table.place, train.path)
    return np.array([number[label] for label in table.labels], np.int32)

  metrics = ('spearman', 'pearson') if regression else ('accuracy', 'macro_f1')
  task = tasks.Task(
      name='files', source='', texts=tuple(text_columns), labels=classes,
      metrics=metrics, target=label_column)
  return task, tables.to_splits(
      tables.with_dev(read_in, dev_fraction, test_fraction), labels_of,
      np.float32(-1) if regression else np.int32(-1))
