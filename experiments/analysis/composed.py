"""Records of several adapters in one model, and of adapters of a domain.

A run with frozen adapters names them with a hash. Runs whose frozen adapters
differ in their seed alone are one row here.
"""

from collections.abc import Iterable, Sequence
import dataclasses
import math
from typing import Any

from adapters_jax.analysis import cells
from adapters_jax.analysis import points as points_lib
from adapters_jax.analysis import reported
from adapters_jax.analysis import statistics
from adapters_jax.analysis import tables
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import identity
from adapters_jax.runs import options
from adapters_jax.runs import records as records_lib

_DATA = (*options.marked(config_lib.Config, 'data'), 'precision')
_SAID = ('adapters', 'tune_norms')  # In the words of a method.


def _method(point: points_lib.Point) -> str:
  """Returns the name of a method in words, without its schedule.

  Args:
    point: Point, whose frozen adapters have no hashes.
  """
  values = point.settings
  names = values['adapters'].replace(',', ', ')
  norms = '' if values['tune_norms'] else ', without layer norms'
  if values['tune'] == 'fusion':
    name = f'AdapterFusion of {names}'
  elif values['tune'] == 'full':
    name = f'full fine-tuning, rate {values["learning_rate"]:g}'
  else:
    above = f' above {names}' if names else ''
    name = f'adapters, size {values["adapter_size"]}{norms}{above}'
  return ', '.join([name, *(text for text in point.changed
                            if text.partition('=')[0] not in _SAID)])


def _without_hashes(settings: dict[str, Any]) -> dict[str, Any]:
  """Returns settings that name frozen adapters, but not their files."""
  return settings | {
      name: ','.join(part.partition('@')[0]
                     for part in settings[name].split(','))
      for name in options.marked(config_lib.Config, 'folders')}


def _pooled(found: Iterable[points_lib.Point]) -> list[points_lib.Point]:
  """Joins points that differ only in the files of their frozen adapters."""
  joined: dict[str, points_lib.Point] = {}
  for point in found:
    values = _without_hashes(point.settings)
    before = joined.setdefault(identity.digest(values), dataclasses.replace(
        point, settings=values, records=()))
    joined[identity.digest(values)] = dataclasses.replace(
        before, records=(*before.records, *point.records),
        trials=max(before.trials, point.trials),
        pick_score=(point.pick_score if math.isnan(before.pick_score)
                    else before.pick_score))
  return list(joined.values())


def _by_data(
    found: Iterable[points_lib.Point]
) -> list[list[points_lib.Point]]:
  """Groups points by _DATA; of a method with trials, keeps the picked ones.

  Args:
    found: Points of any runs.
  """
  data: dict[tuple[Any, ...], dict[str, list[points_lib.Point]]] = {}
  for point in found:
    key = tuple(point.settings[name] for name in _DATA)
    data.setdefault(key, {}).setdefault(point.method, []).append(point)
  return [
      [point for some in methods.values() for point in (
          reported.picked(some) if any(one.trials for one in some) else some)]
      for methods in data.values()]


def _named(
    keys: Sequence[tuple[str, ...]], settings: Sequence[dict[str, Any]]
) -> list[str]:
  """Returns the names of rows; equal names get the settings that differ.

  Args:
    keys: Cells that identify each row; the last one is its name.
    settings: Settings of each row.
  """
  alike: dict[tuple[str, ...], list[dict[str, Any]]] = {}
  for key, values in zip(keys, settings, strict=True):
    alike.setdefault(key, []).append(values)
  return [
      ', '.join([key[-1], *(f'{name}={values[name]}'
                            for name in identity.differing(alike[key]))])
      for key, values in zip(keys, settings, strict=True)]


def groups(
    records: Iterable[records_lib.Record]
) -> dict[str, dict[str, list[records_lib.Record]]]:
  """Returns the runs that can be compared with those on frozen adapters.

  Args:
    records: Records of any runs.

  Returns:
    {task, base and number of examples in words: {method: records}} of data with
    such runs; methods with frozen adapters first. All runs of a method have the
    same settings but for the seed: the schedule that trials picked, or each
    schedule by itself.
  """
  found = [
      point for point in points_lib.points(records)
      if point.settings['tune'] in ('adapters', 'fusion', 'full')
      and not point.named_config]
  kept = [sorted(some, key=lambda point: not point.settings['adapters'])
          for some in _by_data(_pooled(found))
          if any(point.settings['adapters'] for point in some)]
  data = [{name: some[0].settings[name] for name in _DATA} for some in kept]
  names = _named([(_data(values),) for values in data], data)
  return {
      name: {method: list(point.records) for method, point in zip(
          _named([(_method(point),) for point in some],
                 [point.settings for point in some]), some, strict=True)}
      for name, some in zip(names, kept, strict=True)}


def rows(records: Iterable[records_lib.Record]) -> list[dict[str, str]]:
  """Returns a row for each method that shares data with frozen adapters.

  Differences are to the first method of the same data, in hundredths.

  Args:
    records: Records of any runs.
  """
  table = []
  for data, methods in groups(records).items():
    first = next(iter(methods.values()))
    for name, runs in methods.items():
      split = 'test' if all('test' in r.metrics for r in runs) else 'dev'
      metric = next(iter(runs[0].metrics['dev']))
      score = cells.estimate(runs, split, metric)
      row = {
          'task': data, 'method': name,
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


def _data(values: dict[str, Any]) -> str:
  examples = values['train_examples']
  return (f'{config_lib.task_of(values)}, {values["checkpoint"]}'
          + (f', {examples} examples' if examples else ''))  # 0 is all.


def perplexities(records: Iterable[records_lib.Record]) -> list[dict[str, str]]:
  """Returns the perplexity of each language model, a row for each method.

  Args:
    records: Records of any runs.
  """
  found = [point for some in _by_data(
      point for point in points_lib.points(records)
      if 'perplexity' in point.records[0].metrics['dev']) for point in some]
  found.sort(key=lambda point: (
      point.task, point.settings['checkpoint'],
      point.settings['tune'] != 'head'))
  keys = [(point.task, point.settings['checkpoint'], _language_model(point))
          for point in found]
  names = _named(keys, [point.settings for point in found])
  table = []
  for point, (task, base, _), name in zip(found, keys, names, strict=True):
    row = {
        'texts': task, 'base': base, 'method': name,
        'trained': f'{100 * point.share:.3g} %',
        'seeds': str(len(point.records))}
    for split in ('dev', 'test'):
      values = [r.metrics[split]['perplexity'] for r in point.records
                if split in r.metrics]
      row[split] = (
          _number(statistics.mean_estimate(values)) if values else '-')
    table.append(row)
  return table


def _language_model(point: points_lib.Point) -> str:
  """Returns the name of a method; language models train no norms."""
  return point.method.replace(', tune_norms=False', '').replace(
      'head alone', 'the head alone')


def _number(found: statistics.Estimate) -> str:
  half = (found.t[1] - found.t[0]) / 2
  error = '' if math.isnan(half) else f' ± {half:.1f}'
  return f'{found.mean:.1f}{error}'
