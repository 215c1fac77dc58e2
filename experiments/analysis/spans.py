"""Scores without the adapters of spans of layers, as data frames (figure 6)."""

import glob
import os
from typing import Any

import pandas as pd

from adapters_jax import errors
from adapters_jax.analysis import statistics
from adapters_jax.downloads import json_files
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import identity
from adapters_jax.runs import records
from adapters_jax.runs import version
from experiments.analysis import frames

_FREE = (*frames.DATA, *frames.SCHEDULE, 'seed')  # Settings of any value.


def load(
    folder: str = frames.RECORDS, restore_norms: bool = False,
    metric: str = 'accuracy',
) -> pd.DataFrame:
  """Returns the scores without the adapters of every span of layers.

  Args:
    folder: Folder of records, with the scores in its subfolder 'spans'.
    restore_norms: Whether a span without adapters also has its pretrained
      layer norms.
    metric: Metric of the scores, the paper's by default (for CoLA too); tasks
      without it take their first one.

  Returns:
    A row for each run of default adapters and each span. Of each task and base,
    only the settings with the most runs are kept. Runs with and without
    restored norms are counted together, so both calls keep the same settings.
    Columns: DATA and SCHEDULE of `frames`, 'seed', 'layers' of the model,
    'first' and 'last' layer of the span; 'metric'; 'whole', the score with all
    adapters, 'score' without those of the span, their difference 'drop', and
    'majority', the score of the most frequent class. All scores are on dev.
    Runs whose seed picks settings are left out.

  Raises:
    errors.UserError: the scores are of several versions of the numbers, or
      those of a run without a record in the folder.
  """
  rows, numbers = [], []
  known = {identity.digest(record.config): record
           for record in records.read_all(folder)}
  for path in sorted(glob.glob(os.path.join(folder, 'spans', '*', '*.json'))):
    found = json_files.read(path)
    record = known.get(identity.digest(found['config']))
    if record is None:
      raise errors.UserError(
          f'{path}: its run has no record in {folder}; put it there, or remove '
          'this file')
    if record.picks:
      continue
    values = frames.columns_of(identity.completed(found['config']))
    values['precision'] = record.arithmetic  # As the machine resolved it.
    numbers.append(values[version.FIELD])
    rows += _rows_of(found, values, metric)
  records.check_versions(numbers)
  columns = (*_FREE, 'layers', 'restore_norms', 'first', 'last', 'metric',
             'score', 'whole', 'drop', 'majority')
  frame = pd.DataFrame(rows, columns=columns)
  keys = [*frames.DATA, *frames.SCHEDULE]
  # One row for each run: its spans must not count as points.
  maps = frame.drop_duplicates([*keys, 'seed', 'restore_norms'])
  best = frames.fullest(maps.assign(seeds=1), keys)[keys].drop_duplicates()
  frame = frame.merge(best, on=keys)
  return frame[frame['restore_norms'] == restore_norms]


def _rows_of(
    found: dict[str, Any], values: dict[str, Any], metric: str
) -> list[dict[str, Any]]:
  """Returns a row for each span; [] unless the run has default adapters.

  Args:
    found: Scores of the run, from its file.
    values: Settings of the run by column.
    metric: As for `load`.
  """
  default = all(
      values[name] == value for name, value in frames.DEFAULTS.items()
      if name not in _FREE)
  if not default:
    return []
  named = metric if metric in found['whole'] else next(iter(found['whole']))
  whole, rows = 100 * found['whole'][named], []
  for span, scores in found['without'].items():
    first, last = map(int, span.split('-'))
    rows.append({
        **{name: values[name] for name in _FREE},
        'task': config_lib.task_of(values), 'layers': found['layers'],
        'restore_norms': found['restore_norms'],
        'first': first, 'last': last, 'metric': named, 'whole': whole,
        'score': 100 * scores[named],
        'drop': whole - 100 * scores[named],
        'majority': 100 * found['majority'].get(named, float('nan'))})
  return rows


def above_majority(rows: pd.DataFrame) -> statistics.Estimate:
  """Returns the points between whole models and the most frequent class.

  Args:
    rows: Spans of one task, of `load`.
  """
  runs = rows.drop_duplicates('seed')
  return statistics.mean_estimate(
      (runs['whole'] - runs['majority'].fillna(0)).to_numpy())


def means(spans: pd.DataFrame) -> pd.DataFrame:
  """Returns 'mean' over seeds of the 'drop' of `load`, and its t interval.

  Returns:
    A row for each panel and each span of one layer, or of all layers, with
    columns 'mean', 'low' and 'high' (nan for one seed).
  """
  whole = (spans['first'] == 0) & (spans['last'] == spans['layers'] - 1)
  part = spans[whole | (spans['first'] == spans['last'])]
  groups = part.groupby([*frames.PANEL, 'metric', 'first', 'last'])['drop']
  return groups.agg(
      mean='mean', low=lambda drops: statistics.t_interval(drops)[0],
      high=lambda drops: statistics.t_interval(drops)[1]).reset_index()
