"""Figures of the notebooks, as wide as a column of a paper.

Every function takes points of `frames` and returns a figure, or, without any
records, a sentence on how to make them.
"""

from collections.abc import Callable
import functools
import itertools
import textwrap

from matplotlib import figure as figure_lib
from matplotlib import ticker
import numpy as np
import pandas as pd

from adapters_jax.runs import config as config_lib
from experiments.analysis import frames

WIDTH = 3.3  # Inches.
_SIZE = 7.5  # Font size in points.
# Colours of Okabe and Ito, distinct for the colour-blind; with markers.
STYLES = {
    'adapters': ('#0072B2', 'o'),
    'top layers': ('#D55E00', 's'),
    'layer norms': ('#009E73', '^'),
    'head alone': ('#CC79A7', 'v'),
    'full fine-tuning': ('#000000', 'D'),
}
_MARKS = (('#0072B2', 'o'), ('#D55E00', 's'), ('#009E73', '^'),
          ('#CC79A7', 'v'), ('#E69F00', 'D'))  # For tasks, cycled.

Drawn = figure_lib.Figure | str


def _or_say(script: str) -> Callable[..., Callable[..., Drawn]]:
  """Makes a function of points return a sentence without any points.

  Tasks with a single point are left out, for there is nothing to compare.
  """

  def decorate(draw):
    @functools.wraps(draw)
    def wrapped(found: pd.DataFrame) -> Drawn:
      found = frames.several(found)
      if found.empty:
        return ('No records of this yet; make some with: python -m '
                f'experiments.{script} --records=experiments/results')
      return draw(found)
    return wrapped

  return decorate


def _panels(count: int, height: float = 2.1, **more) -> tuple:
  """Returns (figure, axes one below the other)."""
  # Not of pyplot, which would keep every figure and choose a backend.
  figure = figure_lib.Figure(
      figsize=(WIDTH, height * count), dpi=200, layout='constrained')
  axes = figure.subplots(count, 1, squeeze=False, **more)[:, 0]
  for axis in axes:
    axis.tick_params(labelsize=_SIZE)
    axis.spines[['top', 'right']].set_visible(False)
    axis.grid(alpha=0.25, linewidth=0.5)
    axis.set_axisbelow(True)
  return figure, axes


def _errors(axis, x, found, style, **more) -> None:
  """Draws scores with error bars, of length 0 for a single seed."""
  color, marker = style
  axis.errorbar(
      x, found['score'], found['sem'].fillna(0), color=color, marker=marker,
      markersize=3.5, linewidth=1, capsize=2, **more)


def task_name(task: str) -> str:
  """Returns the title of a task."""
  return {'cola': 'CoLA', 'sst2': 'SST-2', 'rte': 'RTE', 'mnli': 'MNLI',
          'sms_spam': 'SMS spam', 'squad': 'SQuAD'}.get(
              task, task.replace('_', ' '))


def metric_name(rows: pd.DataFrame) -> str:
  """Returns the metric of a task's points with its unit, for an axis."""
  metric = rows['metric'].iloc[0]
  return {
      'accuracy': 'accuracy (%)',
      'matthews': "Matthews' corr. (×100)",
  }.get(metric, f'{metric} (×100)')


def data_name(rows: pd.DataFrame) -> str:
  """Returns task, checkpoint unless the default, and examples of points."""
  row = rows.iloc[0]
  examples = row['train_examples']
  few = f'{examples:,} examples' if examples else 'all examples'  # 0 is all.
  # A folder by its name alone.
  base = row['checkpoint'].rstrip('/').rpartition('/')[2]
  where = '' if base == config_lib.Config.checkpoint else f' with {base}'
  return f'{task_name(row["task"])}{where}, {few}'


def title_of(rows: pd.DataFrame) -> str:
  """Returns the task, its training examples and seeds, for above a panel."""
  seeds = sorted({int(n) for n in rows['seeds']})
  spread = '–'.join(str(n) for n in dict.fromkeys((seeds[0], seeds[-1])))
  plural = '' if seeds == [1] else 's'
  return textwrap.fill(f'{data_name(rows)}, {spread} seed{plural}', 46)


