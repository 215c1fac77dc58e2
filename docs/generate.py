"""Rewrites the generated parts of the documentation from the records.

  python -m docs.generate

The figure of the README, and in results.md the tables and the verdicts on the
paper's conclusions. Needs the extra 'notebooks'.
"""

import os

from adapters_jax.runs import records
from experiments.analysis import conclusions
from experiments.analysis import figures
from experiments.analysis import frames
from scripts import summarize

HERE = os.path.dirname(os.path.abspath(__file__))
RECORDS = os.path.join(HERE, os.pardir, 'experiments', 'results')
PAGE = os.path.join(HERE, 'results.md')
FIGURE = os.path.join(HERE, 'figures', 'tradeoff.png')
BEGIN, END = '<!-- conclusions: begin -->', '<!-- conclusions: end -->'


def draw_tradeoff(path: str) -> None:
  """Draws scores against trained parameters on film reviews, if recorded.

  Args:
    path: PNG file to write.
  """
  points = frames.tradeoff(frames.load(RECORDS))
  figure = figures.tradeoff(points[points['task'] == 'movie_sentiment'])
  if isinstance(figure, str):  # Too few records.
    return
  figure.axes[0].get_legend().set_loc((0.18, 0.03))  # Clear of the points.
  # Without the version of matplotlib: equal figures are equal files.
  figure.savefig(path, metadata={'Software': None})


def conclusion_lines() -> str:
  """Returns the verdict on each of the paper's conclusions, as Markdown."""
  return '\n'.join(conclusions.lines(
      frames.load(RECORDS), frames.load_spans(RECORDS)))


def page(text: str) -> str:
  """Returns results.md with its generated parts renewed.

  Args:
    text: Present contents, with both pairs of markers.

  Returns:
    New contents.
  """
  table = summarize.table(list(records.read_all(RECORDS)), (8, 64), (2,))
  text = summarize.put(text, table)
  before, _, rest = text.partition(BEGIN)
  _, _, after = rest.partition(END)
  return f'{before}{BEGIN}\n{conclusion_lines()}\n{END}{after}'


def main() -> None:
  """Writes the figure and the page."""
  draw_tradeoff(FIGURE)
  with open(PAGE, encoding='utf-8') as file:
    text = page(file.read())
  with open(PAGE, 'w', encoding='utf-8') as file:
    file.write(text)


if __name__ == '__main__':
  main()
