"""Records as data frames: the points of figures and conclusions.

A score is a task's first metric in hundredths, on test where that is labelled
and on dev elsewhere. Its interval is the wider end of Student's t over seeds
and of the bootstrap over examples and seeds (`analysis.statistics`).
"""

from collections.abc import Sequence
import dataclasses
import math
import os
from typing import Any

import numpy as np
import pandas as pd

from adapters_jax.analysis import cells
from adapters_jax.analysis import points as points_lib
from adapters_jax.analysis import reported
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import options
from adapters_jax.runs import records

RECORDS = os.path.abspath(
    os.path.join(os.path.dirname(__file__), os.pardir, 'results'))

# Settings that all runs of a panel share, as in tables.
DATA = reported.DATA
PANEL = ['task', 'checkpoint']  # A figure has a panel or a line for each pair.
# Settings that every point may have picked for itself.
SCHEDULE = ('learning_rate', 'epochs', 'max_steps', *(
    name for name in options.marked(config_lib.Config, 'speed')
    if name not in DATA))


def columns_of(values: dict[str, Any]) -> dict[str, Any]:
  """Renames the setting 'metric': that column names the metric of the score."""
  return {'chosen_metric' if name == 'metric' else name: value
          for name, value in values.items()}


DEFAULTS = columns_of({
    name: value for name, value in dataclasses.asdict(
        config_lib.Config()).items()
    # Records hold no paths.
    if name not in options.marked(config_lib.Config, 'where')})
_COLUMNS = (*DEFAULTS, 'metric', 'split', 'score', 'dev', 'trained', 'total',
            'trials', 'pick', 'main', 'record')


def load(folder: str = RECORDS) -> pd.DataFrame:
  """Returns one row for each record whose seed does not pick settings.

  Args:
    folder: Folder of records, which may have subfolders.

  Returns:
    A column for each setting; 'metric', the name of the first one; the 'split'
    of its 'score' in hundredths; 'dev', the score on dev; 'trained' and 'total'
    parameters; 'trials' and 'pick' of `points.Point`; 'main', whether its DATA
    are those of tables (`reported.main_data`); the 'record'.

  Raises:
    errors.UserError: the records are of several versions of the numbers, or of
      several data under one name.
  """
  rows = []
  found = points_lib.points(records.read_all(folder))
  main = reported.main_data(found)
  for point in found:
    panel = tuple(point.settings[name] for name in PANEL)
    for record in point.records:
      rows.append({
          **columns_of(point.settings), 'seed': record.config['seed'],
          'task': point.task,
          'metric': point.metric, 'split': point.split,
          'score': 100 * records.primary(record, point.split),
          'dev': 100 * records.primary(record),
          'trained': record.trained_params, 'total': record.total_params,
          'trials': point.trials, 'pick': point.pick_score,
          'main': main.get(panel) == reported.data_of(point),
          'record': record})
  return pd.DataFrame(rows, columns=_COLUMNS)  # Columns even without rows.


def points(
    runs: pd.DataFrame, by: Sequence[str] = (), **fixed: Any
) -> pd.DataFrame:
  """Returns means over seeds, a row for each combination of settings.

  Args:
    runs: Result of `load`.
    by: Settings that separate points. All others have their defaults, except
      DATA and SCHEDULE.
    **fixed: Values of settings that replace their defaults.

  Returns:
    A row for each combination of DATA, SCHEDULE and `by`, with columns
    'metric', 'split', 'score', 'low' and 'high' (nan for one seed), 'scores' of
    the seeds, 'dev', 'seeds', 'trained', 'total', 'trials', 'pick', 'main' and
    'records'.
  """
  free = {*DATA, *SCHEDULE, *by, 'seed', *fixed}
  keep = pd.Series(True, runs.index)
  for name, value in {**DEFAULTS, **fixed}.items():
    if name not in free or name in fixed:
      keep &= runs[name] == value
  keys = [*dict.fromkeys([*DATA, *SCHEDULE, *by])]  # Each once.
  found = runs[keep].groupby(keys).agg(
      metric=('metric', 'first'), split=('split', 'first'),
      score=('score', 'mean'), scores=('score', list), dev=('dev', 'mean'),
      seeds=('score', 'size'),
      trained=('trained', 'first'), total=('total', 'first'),
      trials=('trials', 'first'), pick=('pick', 'first'),
      main=('main', 'first'), records=('record', list)).reset_index()
  ends = [cells.estimate(row['records'], row['split'], row['metric'])
          for _, row in found.iterrows()]
  return found.assign(low=[100 * end.low for end in ends],
                      high=[100 * end.high for end in ends])


