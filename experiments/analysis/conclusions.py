"""Checks of the paper's conclusions on the records, a line each.

A conclusion is a number that must not exceed a limit. It 'holds' or 'does not
hold' by the mean; 'narrowly' if the limit is within two standard errors of the
mean, or if a single seed leaves the error unknown.
"""

from collections.abc import Callable
import math

import pandas as pd

from experiments.analysis import figures
from experiments.analysis import frames

CLAIMS = (
    'Adapters come within a point of full fine-tuning, with a few per cent of '
    'its parameters',
    'They score higher than tuning the top layer, with fewer parameters, and '
    'than tuning layer norms alone',
    'Removing the adapters of one layer costs no more than two points, of all '
    'layers more, of lower layers less than of upper ones',
    'The score changes by no more than a point over sizes from 8 to 256, and '
    'for initial deviations up to 1e-2',
    'No variant of the adapter is better than the default by more than a point',
)


def difference(a: pd.Series, b: pd.Series) -> tuple[float, float]:
  """Returns (a - b, its standard error) of two independent points.

  Args:
    a: Row of a frame, with 'score' and 'sem'.
    b: Row to subtract.
  """
  # Errors of independent means add in squares; nan if one has a single seed.
  return a['score'] - b['score'], math.hypot(a['sem'], b['sem'])


def judge(value: float, sem: float, limit: float) -> str:
  """Returns whether a value is at most its limit, and whether narrowly.

  Args:
    value: Mean, in points.
    sem: Its standard error; nan for a single seed.
    limit: Largest value for which the conclusion holds.
  """
  word = 'holds' if value <= limit else 'does not hold'
  sure = abs(value - limit) > 2 * sem  # False for nan.
  return word if sure else f'{word} (narrowly)'


def both(*verdicts: str) -> str:
  """Combines verdicts; 'narrowly' if the result may be another."""
  held = [verdict for verdict in verdicts if verdict.startswith('holds')]
  failed = [verdict for verdict in verdicts if verdict not in held]

  def narrow(parts):
    return [part.endswith('(narrowly)') for part in parts]

  # One narrow part may overturn 'holds', only all together 'does not hold'.
  if not failed:
    word, unsure = 'holds', any(narrow(held))
  elif not held:
    word, unsure = 'does not hold', all(narrow(failed))
  else:
    word = 'holds in part'
    unsure = all(narrow(failed)) or all(narrow(held))
  return f'{word} (narrowly)' if unsure else word


def show(value: float, sem: float) -> str:
  """Returns e.g. '1.2 ± 0.3', or '1.2 (one seed)'.

  Args:
    value: Mean, in points.
    sem: Its standard error; nan for a single seed.
  """
  error = '(one seed)' if math.isnan(sem) else f'± {sem:.1f}'
  return f'{round(value, 1) + 0.0:.1f} {error}'  # No -0.0.


def _first(rows: pd.DataFrame, **values) -> pd.Series | None:
  """Returns the first row with these values, None without any."""
  for name, value in values.items():
    if name not in rows:  # A frame without such points.
      return None
    rows = rows[rows[name] == value]
  return rows.iloc[0] if len(rows) else None


def parity(runs: pd.DataFrame) -> dict[str, str]:
  """Returns {data: verdict and numbers} of the first claim."""
  two = [frames.best_rate(frames.points(runs, tune=tune)).assign(method=tune)
         for tune in ('adapters', 'full')]
  found = {}
  for _, rows in frames.fullest(pd.concat(two)).groupby('task'):
    adapters = _first(rows, method='adapters')
    full = _first(rows, method='full')
    if adapters is not None and full is not None:
      gap = difference(full, adapters)
      share = adapters['trained'] / adapters['total']
      found[figures.data_name(rows)] = (
          f'{judge(*gap, 1)}: {show(*gap)} points below with {share:.1%} of '
          'the parameters')
  return found


def cheaper(runs: pd.DataFrame) -> dict[str, str]:
  """Returns {data: verdict and numbers} of the second claim."""
  found = {}
  for _, rows in frames.tradeoff(runs).groupby('task'):
    adapters = _first(rows, method='adapters', adapter_size=64)
    top = _first(rows, method='top layers', top_k=1)
    norms = _first(rows, method='layer norms')
    if adapters is None or top is None or norms is None:
      continue
    ahead = difference(adapters, top)
    above = difference(adapters, norms)
    more = top['trained'] / adapters['trained']
    # Negated: a lead of at least 0 is a value of at most 0.
    verdict = both(*(judge(-value, sem, 0) for value, sem in (ahead, above)))
    found[figures.data_name(rows)] = (
        f'{verdict}: {show(*ahead)} points above the top layer ({more:.1f} '
        f'times the parameters), {show(*above)} above layer norms')
  return found


