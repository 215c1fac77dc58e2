"""Look of the figures, and the names of tasks, data and metrics in them."""

from collections.abc import Callable, Sequence
import functools
from typing import Any

from matplotlib import figure as figure_lib
import numpy as np
import pandas as pd

from adapters_jax.analysis import tables
from adapters_jax.runs import config as config_lib

COLUMN, PAGE = 3.3, 6.8  # Widths of a paper's column and of its page, inches.
SIZE = 7.5  # Font size in points.
GREY = '#999999'  # Values of the paper.
# Colours of Okabe and Ito, distinct for the colour-blind; with markers.
METHODS = {
    'adapters': ('#0072B2', 'o'),
    'top layers': ('#D55E00', 's'),
    'layer norms': ('#009E73', '^'),
    'head alone': ('#CC79A7', 'v'),
    'full fine-tuning': ('#000000', 'D'),
}
_COLORS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9',
           '#000000')
_MARKERS = 'os^vDP'  # Fewer than the colours: pairs recur late.
# Below, a figure has the seeds themselves: t over two spans more than the axis.
_FEW = 3
# {metric: ends of its range, in hundredths}; 0 and 100 for all others.
_RANGES = {
    **dict.fromkeys(('matthews', 'kappa', 'pearson', 'spearman'), (-100, 100)),
    'r2': (-np.inf, 100), 'perplexity': (0, np.inf)}

Drawn = figure_lib.Figure | str


def or_say(
    script: str, compared: Callable[[pd.DataFrame], pd.DataFrame]
) -> Callable[..., Callable[..., Drawn]]:
  """Wraps a drawing function to return, without points, how to make them.

  Its argument `flags` has the flags without which the script makes others.

  Args:
    script: Module of `experiments` whose runs the figure needs.
    compared: (points) -> points that a figure can show.
  """

  def decorate(draw):
    @functools.wraps(draw)
    def wrapped(
        found: pd.DataFrame, *more: Any, flags: str = '', **named: Any
    ) -> Drawn:
      found = compared(found)
      if found.empty:
        return ' '.join(filter(None, (
            'No records of this yet; make some with: python -m '
            f'experiments.{script} --records=experiments/results', flags)))
      return draw(found, *more, **named)
    return wrapped

  return decorate


def task_look(number: int) -> tuple[str, str]:
  """Returns the colour and marker of a task, distinct for 42 numbers."""
  return _COLORS[number % len(_COLORS)], _MARKERS[number % len(_MARKERS)]