def best_rate(found: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
  """Returns the points at the schedule picked with other seeds.

  Without such trials, the schedule with the most seeds; of several, the one
  with the best score on dev.

  Args:
    found: Result of `points`.
    by: Settings whose combinations, with those of DATA, pick separately.
  """
  # Ascending: the last row of a group is its best.
  ordered = found.sort_values(
      ['pick', 'seeds', 'dev'], na_position='first')
  return ordered.groupby([*DATA, *by]).tail(1).sort_values([*DATA, *by])


def fullest(
    found: pd.DataFrame, keys: Sequence[str] = DATA
) -> pd.DataFrame:
  """Returns the points of each panel at the settings of `reported.fullest`.

  Args:
    found: Result of `points`; each point counts as a method.
    keys: Settings that the points of a panel have in common.
  """
  def values(row, names):
    return tuple(row[name] for name in names)

  rows = found.to_dict('records')
  best = reported.fullest(
      (values(row, PANEL), values(row, keys), number, row['seeds'],
       row['train_examples'] or math.inf)  # 0 is all.
      for number, row in enumerate(rows))
  return found[np.array([
      best[values(row, PANEL)] == values(row, keys) for row in rows], bool)]


def several(found: pd.DataFrame) -> pd.DataFrame:
  """Returns the points of panels with more than one, which can be compared."""
  return found[found.groupby(PANEL)['task'].transform('size').gt(1)]


def several_rates(found: pd.DataFrame) -> pd.DataFrame:
  """Returns the points of panels in which some method has several rates."""
  rates = found.groupby([*PANEL, 'method'])['task'].transform('size')
  return found[rates.groupby([found[name] for name in PANEL]).transform(
      'max').gt(1)]


def at_one_rate(runs: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
  """Returns the points at their most common schedule.

  Args:
    runs: Result of `load`.
    by: As for `points`.
  """
  return fullest(points(runs, by), (*DATA, *SCHEDULE))


BASE = 'base as it is'
_AMOUNT = ['method', 'adapter_size', 'top_k']  # Identify the trained part.


def _amounts(runs: pd.DataFrame) -> pd.DataFrame:
  """Returns points of every amount of trained parameters, each at its rate."""
  parts = []
  for method, tune, by in (
      ('adapters', 'adapters', ['adapter_size']),
      ('top layers', 'top_k', ['top_k']), ('layer norms', 'norms', []),
      ('head alone', 'head', []), ('full fine-tuning', 'full', []),
      (BASE, 'none', [])):
    part = best_rate(points(runs, by, tune=tune), by)
    parts.append(part.assign(method=method))
  # Without any point, one empty frame keeps the columns.
  found = pd.concat([part for part in parts if len(part)] or parts[:1])
  return found.reindex(columns=[*dict.fromkeys([*found.columns, *_AMOUNT])])


def tradeoff(runs: pd.DataFrame) -> pd.DataFrame:
  """Returns points of every amount of trained parameters, each at its rate.

  Returns:
    As from `points`, at the DATA of tables, with a column 'method': 'adapters',
    'top layers', 'layer norms', 'head alone', 'full fine-tuning' or BASE.
  """
  found = _amounts(runs)
  return found[found['main'].astype(bool)]


def headline(runs: pd.DataFrame) -> pd.DataFrame:
  """Returns the main point of each method of `tradeoff`, to compare methods.

  These are adapters of the default size, the fewest top layers and the other
  methods that train, at the DATA of tables.
  """
  found = tradeoff(runs)
  default = DEFAULTS['adapter_size']
  found = found[(found['method'] != 'adapters')
                | (found['adapter_size'] == default)]
  return found[found['method'] != BASE].sort_values('trained').drop_duplicates(
      [*PANEL, 'method'])


def learning_rates(runs: pd.DataFrame) -> pd.DataFrame:
  """Returns points of every rate, with 'method' as in `tradeoff`."""
  found = pd.concat([
      points(runs, tune='adapters').assign(method='adapters'),
      points(runs, tune='full').assign(method='full fine-tuning')])
  return fullest(found, (*DATA, 'epochs', 'max_steps'))


def powers(runs: pd.DataFrame) -> dict[tuple[Any, ...], cells.Power]:
  """Returns {values of DATA: whether these data separate methods}."""
  parts = {tune: best_rate(points(runs, tune=tune)).set_index(list(DATA))
           for tune in cells.FLOORS}
  return {
      tuple(data): cells.power(
          full['records'],
          {tune: part.loc[data, 'records'] for tune, part in parts.items()
           if data in part.index}, full['split'], full['metric'])
      for data, full in best_rate(points(runs, tune='full')).set_index(
          list(DATA)).iterrows()}


def power_of(
    rows: pd.DataFrame, known: dict[tuple[Any, ...], cells.Power]
) -> cells.Power:
  """Returns whether the data of some points separate methods.

  Args:
    rows: Points of the same DATA.
    known: Result of `powers`.
  """
  key = tuple(rows.iloc[0][name] for name in DATA)
  return known.get(key, cells.Power(False, {}))
