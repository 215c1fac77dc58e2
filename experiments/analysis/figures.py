"""Figures of the notebooks: trade-off, deviations, rates, variants.

Every function takes points of `frames` and returns a figure, or, without any
records, a sentence on how to make them. Error bars are intervals of 95 %; of
two seeds, each has a small marker instead.
"""

from typing import Any

from matplotlib import lines
from matplotlib import ticker
import numpy as np
import pandas as pd

from adapters_jax.analysis import cells
from experiments.analysis import frames
from experiments.analysis import paper
from experiments.analysis import style

FULL = 'full fine-tuning'
# (line, filling of the markers) of the methods in `distances`.
_LOOKS = {'adapters': ('-', 'full'), 'top layers': ('--', 'none')}
_OF_BASE: dict[str, Any] = {
    'color': 'black', 'linewidth': 0.8, 'linestyle': ':'}
_CLOSE = 0.03  # Share of the axes within which markers hide each other.


def _share(found: pd.DataFrame) -> pd.Series:
  return 100 * found['trained'] / found['total']


def _draw_paper(axis, task: str, metric: str) -> str:
  """Draws the paper's scores in grey; returns their base and split, or ''."""
  source, known = paper.scores(task, metric)
  for method, (share, score) in known.items():
    axis.plot(share, score, color=style.GREY, linestyle='',
              marker=style.METHODS[method][1], markersize=4, fillstyle='none')
  return source


@style.or_say('ablation_size', frames.several)
def tradeoff(found: pd.DataFrame) -> style.Drawn:
  """Draws scores against trained parameters, of `frames.tradeoff` (fig. 4).

  The base as it is trains nothing, which has no place on a logarithmic axis:
  its score is a line across.

  Args:
    found: Points of `frames.tradeoff`.
  """
  groups = list(found.groupby(frames.PANEL))
  figure, axes = style.panels(len(groups), 2.2, 3)
  sources, used = set(), set()
  for axis, ((task, _), rows) in zip(axes, groups):
    for method, look in style.METHODS.items():
      part = rows[rows['method'] == method].sort_values('trained')
      if len(part):
        used.add(method)
        style.draw_scores(axis, _share(part), part, look)
    for score in rows[rows['method'] == frames.BASE]['score']:
      used.add(frames.BASE)
      axis.axhline(score, **_OF_BASE)
    sources.add(_draw_paper(axis, task, rows['metric'].iloc[0]))
    axis.set_xscale('log')
    axis.xaxis.set_major_formatter(ticker.FormatStrFormatter('%g'))
    # No seed changes the base: it has one.
    trained = rows[rows['method'] != frames.BASE]
    style.label_scores(
        axis, rows, style.title_of(trained), 'trained parameters (%)')
  handles = [lines.Line2D([], [], color=color, marker=marker, markersize=3.5,
                          linewidth=1, label=method)
             for method, (color, marker) in style.METHODS.items()
             if method in used]
  if frames.BASE in used:
    handles.append(lines.Line2D([], [], label=frames.BASE, **_OF_BASE))
  if said := sorted(sources - {''}):
    handles.append(lines.Line2D(
        [], [], color=style.GREY, marker='o', markersize=4, linestyle='',
        fillstyle='none', label=f'the paper: {"; ".join(said)}'))
  style.legend_below(figure, 3 if len(groups) > 1 else 2, handles)
  return figure


@style.or_say('ablation_size', frames.several)
def distances(
    found: pd.DataFrame, known: dict[tuple[Any, ...], cells.Power]
) -> style.Drawn:
  """Draws scores minus full fine-tuning's, a line for each panel (fig. 3).

  Filled markers and solid lines are adapters, hollow ones and dashed lines top
  layers; tasks without full fine-tuning are left out, and those that do not
  separate methods (`frames.power_of`) are pale.

  Args:
    found: Points of `frames.tradeoff`.
    known: Result of `frames.powers`.
  """
  wide = relative(found)
  if wide.empty:
    return 'No task has full fine-tuning and adapters or top layers yet.'
  figure, axes = style.panels(1, 2.7, 1)
  axis, handles = axes[0], []
  wide = wide.assign(size=_sizes(wide))
  points = dict(list(found.groupby(frames.PANEL)))
  for number, (panel, part) in enumerate(wide.groupby(frames.PANEL)):
    color, marker = style.task_look(number)
    tells = frames.power_of(points[panel], known).tells
    pale = 1 if tells else 0.35
    handles.append(lines.Line2D(
        [], [], color=color, marker=marker, markersize=4, linewidth=1,
        alpha=pale, label=style.panel_name(points[panel])
        + ('' if tells else ' (cannot tell)')))
    for method, (dash, fill) in _LOOKS.items():
      rows = part[part['method'] == method]
      axis.plot(rows['share'], rows['distance'], color=color, linestyle=dash,
                linewidth=1, alpha=pale)
      for _, row in rows.iterrows():
        axis.plot(row['share'], row['distance'], color=color, marker=marker,
                  markersize=row['size'], markeredgewidth=0.8, fillstyle=fill,
                  alpha=pale)
  if 'top layers' in set(wide['method']):
    handles += [
        lines.Line2D([], [], color='black', marker='o', markersize=4,
                     markeredgewidth=0.8, linewidth=1, linestyle=dash,
                     fillstyle=fill, label=method)
        for method, (dash, fill) in _LOOKS.items()]
  axis.axhline(0, color='black', linewidth=0.8, linestyle=':')
  axis.set_xscale('log')
  axis.xaxis.set_major_formatter(ticker.FormatStrFormatter('%g'))
  style.label(
      axis, 'filled: adapters, hollow: top layers', 'trained parameters (%)',
      f'score − {FULL}\n(points of the metric)')
  style.legend_below(figure, 2, handles)
  return figure