def _label(
    axis, text: str = '', x: str = '', y: str = '', loc: str = 'left'
) -> None:
  axis.set_title(text, fontsize=_SIZE, loc=loc)
  axis.set_xlabel(x, fontsize=_SIZE)
  axis.set_ylabel(y, fontsize=_SIZE)


@_or_say('ablation_size')
def tradeoff(found: pd.DataFrame) -> Drawn:
  """Draws scores against trained parameters, of `frames.tradeoff` (fig. 4)."""
  groups = list(found.groupby('task'))
  figure, axes = _panels(len(groups), 2.3)
  for axis, (task, rows) in zip(axes, groups):
    for method, style in STYLES.items():
      part = rows[rows['method'] == method].sort_values('trained')
      if len(part):
        _errors(axis, part['trained'], part, style, label=method)
    axis.set_xscale('log')
    _label(axis, title_of(rows), 'trained parameters (number)',
           f'dev {metric_name(rows)}')
  axes[0].legend(fontsize=_SIZE - 1, frameon=False)
  return figure


@_or_say('ablation_size')
def percentiles(found: pd.DataFrame) -> Drawn:
  """Draws scores of `frames.shared` minus full fine-tuning's (fig. 3).

  Tasks without full fine-tuning are left out, and points that some tasks lack.
  """
  wide = relative(found)
  if wide.empty:
    return 'No task with full fine-tuning and something beside it yet.'
  figure, axes = _panels(1, 2.3)
  axis = axes[0]
  for method, style in STYLES.items():
    if method not in wide.index.get_level_values('method'):
      continue
    rows = wide.xs(method, level='method').sort_index(level='trained')
    low, middle, high = np.percentile(rows, (20, 50, 80), axis=1)  # Over tasks.
    x = 100 * rows.index.get_level_values('trained')
    color, marker = style
    if len(rows) > 1:
      axis.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)
      axis.plot(x, middle, color=color, marker=marker, markersize=3.5,
                linewidth=1, label=method)
    else:
      axis.errorbar(x, middle, [middle - low, high - middle], color=color,
                    marker=marker, markersize=3.5, capsize=2, linewidth=1,
                    label=method)
  axis.axhline(0, color='black', linewidth=0.8, linestyle=':')
  axis.set_xscale('log')
  axis.xaxis.set_major_formatter(ticker.FormatStrFormatter('%g'))
  names = textwrap.fill(
      ', '.join(task_name(task) for task in wide.columns), width=44)
  _label(axis, f'20th, 50th, 80th percentile over tasks:\n{names}',
         'trained parameters (% of the model)',
         'dev score − full fine-tuning\n(points)')
  axis.legend(fontsize=_SIZE - 1, frameon=False)
  return figure


def relative(found: pd.DataFrame) -> pd.DataFrame:
  """Returns scores minus those of full fine-tuning, a column for each task.

  The rows are the points that all these tasks have, by 'method',
  'adapter_size', 'top_k' and 'trained', the mean share of the model.
  """
  full = found[found['method'] == 'full fine-tuning'].set_index('task')
  rest = found[found['task'].isin(full.index)
               & (found['method'] != 'full fine-tuning')].copy()
  if rest.empty:
    return pd.DataFrame()
  rest['score'] -= rest['task'].map(full['score'])
  rest['share'] = rest['trained'] / rest['total']
  for name in ('adapter_size', 'top_k'):
    rest[name] = (rest[name] if name in rest else pd.Series(0, rest.index)
                  ).fillna(0)  # Of methods without it.
  keys = ['method', 'adapter_size', 'top_k']
  wide = rest.pivot_table('score', keys, 'task').dropna()  # In all tasks.
  # A mean: heads differ in size, so shares differ between tasks.
  shares = rest.groupby(keys)['share'].mean().rename('trained')
  return wide.join(shares).set_index('trained', append=True)


@_or_say('ablation_init')
def init_scales(found: pd.DataFrame) -> Drawn:
  """Draws scores against the initial deviation, a line a task (fig. 6)."""
  groups = list(found.groupby('task'))
  figure, axes = _panels(len(groups), 1.8, sharex=True)
  for axis, style, (task, rows) in zip(axes, itertools.cycle(_MARKS), groups):
    rows = rows.sort_values('init_scale')
    _errors(axis, rows['init_scale'], rows, style)
    axis.set_xscale('log')
    axis.axvline(0.01, color='black', linewidth=0.8, linestyle=':')
    _label(axis, title_of(rows), '', f'dev {metric_name(rows)}')
  axes[-1].set_xlabel(
      'initial standard deviation σ (dotted: default)',
      fontsize=_SIZE)
  return figure


