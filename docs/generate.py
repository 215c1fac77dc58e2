"""Rewrites the generated parts of the documentation from the records.

  python -m docs.generate

The figure and its caption in the README and on the first page, in results.md
the tables and the verdicts on the paper's conclusions, and the table of
reliability.md. Works with any number of records; without any, the figure
stays. Needs the extra 'notebooks'.
"""

import os

from adapters_jax.downloads import json_files
from adapters_jax.runs import records
from experiments.analysis import conclusions
from experiments.analysis import figures
from experiments.analysis import frames
from experiments.analysis import spans
from scripts import summarize
from scripts.stress import table as stress_table

HERE = os.path.dirname(os.path.abspath(__file__))
README = os.path.join(HERE, os.pardir, 'README.md')
RECORDS = os.path.join(HERE, os.pardir, 'experiments', 'results')
PAGE = os.path.join(HERE, 'results.md')
RELIABILITY = os.path.join(HERE, 'reliability.md')
STRESS = os.path.join(RECORDS, 'reliability.json')
FIGURE = os.path.join(HERE, 'figures', 'tradeoff.png')
SIZES, TOP_K = (8, 64), (2,)


def markers(name: str) -> tuple[str, str]:
  """Returns the lines around a generated part."""
  return f'<!-- {name}: begin -->', f'<!-- {name}: end -->'


def draw_tradeoff(path: str) -> str:
  """Draws scores against trained parameters, if there are enough records.

  Args:
    path: PNG file to write.

  Returns:
    The caption; '' without a figure.
  """
  points = frames.several(frames.tradeoff(frames.load(RECORDS)))
  figure = figures.tradeoff(points)
  if isinstance(figure, str):
    return ''
  # Without the version of matplotlib: equal figures are equal files.
  figure.savefig(path, metadata={'Software': None})
  bases = ' and '.join(sorted(set(points['checkpoint'])))
  return (f'*Scores against trained parameters, {bases}: means over seeds with '
          '95 % intervals, from the records in `experiments/results`; grey: '
          'the paper, on its own bases.*')


def conclusion_lines() -> str:
  """Returns the verdicts on the paper's conclusions, as Markdown."""
  return conclusions.markdown(conclusions.findings(
      frames.load(RECORDS), spans.load(RECORDS)))


def rewrite(path: str, *parts: tuple[str, str]) -> None:
  """Puts generated parts into a page.

  Args:
    path: Page.
    *parts: (name of the markers, new text).
  """
  with open(path, encoding='utf-8') as file:
    text = file.read()
  for name, new in parts:
    text = summarize.put(text, new, *markers(name))
  with open(path, 'w', encoding='utf-8') as file:
    file.write(text)


def main() -> None:
  """Writes the figure and the pages."""
  if caption := draw_tradeoff(FIGURE):
    for path, folder in ((README, 'docs/figures'),
                         (os.path.join(HERE, 'index.md'), 'figures')):
      rewrite(path, ('figure', f'![Scores against trained parameters]'
                     f'({folder}/tradeoff.png)\n\n{caption}'))
  rewrite(RELIABILITY, (
      'stress', '\n'.join(stress_table.lines(json_files.read(STRESS)))))
  found = list(records.read_all(RECORDS))
  rewrite(PAGE, ('results', summarize.table(found, SIZES, TOP_K)),
          ('intervals', summarize.intervals(found, SIZES, TOP_K)),
          ('conclusions', conclusion_lines()))


if __name__ == '__main__':
  main()
