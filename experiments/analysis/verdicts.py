"""Verdicts on the paper's conclusions, each on the points of one task.

A conclusion is a number that must not exceed a limit. By the interval of the
number (95 %; the wider of t over seeds and of the bootstrap) it

- 'holds' if the interval is below the limit,
- 'does not hold' if it is above,
- is 'undecided' if the limit is inside, or if there is one seed.

Scores without some layers are saved without predictions, which the bootstrap
needs, so conclusion 3 relies on t only.
"""

import math

import pandas as pd

from adapters_jax.analysis import cells
from adapters_jax.analysis import statistics
from adapters_jax.analysis import tables
from experiments.analysis import variants as variants_lib

HOLDS, FAILS, OPEN = 'holds', 'does not hold', 'undecided'
IN_PART = 'holds in part'
_NEAR = 100 * cells.MARGIN  # Points within which scores count as equal.
_FEW = 0.05  # Largest share of the parameters that is 'a few per cent'.

Verdict = tuple[str, str]  # (verdict, numbers with their intervals)


def judge(value: statistics.Estimate, limit: float) -> str:
  """Returns whether a value is at most its limit.

  Args:
    value: Number in points.
    limit: Largest value for which the conclusion holds.
  """
  if value.high <= limit:  # False for nan, as below.
    return HOLDS
  return FAILS if value.low > limit else OPEN


def judge_within(value: statistics.Estimate) -> str:
  """Returns whether a value in points lies between -_NEAR and _NEAR."""
  verdicts = {judge(value, _NEAR), judge(value.times(-1), _NEAR)}
  if FAILS in verdicts:
    return FAILS
  return HOLDS if verdicts == {HOLDS} else OPEN


def both(*verdicts: str) -> str:
  """Returns the verdict on a conclusion of several parts."""
  found = set(verdicts)
  if IN_PART in found:
    return IN_PART
  if FAILS in found:
    return IN_PART if HOLDS in found else FAILS
  return OPEN if OPEN in found else HOLDS


def every(*verdicts: str) -> str:
  """Returns the verdict on a conclusion that one exception contradicts."""
  return FAILS if FAILS in verdicts else both(*verdicts)


def show(value: statistics.Estimate, metric: str = '') -> str:
  """Returns e.g. '1.2 points of accuracy (0.3 to 2.1)'.

  Args:
    value: Number in points.
    metric: Its metric; '' where the unit has been said.
  """
  unit = f' {tables.unit(metric)}' if metric else ''
  ends = ('one seed' if math.isnan(value.low)
          else f'{_rounded(value.low)} to {_rounded(value.high)}')
  return f'{_rounded(value.mean)}{unit} ({ends})'


def apart(value: statistics.Estimate, metric: str = '') -> str:
  """Returns e.g. '1.2 points of accuracy (0.3 to 2.1) above', or 'below'.

  Args:
    value: Lead in points; a negative one is below.
    metric: As for `show`.
  """
  if value.mean < 0:
    return f'{show(value.times(-1), metric)} below'
  return f'{show(value, metric)} above'


def _rounded(value: float) -> str:
  return f'{round(value, 1) + 0.0:.1f}'.replace('-', '−')  # No -0.0.


def difference(a: pd.Series, b: pd.Series) -> statistics.Estimate:
  """Returns a - b in points, paired on the examples.

  Args:
    a: Row of a frame of points.
    b: Row to subtract.
  """
  return cells.difference(
      a['records'], b['records'], a['split'], a['metric']).times(100)


def _first(rows: pd.DataFrame, **values) -> pd.Series | None:
  """Returns the first row with these values, None without any."""
  for name, value in values.items():
    if name not in rows:  # A frame without such points.
      return None
    rows = rows[rows[name] == value]
  return rows.iloc[0] if len(rows) else None


def parity(rows: pd.DataFrame) -> Verdict | None:
  """Judges conclusion 1 by `frames.headline` of one task; None without."""
  adapters = _first(rows, method='adapters')
  full = _first(rows, method='full fine-tuning')
  if adapters is None or full is None:
    return None
  lead = difference(adapters, full)
  share = adapters['trained'] / adapters['total']
  near = judge(lead.times(-1), _NEAR)
  return (near if share <= _FEW else FAILS), (
      f'{apart(lead, full["metric"])} full fine-tuning with {share:.1%} of the '
      'parameters')


