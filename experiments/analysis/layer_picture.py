"""Drawing of a Transformer layer with its two adapters (Houlsby et al., 2019).

The places are those of figure 2 of the paper: after the attention and after
the feed-forward sublayer, each before the residual sum and the layer norm.
"""

from matplotlib import figure as figure_lib
from matplotlib import patches

from experiments.analysis import style

_TRAINED, _FROZEN, _LINE = '#F0B27A', '#E3E3E3', '#333333'
_LEFT, _RIGHT = 2.6, 7.6  # Centres of the layer and of the adapter.


def draw(dim: int = 384, size: int = 16) -> figure_lib.Figure:
  """Draws a layer, read from the bottom up, and one of its adapters enlarged.

  Args:
    dim: Width of the encoder.
    size: Width of the bottleneck.
  """
  figure = figure_lib.Figure(
      figsize=(style.PAGE, 4.6), dpi=130, layout='constrained')
  axis = figure.subplots()
  axis.set(xlim=(0, 10.4), ylim=(-0.9, 9.5))
  axis.axis('off')
  _draw_layer(axis)
  _draw_adapter(axis, dim, size)
  axis.legend(
      handles=[patches.Patch(facecolor=color, edgecolor=_LINE, label=text)
               for color, text in (
                   (_TRAINED, 'trained for each task, like the head'),
                   (_FROZEN, 'frozen, shared by all tasks'))],
      loc='lower right', fontsize=style.SIZE, frameon=False)
  return figure


def _draw_layer(axis) -> None:
  """Draws the two sublayers, each with an adapter, a sum and a norm."""
  axis.add_patch(patches.Rectangle(
      (0.55, 0.15), 4.3, 8.35, fill=False, edgecolor=style.GREY,
      linestyle='--', linewidth=0.8))
  axis.text(0.6, 8.6, 'Transformer layer', fontsize=style.SIZE,
            color='#666666')
  for bottom, start, name in (
      (0.0, -0.5, 'attention'), (4.1, 3.7, 'feed-forward')):
    _arrow(axis, _LEFT, start, bottom + 0.7)
    _box(axis, bottom + 0.7, name, _FROZEN)
    _arrow(axis, _LEFT, bottom + 1.4, bottom + 1.7)
    _box(axis, bottom + 1.7, 'adapter', _TRAINED)
    _arrow(axis, _LEFT, bottom + 2.4, bottom + 2.63)
    _sum(axis, _LEFT, bottom + 2.8)
    _skip(axis, _LEFT, bottom + 0.4, bottom + 2.8)
    _arrow(axis, _LEFT, bottom + 2.97, bottom + 3.2)
    _box(axis, bottom + 3.2, 'layer norm', _TRAINED, height=0.5)
  _arrow(axis, _LEFT, 7.8, 9.0)
  axis.text(_LEFT, 9.1, 'to the next layer, or to the head', ha='center',
            fontsize=style.SIZE)
  axis.text(_LEFT, -0.75, 'from the layer below', ha='center',
            fontsize=style.SIZE)


def _draw_adapter(axis, dim: int, size: int) -> None:
  """Draws the inside of an adapter."""
  axis.add_patch(patches.Rectangle(
      (5.55, 2.15), 4.6, 5.35, fill=False, edgecolor=style.GREY,
      linestyle='--', linewidth=0.8))
  axis.text(5.6, 7.6, 'adapter', fontsize=style.SIZE, color='#666666')
  for bottom in (1.7, 5.8):  # From the boxes of the layer.
    axis.plot([4.05, 5.55], [bottom + 0.35, min(bottom + 0.35, 5.0)],
              color=style.GREY, linestyle=':', linewidth=1)
  _arrow(axis, _RIGHT, 1.5, 3.0)
  _trapezium(axis, 3.0, 3.9, wide_below=True)
  _arrow(axis, _RIGHT, 3.9, 4.2)
  _box(axis, 4.2, 'GELU', 'white', height=0.5, width=1.0, centre=_RIGHT)
  _arrow(axis, _RIGHT, 4.7, 5.0)
  _trapezium(axis, 5.0, 5.9, wide_below=False)
  _arrow(axis, _RIGHT, 5.9, 6.43)
  _sum(axis, _RIGHT, 6.6)
  _skip(axis, _RIGHT, 2.6, 6.6)
  _arrow(axis, _RIGHT, 6.77, 8.0)
  axis.text(_RIGHT, 8.1, 'close to its input before training', ha='center',
            fontsize=style.SIZE)
  for height, text in ((3.45, f'down: {dim} → {size}'),
                       (5.45, f'up: {size} → {dim}')):
    axis.text(_RIGHT, height, text, ha='center', va='center',
              fontsize=style.SIZE)


def _box(
    axis, bottom: float, text: str, color: str, height: float = 0.7,
    width: float = 2.9, centre: float = _LEFT,
) -> None:
  axis.add_patch(patches.FancyBboxPatch(
      (centre - width / 2, bottom), width, height, facecolor=color,
      boxstyle='round,pad=0,rounding_size=0.08', edgecolor=_LINE,
      linewidth=0.9))
  axis.text(centre, bottom + height / 2, text, ha='center', va='center',
            fontsize=style.SIZE + 0.5)


def _trapezium(axis, bottom: float, top: float, *, wide_below: bool) -> None:
  wide, narrow = 1.45, 0.75
  below, above = (wide, narrow) if wide_below else (narrow, wide)
  axis.add_patch(patches.Polygon(
      [(_RIGHT - below, bottom), (_RIGHT + below, bottom),
       (_RIGHT + above, top), (_RIGHT - above, top)],
      facecolor=_TRAINED, edgecolor=_LINE, linewidth=0.9))


def _sum(axis, x: float, y: float) -> None:
  axis.add_patch(patches.Ellipse(
      (x, y), 0.36, 0.34, facecolor='white', edgecolor=_LINE, linewidth=0.9))
  axis.text(x, y - 0.015, '+', ha='center', va='center', fontsize=style.SIZE)


def _arrow(axis, x: float, start: float, end: float) -> None:
  axis.annotate('', (x, end), (x, start), arrowprops={
      'arrowstyle': '-|>,head_width=0.15,head_length=0.3', 'color': _LINE,
      'linewidth': 0.9, 'shrinkA': 0, 'shrinkB': 0})


def _skip(axis, x: float, start: float, end: float) -> None:
  """Draws a residual connection.

  Args:
    axis: Axes.
    x: Place of the path that it leaves and joins.
    start: Height of its start.
    end: Height of the sum.
  """
  aside = x - 1.75
  axis.plot([x, aside, aside], [start, start, end], color=_LINE,
            linewidth=0.9)
  axis.annotate('', (x - 0.18, end), (aside, end), arrowprops={
      'arrowstyle': '-|>,head_width=0.15,head_length=0.3', 'color': _LINE,
      'linewidth': 0.9, 'shrinkA': 0, 'shrinkB': 0})
