"""Learning curves: dev scores of every evaluation, by method."""

import pandas as pd

from experiments.analysis import frames
from experiments.analysis import style


def load(runs: pd.DataFrame) -> pd.DataFrame:
  """Returns the dev scores of every evaluation, for learning curves.

  Returns:
    DATA of `frames`, 'method', 'metric', 'seed', 'step' and 'score' in
    hundredths, of the points of `frames.headline`.
  """
  rows = []
  for _, point in frames.headline(runs).iterrows():
    for record in point['records']:
      rows += [{
          **{name: point[name] for name in frames.DATA},
          'method': point['method'], 'metric': point['metric'],
          'seed': record.config['seed'], 'step': entry['step'],
          'score': 100 * entry['dev'][point['metric']]}
          for entry in record.history]
  columns = (*frames.DATA, 'method', 'metric', 'seed', 'step', 'score')
  return pd.DataFrame(rows, columns=columns)


def _several(found: pd.DataFrame) -> pd.DataFrame:
  """Returns the tasks with more than one method."""
  return found[found.groupby(frames.PANEL)['method'].transform('nunique') > 1]


@style.or_say('glue', _several)
def draw(found: pd.DataFrame) -> style.Drawn:
  """Draws dev scores against steps, a panel a task.

  Thick lines are means over seeds, thin ones the seeds.

  Args:
    found: Result of `load`.
  """
  groups = list(found.groupby(frames.PANEL))
  figure, axes = style.panels(len(groups), 2.2, 3)
  handles = {}
  for axis, (_, rows) in zip(axes, groups):
    for method, (color, _) in style.METHODS.items():
      part = rows[rows['method'] == method]
      for _, one in part.groupby('seed'):
        axis.plot(one['step'], one['score'], color=color, linewidth=0.4,
                  alpha=0.5)
      mean = part.groupby('step')['score'].mean()
      if len(mean):
        handles[method], = axis.plot(
            mean.index, mean, color=color, linewidth=1.3, label=method)
    seeds = rows.groupby('method')['seed'].nunique()
    title = style.title_of(rows.assign(seeds=rows['method'].map(seeds)))
    style.label_scores(axis, rows, title, 'step')
  style.legend_below(
      figure, 3 if len(groups) > 1 else 2, list(handles.values()))
  return figure
