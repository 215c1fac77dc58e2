"""The paper's conclusions, with a verdict for each task that can decide them.

`verdicts` judges numbers by their intervals. Where full fine-tuning is not
clearly more than a point above the baselines of `cells.power` (the head alone,
or the base as it is where there is no head, and the most frequent class), the
verdict is 'cannot be told': equally useless methods confirm no conclusion.
"""

from collections.abc import Callable, Sequence
import dataclasses

import numpy as np
import pandas as pd

from adapters_jax.analysis import cells
from adapters_jax.analysis import tables
from experiments.analysis import frames
from experiments.analysis import style
from experiments.analysis import variants
from experiments.analysis import verdicts

CLAIMS = (
    'Adapters come within a point of full fine-tuning, with a few per cent of '
    'its parameters',
    'They score higher than tuning the top layers, with fewer parameters, and '
    'than tuning layer norms alone',
    'Removing the adapters of one layer costs no more than two points, of all '
    'layers more, of lower layers less than of upper ones',
    'Sizes from 8 to 256 are within a point of size 64, and initial deviations '
    'below 1e-2 within a point of 1e-2',
    'No variant of the adapter is better than the default by more than a point',
)
UNTOLD = 'cannot be told'
_WITHIN = 2.0  # Points from the best score for a rate to be near the best.


@dataclasses.dataclass(frozen=True)
class Finding:
  """A conclusion on one task.

  Attributes:
    claim: Number of the conclusion, from 1.
    data: Task, base and number of examples in words.
    split: Split of the scores.
    verdict: One of the words of `verdicts`, or UNTOLD.
    text: Numbers with their intervals.
    power: Whether the task separates methods: see `cells.Power`.
  """
  claim: int
  data: str
  split: str
  verdict: str
  text: str
  power: cells.Power


def findings(runs: pd.DataFrame, spans: pd.DataFrame) -> list[Finding]:
  """Returns a finding for each conclusion and each task with records of it.

  Args:
    runs: Result of `frames.load`.
    spans: Result of `spans.load`.
  """
  headline = frames.headline(runs)
  sources: Sequence[tuple[
      int, pd.DataFrame, Callable[..., verdicts.Verdict | None]]] = (
          (1, headline, verdicts.parity), (2, headline, verdicts.cheaper),
          (3, spans, verdicts.layers),
          (4, frames.tradeoff(runs), verdicts.sizes),
          (4, frames.at_one_rate(runs, ['init_scale']), verdicts.deviations),
          (5, variants.load(runs), verdicts.variants))
  known, found = frames.powers(runs), {}
  for claim, rows, test in sources:
    for _, part in rows.groupby(frames.PANEL):
      if (told := test(part)) is None:
        continue
      power = frames.power_of(part, known)
      split = part['split'].iloc[0] if 'split' in part else 'dev'
      new = Finding(claim, style.data_name(part), split, told[0], told[1],
                    power)
      # Parts of a claim are one finding if they have the same data.
      key = claim, *part[frames.PANEL].iloc[0], new.data, split
      found[key] = _joined(found[key], new) if key in found else new
  return [_told(found[key]) for key in sorted(found)]


def _joined(a: Finding, b: Finding) -> Finding:
  return dataclasses.replace(
      a, verdict=verdicts.both(a.verdict, b.verdict),
      text=f'{a.text}; {b.text}')


def _told(finding: Finding) -> Finding:
  if finding.power.tells:
    return finding
  return dataclasses.replace(finding, verdict=UNTOLD)


def rates(runs: pd.DataFrame) -> list[str]:
  """Returns a line for each task and method with the rates near its best.

  Tasks without power are left out: their every rate is near the best one.

  Args:
    runs: Result of `frames.load`.
  """
  known, lines = frames.powers(runs), []
  for _, rows in frames.learning_rates(runs).groupby(frames.PANEL):
    if not frames.power_of(rows, known).tells:
      continue
    for method, part in rows.groupby('method'):
      if len(part) == 1:
        continue  # A single rate is trivially the best.
      part = part.sort_values('learning_rate')
      good = part[part['score'] >= part['score'].max() - _WITHIN]
      near, tried = (', '.join(f'{rate:g}' for rate in some['learning_rate'])
                     for some in (good, part))
      lines.append(
          f'{style.data_name(part)}, {method}: within {_WITHIN:g} '
          f'{tables.unit(part["metric"].iloc[0])} of the best at {near}, of '
          f'{tried}')
  return lines


def matrix(found: Sequence[Finding]) -> pd.DataFrame:
  """Returns the verdicts, a row for each conclusion, a column for each task."""
  names = list(dict.fromkeys(finding.data for finding in found))
  table = pd.DataFrame(
      '-', index=np.arange(1, len(CLAIMS) + 1), columns=names)
  for finding in found:
    table.loc[finding.claim, finding.data] = finding.verdict
  return table.rename_axis('conclusion')


def markdown(found: Sequence[Finding]) -> str:
  """Returns the conclusions, and a table of the findings, as Markdown."""
  lines = [f'{number}. {claim}.' for number, claim in enumerate(CLAIMS, 1)]
  missing = sorted(set(range(1, len(CLAIMS) + 1)) - {f.claim for f in found})
  if missing:
    plural = 's' * (len(missing) > 1)
    lines += ['', f'No records yet of conclusion{plural} '
              f'{", ".join(map(str, missing))}.']
  rows = [{
      'conclusion': str(finding.claim), 'task': finding.data,
      'split': finding.split, 'verdict': f'**{finding.verdict}**',
      'number and 95 % interval': finding.text,
      'can this task tell?': str(finding.power)} for finding in found]
  if rows:
    lines += ['', tables.markdown(rows)]
  return '\n'.join(lines)
