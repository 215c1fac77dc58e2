"""Examples from the user's own TSV, CSV and JSONL files."""

from collections.abc import Iterator, Mapping, Sequence
import csv
import json
import math
import os

import numpy as np

from adapters_jax.data import tasks
from adapters_jax import errors

FORMATS = ('.tsv', '.csv', '.jsonl')


def _rows(path: str) -> Iterator[tuple[int, Mapping[str, object]]]:
  """Yields (line number, {column: value}) of each row.

  TSV has no quoting, as in GLUE; CSV is quoted as in RFC 4180.
  """
  form = os.path.splitext(path)[1].lower()
  if form not in FORMATS:
    raise errors.UserError(
        f'{path}: the name must end in {", ".join(FORMATS)}')
  try:
    # newline='': `csv` reads the line breaks within cells itself.
    with open(path, encoding='utf-8-sig', newline='') as file:
      if form == '.jsonl':
        yield from _json_rows(path, file)
      elif form == '.tsv':
        yield from _tab_rows(path, file)
      else:
        reader = csv.DictReader(file, strict=True)
        for row in reader:
          # DictReader marks surplus cells by the key None, missing ones by the
          # value None.
          if None in row or None in row.values():
            raise errors.UserError(
                f'{path}, line {reader.line_num}: the row does not have the '
                f'{len(reader.fieldnames)} columns of the header')
          yield reader.line_num, row
  except (OSError, UnicodeDecodeError, csv.Error) as error:
    raise errors.UserError(f'{path}: cannot be read ({error})') from error


def _json_rows(
    path: str, lines: Iterator[str]
) -> Iterator[tuple[int, Mapping[str, object]]]:
  """Yields the rows of a JSONL file; see `_rows`."""
  for number, line in enumerate(lines, 1):
    if line.strip():
      try:  # UserError is a ValueError too, so no check belongs in here.
        row = json.loads(line)
      except ValueError as error:
        raise errors.UserError(
            f'{path}, line {number}: not JSON ({error})') from error
      if not isinstance(row, dict):
        raise errors.UserError(
            f'{path}, line {number}: a JSON object is needed')
      yield number, row


def _tab_rows(
    path: str, lines: Iterator[str]
) -> Iterator[tuple[int, Mapping[str, object]]]:
  """Yields the rows of a TSV file; see `_rows`."""
  header = None
  for number, line in enumerate(lines, 1):
    # Not `strip`: a tab at the end is an empty last cell.
    values = line.rstrip('\r\n').split('\t')
    if header is None:
      header = values
    elif line.strip():
      if len(values) != len(header):
        raise errors.UserError(
            f'{path}, line {number}: {len(values)} columns, but the header '
            f'has {len(header)}')
      yield number, dict(zip(header, values))


def read(
    path: str, text_columns: Sequence[str], label_column: str | None
) -> tuple[list[tuple[str, ...]], list[str], list[int]]:
  """Reads a file of texts, with or without labels.

  Args:
    path: A .tsv or .csv file with a header, or a .jsonl file.
    text_columns: Column of the text, or columns of the two texts.
    label_column: Column of the label or score; None reads no labels.

  Returns:
    (texts, labels as strings, line numbers)

  Raises:
    errors.UserError: unreadable or empty file, missing column or empty label;
      names the file and the line.
  """
  texts, labels, numbers = [], [], []
  for number, row in _rows(path):
    # In every row: JSONL has no header that holds for all.
    for column in (*text_columns, *((label_column,) if label_column else ())):
      if column not in row:
        name = 'label_column' if column == label_column else 'text_columns'
        raise errors.UserError(
            f'{path}, line {number}: no column {column!r}, only '
            f'{", ".join(map(str, row))}; name yours with `{name}`')
    texts.append(tuple(str(row[column]) for column in text_columns))
    if label_column:
      label = row[label_column]  # None for null; 0 and false are labels.
      if label is None or str(label).strip() == '':
        raise errors.UserError(f'{path}, line {number}: the label is empty')
      labels.append(str(label).strip())
    numbers.append(number)
  if not texts:
    raise errors.UserError(f'{path}: no examples in it')
  return texts, labels, numbers


def _scores(path: str, labels: list[str], numbers: list[int]) -> np.ndarray:
  """Returns [examples] float32 scores; UserError for anything else.

  Args:
    path: Path of the file, for the message.
    labels: Labels as strings.
    numbers: Line number of each, for the message.
  """
  scores = []
  for label, number in zip(labels, numbers):
    try:
      score = float(label)
    except ValueError:
      score = math.nan
    if not math.isfinite(score):  # 'nan' and 'inf' are floats to Python.
      raise errors.UserError(
          f'{path}, line {number}: {label!r} is not a number; for classes use '
          '`file_task=classification`')
    scores.append(score)
  return np.array(scores, np.float32)


def load(
    paths: Mapping[str, str], text_columns: Sequence[str], label_column: str,
    regression: bool,
) -> tuple[tasks.Task, dict[str, tasks.Split]]:
  """Reads the user's own files as a task.

  Args:
    paths: {'train', 'dev' and possibly 'test': path}
    text_columns: Column of the text, or columns of the two texts.
    label_column: Column of the label or score.
    regression: Whether labels are scores. Otherwise the classes are the labels
      of the training file, sorted.

  Returns:
    (task, {split: examples})

  Raises:
    errors.UserError: unreadable or empty file, missing column, a score that is
      not a number, a label unseen in training, fewer than two classes.
  """
  read_files = {name: read(path, text_columns, label_column)
                for name, path in paths.items()}
  classes = () if regression else tuple(sorted(set(read_files['train'][1])))
  if not regression and len(classes) < 2:
    raise errors.UserError(
        f'{paths["train"]}: all rows have the label {classes[0]!r}; two '
        'classes are needed, or `file_task=regression`')
  splits = {}
  for name, (texts, labels, numbers) in read_files.items():
    if regression:
      targets = _scores(paths[name], labels, numbers)
    else:
      for label, number in zip(labels, numbers):
        if label not in classes:
          raise errors.UserError(
              f'{paths[name]}, line {number}: the label {label!r} does not '
              f'occur in {paths["train"]}, which has {", ".join(classes[:20])}')
      targets = np.array([classes.index(label) for label in labels], np.int32)
    splits[name] = tasks.Split(texts, targets)
  metrics = ('spearman', 'pearson') if regression else ('accuracy', 'macro_f1')
  task = tasks.Task(
      name='files', source='', texts=tuple(text_columns), labels=classes,
      metrics=metrics, target=label_column)
  return task, splits
