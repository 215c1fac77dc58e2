"""Scores and costs without the adapters of the lowest layers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from adapters_jax.analysis import statistics
from adapters_jax.analysis import tables
from experiments.analysis import style

Found = Mapping[str, Any]  # The JSON file of experiments.adapter_drop.
_COSTS = {'flops': 'operations', 'cpu_seconds': 'processor time'}


def _estimates(runs: Sequence[Mapping[str, float]]) -> pd.DataFrame:
  """Returns points for `style.draw_scores`, a row a number of layers.

  Args:
    runs: {number of layers without adapters: score} of each seed.
  """
  rows = []
  for number in runs[0]:
    values = [100 * run[number] for run in runs]
    low, high = statistics.t_interval(values)
    rows.append({'score': float(np.mean(values)), 'low': low, 'high': high,
                 'scores': values})
  return pd.DataFrame(rows)


def draw(found: Found) -> style.Drawn:
  """Draws scores and costs of a step against the layers without adapters.

  Args:
    found: Content of the JSON file.
  """
  figure, (scores, costs) = style.panels(2, 2.2, 2)
  numbers = [int(number) for number in found['costs']]
  for number, (name, runs) in enumerate(found['scores'].items()):
    style.draw_scores(scores, numbers, _estimates(runs),
                      style.task_look(number), label=name)
  rows = pd.DataFrame([{
      **{name: found[name] for name in ('task', 'checkpoint', 'metric',
                                        'split', 'train_examples')},
      'precision': _precision(found['computation']),
      'seeds': len(next(iter(found['scores'].values())))}])
  across = 'lowest layers without adapters'
  style.label_scores(scores, rows, style.title_of(rows), across)
  for number, (field, name) in enumerate(_COSTS.items()):
    color, marker = style.task_look(number)
    costs.plot(numbers, 100 * _relative(found, field), color=color,
               marker=marker, markersize=3.5, linewidth=1, label=name)
  batch, length = found['batch']
  style.label(costs, f'a training step\n{batch} texts of {length} tokens',
              across, 'share of that with all (%)')
  costs.set_ylim(0, None)
  for axis in (scores, costs):
    axis.set_xticks(numbers)
    axis.legend(frameon=False, fontsize=style.SIZE - 1, loc='lower left')
  return figure


def _precision(computation: str) -> str:
  """Returns the arithmetic of a record's `computation`."""
  return ('bfloat16_products' if 'products of bfloat16' in computation else
          computation.removeprefix('computes in ').partition(',')[0])


def _relative(found: Found, field: str) -> np.ndarray:
  """Returns [numbers] a cost of a step, as a share of that of all adapters."""
  values = np.array([cost[field] for cost in found['costs'].values()])
  return values / values[0]


def rows(found: Found) -> list[dict[str, str]]:
  """Returns a row for each number of layers without adapters.

  Args:
    found: Content of the JSON file.
  """
  shares = {name: _relative(found, field) for field, name in _COSTS.items()}
  return [{
      'layers without': number,
      **{name: tables.mean_text([run[number] for run in runs])
         for name, runs in found['scores'].items()},
      **{name: f'{share[row]:.2f}' for name, share in shares.items()}}
      for row, number in enumerate(found['costs'])]
