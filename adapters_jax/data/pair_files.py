"""Reads pairs of texts from files, and splits them."""

from collections.abc import Mapping, Sequence
import dataclasses
import itertools
import logging

import numpy as np

from adapters_jax import errors
from adapters_jax.data import files
from adapters_jax.data import pairs
from adapters_jax.data import rows as rows_lib
from adapters_jax.data import squad_files
from adapters_jax.data import tables

_log = logging.getLogger(__name__)

SQUAD_TEXTS = ('question', 'context')
# Default of `label_column`, which pairs without scores may lack.
_SCORES = 'label'


def read(
    path: str, columns: Sequence[str], label_column: str,
    negative_column: str = '',
) -> pairs.Pairs:
  """Reads pairs.

  Args:
    path: A .json file in SQuAD's format, whose questions and paragraphs are
      pairs; or a file that `rows.read` reads.
    columns: Columns of the two texts.
    label_column: Column of the score, which may be absent.
    negative_column: Column of a text that does not belong to the first; ''
      without.

  Raises:
    errors.UserError: a fault of the file; names it and the line.
  """
  if path.endswith('.json'):
    if negative_column:
      raise errors.UserError(
          f"`negative_column={negative_column}`: files in SQuAD's format have "
          'no negatives; leave it out')
    asked = squad_files.read(path)
    return pairs.Pairs(
        [(one.question, one.context) for one in asked], where=path)
  if len(columns) != 2:
    raise errors.UserError(
        '`text_columns`: name the columns of the two texts of a pair, as in '
        'anchor,positive')
  names = [*columns, negative_column] if negative_column else list(columns)
  table = files.read(path, names, label_column, labelled=False,
                     settings={negative_column: 'negative_column'})
  for row, texts in enumerate(table.texts):
    for name, text in zip(names, texts, strict=True):
      if not text.strip():
        raise errors.UserError(
            f'{path}, line {table.lines[row]}, column {name!r}: the text is '
            'empty; give one, or leave the row out')
  scores = None
  if table.labels is None:
    _log.info('%s: pairs without scores, as it has no column %r', path,
              label_column)
  else:
    scores = np.array([_score(table, row) for row in range(len(table.texts))],
                      np.float32)
  return pairs.Pairs(table.texts, scores, path, table.lines)


def _score(table: tables.Table, row: int) -> float:
  """Returns the score of a row; raises UserError for other labels."""
  try:
    found = float(table.labels[row])
  except ValueError:
    found = np.nan
  if not abs(found) <= pairs.LARGEST:  # False for nan.
    raise errors.UserError(
        f'{table.place(row)}: {table.labels[row]!r} is no score; give a '
        'number, or name the column of the scores with `label_column`')
  return found


def _check_column(paths: Mapping[str, str], label_column: str) -> None:
  """Raises UserError for a column of scores that no file has.

  Args:
    paths: As for `load`.
    label_column: Column of the score.
  """
  tabular = [path for path in paths.values() if not path.endswith('.json')]
  if not tabular:
    raise errors.UserError(
        f"`label_column={label_column}`: files in SQuAD's format have no "
        'scores; leave it out')
  if not any(label_column in row
             for path in tabular for _, row in rows_lib.read(path)):
    line, row = next(rows_lib.read(tabular[0]))
    tables.column(tabular[0], line, row, label_column, 'label_column')


def load(
    paths: Mapping[str, str], columns: Sequence[str], label_column: str,
    negative_column: str = '', dev_fraction: float = 0.0,
    test_fraction: float = 0.0,
) -> dict[str, pairs.Pairs]:
  """Reads the splits of a task.

  Args:
    paths: {'train' and possibly 'dev' and 'test': path}.
    columns: Columns of the two texts.
    label_column: Column of the score, which may be absent.
    negative_column: Column of negatives in the training file, '' without.
    dev_fraction: Share of the second texts of the training file to hold out as
      dev, each with all of its pairs.
    test_fraction: Share to hold out as test in addition.

  Returns:
    {'train', 'dev' and perhaps 'test': pairs}

  Raises:
    errors.UserError: a fault of a file, a column of scores that no file has,
      or splits of which only some have scores.
  """
  splits = {name: read(path, columns, label_column,
                       negative_column if name == 'train' else '')
            for name, path in paths.items()}
  if label_column != _SCORES and all(
      split.scores is None for split in splits.values()):
    _check_column(paths, label_column)
  scores = {name: () if split.scores is None else split.scores
            for name, split in splits.items()}
  if files.are_unknown(scores.pop('test', ()), itertools.chain(
      *scores.values())):
    splits['test'] = dataclasses.replace(splits['test'], scores=None)
  if 'dev' not in splits:
    splits |= pairs.hold_out(splits['train'], dev_fraction, test_fraction)
  pairs.check_scored_alike(splits, 'test_file')
  return {name: splits[name] for name in ('train', 'dev', 'test')
          if name in splits}
