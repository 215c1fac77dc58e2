"""Rewrites the generated parts of the documentation from the records.

  python -m docs.generate

The figure and its caption in the README and on the first page; in results.md
the tables, the verdicts on the paper's conclusions and the figures of
ablations; in methods.md the learning rates and the settings of a training; and
the table of reliability.md. Works with any number of records; a
figure without records stays as it is. Needs the extra 'notebooks'.
"""

import os

from adapters_jax.analysis import tables
from adapters_jax.downloads import atomic
from adapters_jax.downloads import json_files
from adapters_jax.runs import records
from docs import training_tables
from experiments.analysis import composed
from experiments.analysis import conclusions
from experiments.analysis import drops
from experiments.analysis import figures
from experiments.analysis import frames
from experiments.analysis import heat_maps
from experiments.analysis import spans
from experiments.analysis import style
from scripts import summarize
from scripts.stress import table as stress_table

HERE = os.path.dirname(os.path.abspath(__file__))
README = os.path.join(HERE, os.pardir, 'README.md')
RECORDS = os.path.join(HERE, os.pardir, 'experiments', 'results')
PAGE = os.path.join(HERE, 'results.md')
METHODS = os.path.join(HERE, 'methods.md')
RELIABILITY = os.path.join(HERE, 'reliability.md')
STRESS = os.path.join(RECORDS, 'reliability.json')
DROPS = os.path.join(RECORDS, 'adapter_drop.json')
FIGURES = os.path.join(HERE, 'figures')
FIGURE = os.path.join(FIGURES, 'tradeoff.png')
SIZES, TOP_K = (8, 64), (2,)


def markers(name: str) -> tuple[str, str]:
  """Returns the lines around a generated part."""
  return f'<!-- {name}: begin -->', f'<!-- {name}: end -->'


def _save(figure: style.Drawn, path: str) -> bool:
  """Writes a figure, if there is one; returns whether."""
  if isinstance(figure, str):  # Says that there are no records.
    return False
  # Without the version of matplotlib: equal figures are equal files.
  with atomic.replacing(path) as file:
    figure.savefig(file, format='png', metadata={'Software': None})
  return True


def draw_tradeoff(path: str) -> str:
  """Draws scores against trained parameters, if there are enough records.

  Args:
    path: PNG file to write.

  Returns:
    The caption; '' without a figure.
  """
  points = frames.several(frames.tradeoff(frames.load(RECORDS)))
  if not _save(figures.tradeoff(points), path):
    return ''
  bases = ' and '.join(sorted(set(points['checkpoint'])))
  return (f'*Scores against trained parameters, {bases}: means over seeds with '
          '95 % intervals over seeds and over examples, from the records in '
          '`experiments/results`; grey: the paper, on its own bases.*')


def draw_ablations(folder: str) -> str:
  """Draws removed layers and initial deviations, where there are records.

  Args:
    folder: Folder to write `layers.png` and `deviations.png` to.

  Returns:
    The figures with their captions, as Markdown of a page in `docs/`.
  """
  runs = frames.load(RECORDS)
  drawn = {
      'layers': (
          heat_maps.draw(spans.load(RECORDS)),
          'Scores without the adapters of all layers from a row to a column, '
          'without further training: change in the mean over seeds'),
      'deviations': (
          figures.init_scales(frames.several(
              frames.at_one_rate(runs, ['init_scale']))),
          'Scores against the initial standard deviation of the adapters: '
          'means over seeds with 95 % intervals over seeds and over examples')}
  return '\n\n'.join(
      f'![{caption.split(":")[0]}](figures/{name}.png)\n\n*{caption}.*'
      for name, (figure, caption) in drawn.items()
      if _save(figure, os.path.join(folder, f'{name}.png')))


def conclusion_lines() -> str:
  """Returns the verdicts on the paper's conclusions, as Markdown."""
  return conclusions.markdown(conclusions.findings(
      frames.load(RECORDS), spans.load(RECORDS)))


def composed_lines(found: list[records.Record]) -> str:
  """Returns the tables of composed adapters and of domains, as Markdown."""
  parts = (tables.markdown(make(found)) for make in (
      composed.rows, composed.perplexities))
  return '\n\n'.join(filter(None, parts)) or 'No records yet.'


def dropped_lines(folder: str) -> str:
  """Returns the scores without the lowest layers' adapters, as Markdown.

  Args:
    folder: Folder to write `adapter_drop.png` to.
  """
  found = json_files.read(DROPS)
  _save(drops.draw(found), os.path.join(folder, 'adapter_drop.png'))
  return ('![Scores without the lowest adapters](figures/adapter_drop.png)\n\n'
          + tables.markdown(drops.rows(found)))


def rewrite(path: str, *parts: tuple[str, str]) -> None:
  """Puts generated parts into a page.

  Args:
    path: Page.
    *parts: (name of the markers, new text).
  """

  def change(text):
    for name, new in parts:
      text = summarize.put(text, new, *markers(name))
    return text

  summarize.rewrite(path, change)


def main() -> None:
  """Writes the figures and the pages."""
  if caption := draw_tradeoff(FIGURE):
    for path, folder in ((README, 'docs/figures'),
                         (os.path.join(HERE, 'index.md'), 'figures')):
      rewrite(path, ('figure', f'![Scores against trained parameters]'
                     f'({folder}/tradeoff.png)\n\n{caption}'))
  rewrite(RELIABILITY, (
      'stress', '\n'.join(stress_table.lines(json_files.read(STRESS)))))
  found = list(records.read_all(RECORDS))
  rewrite(METHODS, ('rates', training_tables.rates(found)),
          ('settings', training_tables.settings()))
  rewrite(PAGE, ('results', summarize.table(found, SIZES, TOP_K)),
          ('intervals', summarize.intervals(found, SIZES, TOP_K)),
          ('conclusions', conclusion_lines()),
          ('composed', composed_lines(found)),
          ('dropped', dropped_lines(FIGURES)),
          ('ablations', draw_ablations(FIGURES)))


if __name__ == '__main__':
  main()
