"""Heat maps of removed layers (figure 6, left and centre)."""

from matplotlib import ticker
import pandas as pd

from experiments.analysis import frames
from experiments.analysis import spans as spans_lib
from experiments.analysis import style


@style.or_say('ablation_layers', lambda found: found)
def draw(found: pd.DataFrame) -> style.Drawn:
  """Draws `spans.load`, means over seeds, all tasks on one scale.

  A task whose models are not clearly above the most frequent class has no map:
  there is nothing for a layer to lose.

  Args:
    found: Spans.
  """
  groups = {panel: rows for panel, rows in found.groupby(frames.PANEL)
            if _beats_majority(rows)}
  if not groups:
    return ('No task has models above the most frequent class: there is '
            'nothing for a layer to lose.')
  tables = {panel: _table(rows) for panel, rows in groups.items()}
  lowest = min(table.min().min() for table in tables.values())
  # At least 0 at the bright end: a loss everywhere must not look like a gain.
  highest = max(0.0, *(table.max().max() for table in tables.values()))
  figure, axes = style.panels(len(groups), 3.4, 2)
  for axis, (panel, rows) in zip(axes, groups.items()):
    image = _draw_one(axis, tables[panel], lowest, highest)
    title = style.title_of(rows.assign(seeds=rows['seed'].nunique()))
    style.label(
        axis, f'{title}\n{style.metric_name(rows)}',  # A map is narrow.
        'last layer without adapters', 'first layer without adapters')
  bar = figure.colorbar(image, ax=list(axes), shrink=0.8)
  bar.set_label('change of the dev score (points)', fontsize=style.SIZE)
  bar.ax.tick_params(labelsize=style.SIZE)
  return figure


def _beats_majority(rows: pd.DataFrame) -> bool:
  found = spans_lib.above_majority(rows)
  return found.mean > 0 and not found.low <= 0  # nan for one seed.


def _table(rows: pd.DataFrame) -> pd.DataFrame:
  """Returns the mean changes, [first, last], nan below the diagonal."""
  layers = rows['layers'].iloc[0]
  return -rows.pivot_table('drop', 'first', 'last').reindex(
      index=range(layers), columns=range(layers))


def _draw_one(axis, table: pd.DataFrame, lowest: float, highest: float):
  """Draws one map with its numbers; returns its image for the colour bar."""
  layers = len(table)
  axis.grid(False)
  axis.set_facecolor('white')  # Fills the lower triangle, which has no spans.
  image = axis.imshow(table, cmap='cividis', vmin=lowest, vmax=highest)
  for one in (axis.xaxis, axis.yaxis):
    one.set_major_locator(ticker.MaxNLocator(12, integer=True))
  if layers > 12:  # No room for numbers.
    return image
  digits, size = (1, style.SIZE - 1) if layers < 8 else (0, style.SIZE - 2.5)
  for (first, last), change in table.stack().dropna().items():
    # White text is legible on the dark half of the colour map only.
    dark = change < (lowest + highest) / 2
    text = f'{round(change, digits) + 0.0:.{digits}f}'  # Avoids '-0'.
    axis.text(last, first, text.replace('-', '−'), ha='center', va='center',
              fontsize=size, color='white' if dark else 'black')
  return image