def _sizes(wide: pd.DataFrame) -> np.ndarray:
  """Returns [points] sizes of markers, larger below later ones close by.

  Args:
    wide: Result of `relative`, in the order of drawing.
  """
  places = np.stack([np.log10(wide['share']), wide['distance']])
  extent = np.maximum(np.ptp(places, axis=1), 1e-9)[:, None, None]
  apart = np.abs(places[:, :, None] - places[:, None, :]) / extent
  later = np.triu((apart < _CLOSE).all(axis=0), 1).sum(axis=1)
  return 4 + 3.5 * later


def relative(found: pd.DataFrame) -> pd.DataFrame:
  """Returns adapters and top layers relative to full fine-tuning.

  Args:
    found: Points of `frames.tradeoff`.

  Returns:
    PANEL of `frames`, 'method', 'share' of trained parameters in per cent and
    'distance' to full fine-tuning's score, sorted by share.
  """
  full = found[found['method'] == FULL]
  rest = found[found['method'].isin(('adapters', 'top layers'))].merge(
      full[[*frames.PANEL, 'score']], on=frames.PANEL, suffixes=('', '_full'))
  return rest.assign(
      share=_share(rest), distance=rest['score'] - rest['score_full'])[
          [*frames.PANEL, 'method', 'share', 'distance']].sort_values(
              [*frames.PANEL, 'method', 'share'])


@style.or_say('ablation_init', frames.several)
def init_scales(found: pd.DataFrame) -> style.Drawn:
  """Draws scores against the initial deviation, a panel a task (fig. 6)."""
  groups = list(found.groupby(frames.PANEL))
  figure, axes = style.panels(len(groups), 2.0, 2)
  for number, (axis, (_, rows)) in enumerate(zip(axes, groups)):
    rows = rows.sort_values('init_scale')
    style.draw_scores(axis, rows['init_scale'], rows, style.task_look(number))
    axis.set_xscale('log')
    axis.axvline(0.01, color='black', linewidth=0.8, linestyle=':')
    style.label_scores(axis, rows, style.title_of(rows),
                       'initial standard deviation σ (dotted: default)')
  return figure


@style.or_say('ablation_learning_rate', frames.several_rates)
def learning_rates(
    found: pd.DataFrame, known: dict[tuple[Any, ...], cells.Power]
) -> style.Drawn:
  """Draws scores against rates, for tasks that separate methods (appendix B).

  Args:
    found: Points of `frames.learning_rates`.
    known: Result of `frames.powers`.
  """
  found = found.groupby(frames.PANEL).filter(
      lambda rows: frames.power_of(rows, known).tells)
  groups = list(found.groupby(frames.PANEL))
  if not groups:
    return ('None of the tasks with these records can tell methods apart: full '
            'fine-tuning is not clearly more than a point above the head alone '
            'and the most frequent class.')
  figure, axes = style.panels(len(groups), 2.0, 2)
  for axis, (_, rows) in zip(axes, groups):
    for method in ('adapters', FULL):
      part = rows[rows['method'] == method].sort_values('learning_rate')
      style.draw_scores(axis, part['learning_rate'], part,
                        style.METHODS[method],
                        label=method if axis is axes[0] else None)
    axis.set_xscale('log')
    style.label_scores(axis, rows, style.title_of(rows), 'peak learning rate')
  style.legend_below(figure, 2)
  return figure


def bars(
    found: pd.DataFrame, column: str, first: str, script: str
) -> style.Drawn:
  """Draws a dot with its interval for each name in a column.

  Args:
    found: Points with that column.
    column: Column of the names.
    first: Name at the top, whose score is the dotted line.
    script: Name of the script that makes the records.

  Returns:
    The figure, or a sentence without any points.
  """

  @style.or_say(script, frames.several)
  def draw(found):
    groups = list(found.groupby(frames.PANEL))
    figure, axes = style.panels(
        len(groups), 0.65 + 0.16 * found.groupby(frames.PANEL).size().max(), 2)
    for number, (axis, (_, rows)) in enumerate(zip(axes, groups)):
      rows = rows.sort_values('score')
      rows = pd.concat([rows[rows[column] != first], rows[rows[column] == first]
                        ]).reset_index()  # The last row is at the top.
      style.draw_scores(axis, rows.index, rows, style.task_look(number),
                        across=True, linestyle='')
      axis.set_yticks(rows.index, rows[column])
      axis.set_ylim(-0.5, len(rows) - 0.5)
      for score in rows[rows[column] == first]['score']:
        axis.axvline(score, color='black', linewidth=0.8, linestyle=':')
      style.label_scores(
          axis, rows, style.title_of(rows), across=True, loc='right')
    return figure

  return draw(found)