@_or_say('ablation_learning_rate')
def learning_rates(found: pd.DataFrame) -> Drawn:
  """Draws scores against rates; `found` has a column 'method' (app. B)."""
  groups = list(found.groupby('task'))
  figure, axes = _panels(len(groups), 2.0, sharex=True)
  for axis, (task, rows) in zip(axes, groups):
    for method in ('adapters', 'full fine-tuning'):
      part = rows[rows['method'] == method].sort_values('learning_rate')
      _errors(axis, part['learning_rate'], part, STYLES[method], label=method)
    axis.set_xscale('log')
    _label(axis, title_of(rows), '', f'dev {metric_name(rows)}')
  axes[-1].set_xlabel('peak learning rate', fontsize=_SIZE)
  axes[0].legend(fontsize=_SIZE - 1, frameon=False)
  return figure


def bars(found: pd.DataFrame, column: str, first: str, script: str) -> Drawn:
  """Draws a dot with its error for each name in a column.

  Args:
    found: Points with that column.
    column: Column of the names.
    first: Name at the top, whose score is the dotted line.
    script: Name of the script that makes the records.

  Returns:
    The figure, or a sentence without any points.
  """

  @_or_say(script)
  def draw(found):
    groups = list(found.groupby('task'))
    figure, axes = _panels(
        len(groups), 0.55 + 0.16 * found.groupby('task').size().max())
    for axis, style, (_, rows) in zip(axes, itertools.cycle(_MARKS), groups):
      rows = rows.sort_values('score')
      rows = pd.concat([rows[rows[column] != first], rows[rows[column] == first]
                        ]).reset_index()  # The last row is at the top.
      color, marker = style
      axis.errorbar(rows['score'], rows.index, xerr=rows['sem'].fillna(0),
                    color=color, marker=marker, markersize=3.5, capsize=2,
                    linewidth=1, linestyle='')
      axis.set_yticks(rows.index, rows[column])
      axis.set_ylim(-0.5, len(rows) - 0.5)
      for score in rows[rows[column] == first]['score']:
        axis.axvline(score, color='black', linewidth=0.8, linestyle=':')
      _label(axis, title_of(rows), f'dev {metric_name(rows)}', loc='right')
    return figure

  return draw(found)


@_or_say('ablation_layers')
def spans(found: pd.DataFrame) -> Drawn:
  """Draws `frames.load_spans`, means over seeds (fig. 6, left and centre)."""
  groups = list(found.groupby('task'))
  figure, axes = _panels(len(groups), 2.7)
  for axis, (task, rows) in zip(axes, groups):
    layers = rows['layers'].iloc[0]
    table = rows.pivot_table('drop', 'first', 'last').reindex(
        index=range(layers), columns=range(layers))
    axis.grid(False)
    best = max(0, -table.min().min())
    # At least 0 at the bright end: a loss everywhere must not look like a gain.
    image = axis.imshow(-table, cmap='cividis', vmax=best)
    # Halfway between the ends of the colours, where text turns black.
    middle = (best - table.max().max()) / 2
    for (first, last), drop in table.stack().dropna().items():
      digits = 1 if layers < 8 else 0
      change = round(-drop, digits) + 0.0  # Avoids '-0'.
      axis.text(last, first, f'{change:.{digits}f}'.replace('-', '−'),
                ha='center', va='center',
                fontsize=_SIZE - (1 if layers < 8 else 2.5),
                color='white' if -drop < middle else 'black')
    axis.set_xticks(range(layers))
    axis.set_yticks(range(layers))
    bar = figure.colorbar(image, ax=axis, shrink=0.8)
    bar.set_label('change of the dev score (points)', fontsize=_SIZE)
    bar.ax.tick_params(labelsize=_SIZE)
    seeds = rows['seed'].nunique()
    title = (f'{textwrap.fill(data_name(rows), 40)}\n{seeds} '
             f'seed{"s" * (seeds > 1)}, {metric_name(rows)}')
    _label(axis, title, 'last layer without adapters',
           'first layer without adapters')
  return figure