def cheaper(rows: pd.DataFrame) -> Verdict | None:
  """Judges conclusion 2 by `frames.headline` of one task; None without."""
  adapters = _first(rows, method='adapters')
  top = _first(rows, method='top layers')
  norms = _first(rows, method='layer norms')
  if adapters is None or top is None or norms is None:
    return None
  ahead, above = difference(adapters, top), difference(adapters, norms)
  count = int(top['top_k'])
  layers = 'top layer' if count == 1 else f'top {count} layers'
  more = top['trained'] / adapters['trained']
  # Negated: a lead of at least 0 is a value of at most 0.
  verdict = both(*(judge(one.times(-1), 0) for one in (ahead, above)))
  return (verdict if more > 1 else FAILS), (
      f'{apart(ahead, top["metric"])} the {layers} ({more:.1f} times the '
      f'parameters), {apart(above)} layer norms')


def layers(rows: pd.DataFrame) -> Verdict:
  """Judges conclusion 3 by `spans.load` of one task."""
  # Rows are spans, columns are seeds.
  drops = rows.pivot(index=['first', 'last'], columns='seed', values='drop')
  last = int(rows['layers'].iloc[0]) - 1
  third = max(1, (last + 1) // 3)
  alone = [statistics.mean_estimate(drops.loc[(i, i)].to_numpy())
           for i in range(last + 1)]
  worst = max(range(last + 1), key=lambda i: alone[i].mean)
  parts = [drops.loc[span].to_numpy() for span in (
      (0, third - 1), (last - third + 1, last), (0, last))]
  lower, upper, whole = map(statistics.mean_estimate, parts)
  gap = statistics.mean_estimate(parts[0] - parts[1])  # Paired by run.
  # Points: each layer costs at most 2, all layers at least 2.
  verdict = both(every(*(judge(one, 2) for one in alone)),
                 judge(whole.times(-1), -2), judge(gap, 0))
  return verdict, (
      f'the costliest single layer is {worst}, '
      f'{show(alone[worst], rows["metric"].iloc[0])}, the lower third costs '
      f'{show(lower)}, the upper third {show(upper)}, all {show(whole)}; t '
      'over seeds alone')


def _around(
    rows: pd.DataFrame, name: str, reference: float
) -> tuple[str, statistics.Estimate, float] | None:
  """Returns (verdict, largest difference to a reference, its value); or None.

  Args:
    rows: Points of one task.
    name: Setting in which they differ.
    reference: Value of the setting to compare with.
  """
  base = _first(rows, **{name: reference})
  others = rows[rows[name] != reference]
  if base is None or others.empty:
    return None
  found = [(difference(row, base), row[name]) for _, row in others.iterrows()]
  most, where = max(found, key=lambda one: abs(one[0].mean))
  return every(*(judge_within(one) for one, _ in found)), most, where


def sizes(rows: pd.DataFrame) -> Verdict | None:
  """Judges conclusion 4 by `frames.tradeoff` of one task; None without."""
  if 'adapter_size' not in rows:
    return None
  rows = rows[(rows['method'] == 'adapters')
              & rows['adapter_size'].between(8, 256)]
  found = _around(rows, 'adapter_size', 64)
  if found is None:
    return None
  verdict, most, where = found
  return verdict, (
      f'of {len(rows)} sizes from 8 to 256, {where:g} is farthest from 64, by '
      f'{show(most, rows["metric"].iloc[0])}')


def deviations(rows: pd.DataFrame) -> Verdict | None:
  """Judges conclusion 4 by the points of one task by init_scale."""
  found = _around(rows[rows['init_scale'] <= 0.01], 'init_scale', 0.01)
  if found is None:
    return None
  verdict, most, where = found
  base = _first(rows, init_scale=0.01)
  above = [f'{show(difference(row, base))} at {row["init_scale"]:g}'
           for _, row in rows[rows['init_scale'] > 0.01].iterrows()]
  return verdict, ', '.join([
      f'of deviations up to 0.01, {where:g} is farthest from it, by '
      f'{show(most, rows["metric"].iloc[0])}', *above])


def variants(rows: pd.DataFrame) -> Verdict | None:
  """Judges conclusion 5 by `variants.load` of one task; None without."""
  default = _first(rows, variant=variants_lib.DEFAULT)
  others = rows[rows['variant'] != variants_lib.DEFAULT]
  if default is None or others.empty:
    return None
  gains = [(difference(row, default), row['variant'])
           for _, row in others.iterrows()]
  # By the mean only: the ends of the interval may be nan, which has no order.
  gain, name = max(gains, key=lambda one: one[0].mean)
  return every(*(judge(one, _NEAR) for one, _ in gains)), (
      f'of {len(others)}, the best is {name!r}, by '
      f'{show(gain, default["metric"])}')
