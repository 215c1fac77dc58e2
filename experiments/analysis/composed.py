"""Records of several adapters in one model, and of adapters of a domain.

A run with frozen adapters names them with a hash. Runs whose frozen adapters
differ in their seed alone are one row here.
"""

from collections.abc import Iterable
import math

from adapters_jax.analysis import cells
from adapters_jax.analysis import points as points_lib
from adapters_jax.analysis import statistics
from adapters_jax.analysis import tables
from adapters_jax.runs import records as records_lib

_DATA = ('task', 'checkpoint', 'train_examples', 'max_length')


def _method(point: points_lib.Point) -> str:
  """Returns the name of a method in words."""
  values = point.settings
  names = [part.partition('@')[0]
           for part in filter(None, values['adapters'].split(','))]
  if values['tune'] == 'fusion':
    return f'AdapterFusion of {", ".join(names)}'
  if values['tune'] == 'full':
    return f'full fine-tuning, rate {values["learning_rate"]:g}'
  norms = '' if values['tune_norms'] else ', without layer norms'
  above = f' above {", ".join(names)}' if names else ''
  return f'adapters, size {values["adapter_size"]}{norms}{above}'


def groups(
    records: Iterable[records_lib.Record]
) -> dict[tuple[str, ...], dict[str, list[records_lib.Record]]]:
  """Returns the runs that can be compared with those on frozen adapters.

  Args:
    records: Records of any runs.

  Returns:
    {(task, base, number of examples, ...): {method: records}} of data with such
    runs; methods with frozen adapters first.
  """
  found: dict[tuple[str, ...], dict[str, list[records_lib.Record]]] = {}
  for point in points_lib.points(records):
    if point.settings['tune'] not in ('adapters', 'fusion', 'full') or (
        point.named_config):
      continue
    key = (*(str(point.settings[name]) for name in _DATA),
           point.settings['precision'])
    found.setdefault(key, {}).setdefault(_method(point), []).extend(
        point.records)

  def frozen(runs):
    return bool(runs[0].config.get('adapters'))

  return {
      key: dict(sorted(methods.items(), key=lambda one: not frozen(one[1])))
      for key, methods in found.items() if any(map(frozen, methods.values()))}


def rows(records: Iterable[records_lib.Record]) -> list[dict[str, str]]:
  """Returns a row for each method beside one with frozen adapters.

  Differences are to the first method of the same data, in hundredths.

  Args:
    records: Records of any runs.
  """
  table = []
  for key, methods in groups(records).items():
    first = next(iter(methods.values()))
    for name, runs in methods.items():
      split = 'test' if all('test' in r.metrics for r in runs) else 'dev'
      metric = next(iter(runs[0].metrics['dev']))
      score = cells.estimate(runs, split, metric)
      row = {
          'task': _data(key), 'method': name,
          'trained': _share(runs[0]),
          'seeds': str(len(runs)), 'metric': f'{metric}, {split}',
          'score': f'{100 * score.mean:.1f}',
          't': tables.interval_text(score.t),
          'first −': '-', 't of −': '-', 'bootstrap of −': '-'}
      if runs is not first:
        gap = cells.difference(first, runs, split, metric)
        row |= {'first −': f'{100 * gap.mean:+.1f}'.replace('-', '−'),
                't of −': tables.interval_text(gap.t),
                'bootstrap of −': tables.interval_text(gap.bootstrap)}
      table.append(row)
  return table


def _share(record: records_lib.Record) -> str:
  return f'{100 * record.trained_params / record.total_params:.3g} %'


def _data(key: tuple[str, ...]) -> str:
  task, base, examples, *_ = key
  return f'{task}, {base}' + f', {examples} examples' * (examples != '0')


def perplexities(records: Iterable[records_lib.Record]) -> list[dict[str, str]]:
  """Returns the perplexity of each language model, a row for each method.

  Args:
    records: Records of any runs.
  """
  table = []
  for point in points_lib.points(records):
    if 'perplexity' not in point.records[0].metrics['dev']:
      continue
    row = {
        'texts': point.task, 'base': point.settings['checkpoint'],
        'method': ('the head alone' if point.settings['tune'] == 'head'
                   else point.named_config or point.method),
        'trained': f'{100 * point.share:.3g} %',
        'seeds': str(len(point.records))}
    for split in ('dev', 'test'):
      values = [r.metrics[split]['perplexity'] for r in point.records
                if split in r.metrics]
      found = statistics.mean_estimate(values) if values else None
      row[split] = '-' if found is None else _number(found)
    table.append(row)
  return sorted(table, key=lambda row: (row['texts'], row['base'],
                                        row['method'] != 'the head alone'))


def _number(found: statistics.Estimate) -> str:
  half = (found.t[1] - found.t[0]) / 2
  error = '' if math.isnan(half) else f' ± {half:.1f}'
  return f'{found.mean:.1f}{error}'