def panels(
    count: int, height: float, columns: int
) -> tuple[figure_lib.Figure, np.ndarray]:
  """Returns (figure, axes), as wide as a column for one panel, else a page.

  Args:
    count: Number of panels.
    height: Height of a row in inches.
    columns: Number of columns, at most; four panels have two.
  """
  columns = 2 if count == 4 else min(columns, count)  # Four are a square.
  rows = -(-count // columns)
  # Not of pyplot, which would keep every figure and choose a backend.
  figure = figure_lib.Figure(
      figsize=(COLUMN if columns == 1 else PAGE, height * rows), dpi=200,
      layout='constrained')
  axes = figure.subplots(rows, columns, squeeze=False).ravel()
  for axis in axes[count:]:
    axis.set_visible(False)
  for axis in axes[:count]:
    axis.tick_params(labelsize=SIZE)
    axis.spines[['top', 'right']].set_visible(False)
    axis.grid(alpha=0.25, linewidth=0.5)
    axis.set_axisbelow(True)
  return figure, axes[:count]


def errors(found: pd.DataFrame) -> np.ndarray:
  """Returns [2, points] the lengths of error bars, 0 below _FEW seeds."""
  lengths = np.array([
      found['score'] - found['low'], found['high'] - found['score']])
  return np.where(found['scores'].map(len) < _FEW, 0.0, lengths)


def draw_scores(
    axis, places, found: pd.DataFrame, look, across: bool = False, **more: Any
) -> None:
  """Draws mean scores with their intervals, or with the scores of two seeds.

  Args:
    axis: Axes.
    places: [points] Coordinates on the other axis.
    found: Points, with 'score', 'low', 'high' and 'scores', those of the seeds.
    look: (colour, marker).
    across: Whether scores are on the horizontal axis.
    **more: Arguments of `Axes.errorbar`.
  """
  def ordered(scores):
    return scores[::-1] if across else scores

  color, marker = look
  axis.errorbar(
      *ordered((places, found['score'])), color=color, marker=marker,
      markersize=3.5, linewidth=1, capsize=2,
      **{'xerr' if across else 'yerr': errors(found)}, **more)
  few = [(place, score) for place, scores in zip(places, found['scores'])
         if 1 < len(scores) < _FEW for score in scores]
  if few:
    axis.plot(*ordered(tuple(zip(*few))), color=color, marker=marker,
              markersize=2, markeredgewidth=0.6, fillstyle='none', linestyle='')


def label(
    axis, text: str = '', x: str = '', y: str = '', loc: str = 'left'
) -> None:
  """Sets title and names of axes.

  Args:
    axis: Axes.
    text: Title.
    x: Name of the horizontal axis.
    y: Name of the vertical axis.
    loc: Place of the title.
  """
  axis.set_title(text, fontsize=SIZE, loc=loc)
  axis.set_xlabel(x, fontsize=SIZE)
  axis.set_ylabel(y, fontsize=SIZE)


def label_scores(
    axis, rows: pd.DataFrame, text: str, other: str = '',
    across: bool = False, loc: str = 'left',
) -> None:
  """Labels axes with scores, and cuts these off beyond the metric's range.

  Call it after drawing, which moves the ends of the axes.

  Args:
    axis: Axes.
    rows: Points of one metric.
    text: Title.
    other: Name of the axis without scores.
    across: As for `draw_scores`.
    loc: Place of the title.
  """
  name = metric_name(rows)
  lowest, highest = _RANGES.get(rows['metric'].iloc[0], (0, 100))
  label(axis, text, *((name, other) if across else (other, name)), loc)
  low, high = axis.get_xlim() if across else axis.get_ylim()
  (axis.set_xlim if across else axis.set_ylim)(
      max(low, lowest), min(high, highest))


def legend_below(
    figure: figure_lib.Figure, columns: int,
    handles: Sequence[Any] | None = None,
) -> None:
  """Adds a legend below the panels, and the height for it.

  Args:
    figure: Figure.
    columns: Number of columns.
    handles: Entries; all labelled ones when None.
  """
  legend = figure.legend(
      handles=handles, fontsize=SIZE - 1, frameon=False,
      loc='outside lower center', ncols=columns)
  lines = -(-len(legend.get_texts()) // columns)
  figure.set_figheight(figure.get_figheight() + 0.17 * lines)


def task_name(task: str) -> str:
  """Returns the title of a task."""
  return {'cola': 'CoLA', 'sst2': 'SST-2', 'rte': 'RTE', 'mnli': 'MNLI',
          'sms_spam': 'SMS spam', 'squad': 'SQuAD', 'wnut17': 'WNUT 2017',
          'nyt_sentiment': 'NYT sentiment', 'xquad.en': 'XQuAD',
          'goemotions': 'GoEmotions'}.get(task, task.replace('_', ' '))


def metric_name(rows: pd.DataFrame) -> str:
  """Returns the metric of a task's points with its unit, for an axis."""
  metric = rows['metric'].iloc[0]
  name = {
      'accuracy': 'accuracy (%)',
      'matthews': "Matthews' corr. (×100)",
  }.get(metric, f'{tables.metric_name(metric)} (×100)')
  return f'{rows["split"].iloc[0]} {name}' if 'split' in rows else f'dev {name}'


def panel_name(rows: pd.DataFrame) -> str:
  """Returns the task of points, and base and precision unless the defaults.

  Args:
    rows: Points of a panel.
  """
  row, default = rows.iloc[0], config_lib.Config
  base, precision = row['checkpoint'], row['precision']
  where = '' if base == default.checkpoint else f' with {base}'
  how = '' if precision == default.precision else f', {precision}'
  return f'{task_name(row["task"])}{where}{how}'


def _examples(rows: pd.DataFrame) -> str:
  examples = rows['train_examples'].iloc[0]
  return f'{examples:,} examples' if examples else 'all examples'  # 0 is all.


def data_name(rows: pd.DataFrame) -> str:
  """Returns e.g. 'CoLA with mpnet-base, float32, all examples'.

  Args:
    rows: Points of a panel.
  """
  return f'{panel_name(rows)}, {_examples(rows)}'


def title_of(rows: pd.DataFrame) -> str:
  """Returns a title of two lines: the task, then its examples and seeds.

  Args:
    rows: Points of a panel.
  """
  seeds = sorted({int(n) for n in rows['seeds']})
  spread = '–'.join(str(n) for n in dict.fromkeys((seeds[0], seeds[-1])))
  plural = '' if seeds == [1] else 's'
  return f'{panel_name(rows)}\n{_examples(rows)}, {spread} seed{plural}'
