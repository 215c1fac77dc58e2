"""Records as data frames: the points of figures and conclusions.

A score is a task's first metric on dev, in hundredths; its error is the
standard error of the mean over seeds.
"""

import dataclasses
import glob
import json
import os
from collections.abc import Sequence
from typing import Any

import pandas as pd

from adapters_jax.runs import config as config_lib
from adapters_jax.runs import options
from adapters_jax.runs import records
from adapters_jax.runs import version

RECORDS = os.path.abspath(
    os.path.join(os.path.dirname(__file__), os.pardir, 'results'))

# Settings that are equal for all runs of a task in one figure, at any value.
DATA = ('task', 'checkpoint', 'train_examples', 'max_length', 'batch_size',
        'epochs', 'max_steps', 'head_input', 'train_file', 'dev_file',
        'test_file', 'dev_fraction', 'text_columns', 'label_column',
        'file_task')


def _columns_of(values: dict[str, Any]) -> dict[str, Any]:
  """Returns settings by column: 'metric' is that of a score, chosen or not."""
  return {'chosen_metric' if name == 'metric' else name: value
          for name, value in values.items()}


_DEFAULTS = _columns_of({
    name: value for name, value in dataclasses.asdict(
        config_lib.Config()).items()
    # Records have no places.
    if name not in options.marked(config_lib.Config, 'where')})
_COLUMNS = (
    *_DEFAULTS, 'metric', 'score', 'test', 'trained', 'total', 'minutes')


def load(folder: str = RECORDS) -> pd.DataFrame:
  """Returns one row for each record.

  Args:
    folder: Folder of records, which may have subfolders.

  Returns:
    A column for each setting; 'metric', the name of the first one; its 'score'
    on dev and 'test' in hundredths; 'trained' and 'total' parameters; 'minutes'
    of processor time.

  Raises:
    errors.UserError: the records are of several versions of the numbers.
  """
  rows = []
  for record in records.one_version(records.read_all(folder)):
    values = config_lib.completed(record.config)
    test = (100 * records.primary(record, 'test') if 'test' in record.metrics
            else float('nan'))
    rows.append({
        **_columns_of(values), 'task': config_lib.task_of(values),
        'metric': next(iter(record.metrics['dev'])),
        'score': 100 * records.primary(record), 'test': test,
        'trained': record.trained_params, 'total': record.total_params,
        'minutes': record.cpu_seconds / 60})
  return pd.DataFrame(rows, columns=_COLUMNS)  # All of them without rows.


def points(
    runs: pd.DataFrame, by: Sequence[str] = (), **fixed: Any
) -> pd.DataFrame:
  """Returns means over seeds of the runs that differ in `by` alone.

  Args:
    runs: Result of `load`.
    by: Settings that separate points. All others have their defaults, except
      DATA and the learning rate.
    **fixed: Settings with another value than the default.

  Returns:
    A row for each combination of DATA, learning rate and `by`, with columns
    'metric', 'score', 'sem' (nan for one seed), 'seeds', 'trained', 'total'.
  """
  free = {*DATA, *by, 'learning_rate', 'seed', 'score', *fixed}
  keep = pd.Series(True, runs.index)
  for name, value in {**_DEFAULTS, **fixed}.items():
    if name not in free or name in fixed:
      keep &= runs[name] == value
  keys = [*dict.fromkeys([*DATA, 'learning_rate', *by])]  # Each once.
  return runs[keep].groupby(keys).agg(
      metric=('metric', 'first'), score=('score', 'mean'), sem=('score', 'sem'),
      seeds=('score', 'size'), trained=('trained', 'first'),
      total=('total', 'first')).reset_index()