def layers(spans: pd.DataFrame) -> dict[str, str]:
  """Returns {data: verdict and numbers} of the third claim."""
  found = {}
  for _, rows in spans.groupby('task'):
    # Rows are spans, columns are seeds.
    drops = rows.pivot(index=['first', 'last'], columns='seed', values='drop')
    means = drops.mean(axis=1)
    last = rows['layers'].iloc[0] - 1
    third = max(1, (last + 1) // 3)
    worst = max(range(last + 1), key=lambda layer: means[layer, layer])
    one, lower, upper, whole = (
        drops.loc[span] for span in (
            (worst, worst), (0, third - 1), (last - third + 1, last),
            (0, last)))
    one, lower, upper, whole, gap = (  # Lower and upper are of the same runs.
        (part.mean(), part.sem())
        for part in (one, lower, upper, whole, lower - upper))
    # Points: a layer costs at most 2, all layers at least 2.
    verdict = both(judge(*one, 2), judge(-whole[0], whole[1], -2),
                   judge(*gap, 0))
    ends = rows[(rows['first'] == 0) & (rows['last'] == last)]
    left, majority = ends['score'].mean(), ends['majority'].mean()
    alone = ('' if math.isnan(majority) else
             f'; the most frequent class alone has {majority:.1f}')
    found[figures.data_name(rows)] = (
        f'{verdict}: one layer costs at most {show(*one)} points '
        f'(layer {worst}), the lower third {show(*lower)}, the upper third '
        f'{show(*upper)}, all {show(*whole)} (to {left:.1f}{alone}; '
        f'{figures.metric_name(rows)})')
  return found


def robust(runs: pd.DataFrame) -> dict[str, str]:
  """Returns {data: verdict and numbers} of the fourth claim."""
  verdicts, texts = {}, {}

  def add(points, name, text):
    data = figures.data_name(points)
    # Labels of rows, as `loc` expects them.
    low, high = points['score'].idxmin(), points['score'].idxmax()
    spread = difference(points.loc[high], points.loc[low])
    verdicts.setdefault(data, []).append(judge(*spread, 1))
    values = sorted(points[name])
    texts.setdefault(data, []).append(
        f'{show(*spread)} points over {text} {values[0]:g} to {values[-1]:g}')

  sizes = frames.tradeoff(runs)
  sizes = sizes[sizes['method'] == 'adapters']
  for _, rows in sizes.groupby('task'):
    rows = rows[rows['adapter_size'].between(8, 256)]
    if len(rows) > 1:
      add(rows, 'adapter_size', 'sizes')
  scales = frames.at_one_rate(runs, ['init_scale'])
  for _, rows in scales.groupby('task'):
    small = rows[rows['init_scale'] <= 0.01]
    if len(small) > 1:
      add(small, 'init_scale', 'deviations')
      for _, row in rows[rows['init_scale'] > 0.01].iterrows():
        change = difference(row, small.loc[small['init_scale'].idxmax()])
        texts[figures.data_name(rows)].append(
            f'{show(*change)} at {row["init_scale"]:g}')
  return {data: f'{both(*verdicts[data])}: {", ".join(texts[data])}'
          for data in verdicts}


def variants(runs: pd.DataFrame) -> dict[str, str]:
  """Returns {data: verdict and numbers} of the fifth claim."""
  found = {}
  for _, rows in frames.variants(runs).groupby('task'):
    default = _first(rows, variant=frames.DEFAULT)
    others = rows[rows['variant'] != frames.DEFAULT]
    if default is None or others.empty:
      continue
    gains = [(difference(row, default), row['variant'])
             for _, row in others.iterrows()]
    # By the gain alone; `sem` may be nan, which does not compare.
    gain, name = max(gains, key=lambda gain: gain[0][0])
    found[figures.data_name(rows)] = (
        f'{judge(*gain, 1)}: of {len(others)}, the best is {name!r}, by '
        f'{show(*gain)} points')
  return found


def rates(runs: pd.DataFrame, within: float = 2.0) -> list[str]:
  """Returns a line for each task and method with the rates near its best.

  Args:
    runs: Result of `frames.load`.
    within: Largest distance of a score from the best one, in points.
  """
  lines = []
  for _, rows in frames.learning_rates(runs).groupby('task'):
    for method, part in rows.groupby('method'):
      if len(part) == 1:
        continue  # One rate is near nothing but itself.
      part = part.sort_values('learning_rate')
      good = part[part['score'] >= part['score'].max() - within]
      near = ', '.join(f'{rate:g}' for rate in good['learning_rate'])
      tried = ', '.join(f'{rate:g}' for rate in part['learning_rate'])
      lines.append(
          f'{figures.data_name(part)}, {method}: within {within:g} points of '
          f'the best at {near}, of {tried}')
  return lines


def lines(runs: pd.DataFrame, spans: pd.DataFrame) -> list[str]:
  """Returns a line for each of CLAIMS, with a verdict for each task.

  Args:
    runs: Result of `frames.load`.
    spans: Result of `frames.load_spans`.
  """
  # One test for each of CLAIMS, in their order.
  tests: tuple[Callable[[], dict[str, str]], ...] = (
      lambda: parity(runs), lambda: cheaper(runs), lambda: layers(spans),
      lambda: robust(runs), lambda: variants(runs))
  text = []
  for number, (claim, test) in enumerate(zip(CLAIMS, tests, strict=True), 1):
    found = [f'{data}: {words}' for data, words in test().items()]
    text.append(f'{number}. {claim}. **{"; ".join(found)}**.' if found else
                f'{number}. {claim}. No records of this yet.')
  return text