def best_rate(found: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
  """Returns the points at the rate with the most seeds, then best on dev.

  Args:
    found: Result of `points`.
    by: Settings that, with DATA, have a rate of their own.
  """
  # Ascending: the last row of a group is its best.
  ordered = found.sort_values(['seeds', 'score'])
  return ordered.groupby([*DATA, *by]).tail(1).sort_values([*DATA, *by])


def fullest(
    found: pd.DataFrame, keys: Sequence[str] = DATA
) -> pd.DataFrame:
  """Returns the points of each task at the settings with the most points.

  Args:
    found: Result of `points`.
    keys: Settings that the points of a task have in common. Ties are broken by
      the number of seeds, then by the amount of data.
  """
  if found.empty:
    return found
  groups = found.groupby(list(keys)).agg(
      count=('score', 'size'), runs=('seeds', 'sum')).reset_index()
  examples = groups['train_examples']
  groups['size'] = examples.where(examples > 0, float('inf'))  # 0 is all.
  best = groups.sort_values(['count', 'runs', 'size']).groupby('task').tail(1)
  return found.merge(best[list(keys)], on=list(keys))


def several(found: pd.DataFrame) -> pd.DataFrame:
  """Returns the points of tasks with more than one, which can be compared."""
  return found[found['task'].map(found['task'].value_counts()).gt(1)]


def at_one_rate(
    runs: pd.DataFrame, by: Sequence[str], **fixed: Any
) -> pd.DataFrame:
  """Returns the points at their most common learning rate.

  Args:
    runs: Result of `load`.
    by: As for `points`.
    **fixed: As for `points`.
  """
  return fullest(points(runs, by, **fixed), (*DATA, 'learning_rate'))


_AMOUNT = ['method', 'adapter_size', 'top_k']  # Identify the trained part.


def _amounts(runs: pd.DataFrame) -> pd.DataFrame:
  """Returns points of every amount of trained parameters, each at its rate."""
  parts = []
  for method, tune, by in (
      ('adapters', 'adapters', ['adapter_size']),
      ('top layers', 'top_k', ['top_k']), ('layer norms', 'norms', []),
      ('head alone', 'head', []), ('full fine-tuning', 'full', [])):
    part = best_rate(points(runs, by, tune=tune), by)
    parts.append(part.assign(method=method))
  # Without any point, one empty frame keeps the columns.
  found = pd.concat([part for part in parts if len(part)] or parts[:1])
  return found.reindex(columns=[*dict.fromkeys([*found.columns, *_AMOUNT])])


def tradeoff(runs: pd.DataFrame) -> pd.DataFrame:
  """Returns points of every amount of trained parameters, each at its rate.

  Returns:
    As from `points`, with a column 'method': 'adapters', 'top layers', 'layer
    norms', 'head alone' or 'full fine-tuning'.
  """
  return fullest(_amounts(runs))


def shared(runs: pd.DataFrame) -> pd.DataFrame:
  """Returns the points of `tradeoff` that all tasks have, to compare tasks.

  Tasks without full fine-tuning, or with it alone, do not count. The settings
  (DATA) of a task are those with the most shared points.
  """
  found = _amounts(runs)
  methods = found.groupby('task')['method'].agg(set)
  compared = [task for task, names in methods.items()
              if len(names) > 1 and 'full fine-tuning' in names]
  found = found[found['task'].isin(compared)]
  # `dropna=False`: most methods have no adapter size or no k.
  having = found.groupby(_AMOUNT, dropna=False)['task'].transform('nunique')
  return fullest(found[having == len(compared)])


def learning_rates(runs: pd.DataFrame) -> pd.DataFrame:
  """Returns points of every rate, with 'method' as in `tradeoff`."""
  return fullest(pd.concat([
      points(runs, tune='adapters').assign(method='adapters'),
      points(runs, tune='full').assign(method='full fine-tuning')]))


VARIANTS = {  # {(setting, value): name} of the variants of the default adapter.
    ('activation', 'relu'): 'ReLU',
    ('activation', 'tanh'): 'tanh',
    ('activation', 'swish'): 'swish',
    ('activation', 'identity'): 'no activation',
    ('adapter_sites', 'attention_output'): 'after attention only',
    ('adapter_sites', 'ffn_output'): 'after feed-forward only',
    ('adapter_config', 'bottleneck[inner_norm=layer]'): 'layer norm inside',
    ('adapter_config', 'bottleneck[inner_norm=batch]'): 'batch norm inside',
    ('adapter_config', 'bottleneck[depth=2]'): 'two layers',
    ('adapter_config', 'bottleneck[depth=3]'): 'three layers',
    ('adapter_config', 'bottleneck[is_parallel=true]'): 'parallel',
    ('adapter_config', 'bottleneck[is_parallel=true,multiplicative=true]'):
        'parallel, multiplying',
}
DEFAULT = 'default'


def variants(runs: pd.DataFrame) -> pd.DataFrame:
  """Returns points with a column 'variant', DEFAULT or a name in VARIANTS."""
  names = ['activation', 'adapter_sites', 'adapter_config']
  found = points(runs, names)

  def name_of(row):
    changed = [(name, row[name]) for name in names
               if row[name] != _DEFAULTS[name]]
    if not changed:
      return DEFAULT
    # Two changes at a time, or another value, are no variant of the paper.
    return VARIANTS.get(changed[0]) if len(changed) == 1 else None

  found['variant'] = [name_of(row) for _, row in found.iterrows()]
  return fullest(found.dropna(subset='variant'), (*DATA, 'learning_rate'))


def placements(runs: pd.DataFrame) -> pd.DataFrame:
  """Returns points with a column 'place', the layers or sublayer in words."""
  found = points(runs, ['adapter_layers', 'adapter_sites'])
  sites = {'attention_output': 'after attention only',
           'ffn_output': 'after feed-forward only'}

  def name_of(row):
    everywhere = row['adapter_sites'] == _DEFAULTS['adapter_sites']
    if row['adapter_layers'] == 'all':
      return 'everywhere' if everywhere else sites.get(row['adapter_sites'])
    return f'layers {row["adapter_layers"]}' if everywhere else None

  found['place'] = [name_of(row) for _, row in found.iterrows()]
  return fullest(found.dropna(subset='place'), (*DATA, 'learning_rate'))


def load_spans(
    folder: str = RECORDS, restore_norms: bool = False, metric: str = 'accuracy'
) -> pd.DataFrame:
  """Returns the scores without the adapters of every span of layers.

  Args:
    folder: Folder of records, with the scores in its subfolder 'spans'.
    restore_norms: Whether the span has its pretrained layer norms.
    metric: Metric of the scores, the paper's by default (for CoLA too); tasks
      without it take their first one.

  Returns:
    A row for each run of default adapters and each span, at the settings of a
    task with the most runs. These count runs with and without restored norms,
    so that both can be compared. Columns: DATA, 'seed', 'layers' of the model,
    'first' and 'last' layer of the span; 'metric'; 'whole', the score with all
    adapters, 'score' without those of the span, their difference 'drop', and
    'majority', the score of the most frequent class.
  """
  rows, numbers = [], []
  for path in sorted(glob.glob(os.path.join(folder, 'spans', '*', '*.json'))):
    with open(path, encoding='utf-8') as file:
      found = json.load(file)
    values = config_lib.completed(found['config'])
    numbers.append(values[version.FIELD])
    free = (*DATA, 'learning_rate', 'seed')
    settings = _columns_of(values)
    default = all(settings[name] == value for name, value in _DEFAULTS.items()
                  if name not in free)
    if not default:
      continue
    named = metric if metric in found['whole'] else next(iter(found['whole']))
    whole = 100 * found['whole'][named]
    for span, scores in found['without'].items():
      first, last = map(int, span.split('-'))
      rows.append({
          **{name: values[name] for name in free},
          'task': config_lib.task_of(values), 'layers': found['layers'],
          'restore_norms': found['restore_norms'],
          'first': first, 'last': last, 'metric': named, 'whole': whole,
          'score': 100 * scores[named],
          'drop': whole - 100 * scores[named],
          'majority': 100 * found['majority'].get(named, float('nan'))})
  records.check_versions(numbers)
  columns = (*DATA, 'learning_rate', 'seed', 'layers', 'restore_norms', 'first',
             'last', 'metric', 'score', 'whole', 'drop', 'majority')
  frame = pd.DataFrame(rows, columns=columns)
  keys = [*DATA, 'learning_rate']
  # One row for each run: its spans must not count as points.
  maps = frame.drop_duplicates([*keys, 'seed', 'restore_norms'])
  best = fullest(maps.assign(seeds=1), keys)[keys].drop_duplicates()
  frame = frame.merge(best, on=keys)
  return frame[frame['restore_norms'] == restore_norms]


def span_means(spans: pd.DataFrame) -> pd.DataFrame:
  """Returns 'mean' and 'sem' over seeds of the 'drop' of `load_spans`.

  Returns:
    A row for each task and each span of one layer, or of all layers.
  """
  whole = (spans['first'] == 0) & (spans['last'] == spans['layers'] - 1)
  part = spans[whole | (spans['first'] == spans['last'])]
  return part.groupby(['task', 'metric', 'first', 'last'])['drop'].agg(
      ['mean', 'sem']).reset_index()
