"""Makes the results table out of records.

  python -m scripts.summarize --records=experiments/results --readme=README.md

One row for each task and method, at the settings with the most seeds and, among
those, the best mean on dev. In the README it goes between two marker lines.
"""

import dataclasses
import os

from adapters_jax import options
from adapters_jax import results
from adapters_jax import summaries
from experiments import flags

BEGIN, END = '<!-- results: begin -->', '<!-- results: end -->'


@dataclasses.dataclass(frozen=True)
class Config:
  """Which records, and where to."""
  records: str = options.option(
      'experiments/results', 'Folder of records, with those below it.')
  readme: str = options.option(
      '', 'File whose lines between the markers are replaced; empty prints.')


def table(records: list[results.Record]) -> str:
  """Returns the table in Markdown, and what the records note about the data."""
  chosen = sorted(
      summaries.picked(summaries.points(records)),
      key=lambda p: (p.task, p.settings['checkpoint'],
                     -p.records[0].trained_params))
  lines = [summaries.markdown(summaries.rows(chosen)), '']
  lines += [
      'Scores in hundredths: mean ± standard error of the mean over seeds, '
      'then dev / test of the run best on dev. Of several rates the one best '
      'on dev is shown.']
  notes = {}
  for point in chosen:
    for record in point.records:
      for note in record.notes:
        notes.setdefault(note, set()).add(point.task)
  lines += [f'- {", ".join(sorted(tasks))}: {note}'
            for note, tasks in sorted(notes.items())]
  return '\n'.join(lines)


def put(text: str, new: str) -> str:
  """Returns a text with what is between the markers replaced.

  Raises:
    options.UserError: it does not have both markers.
  """
  before, begin, rest = text.partition(BEGIN)
  _, end, after = rest.partition(END)
  if not begin or not end:
    raise options.UserError(
        f'--readme: the lines {BEGIN!r} and {END!r} are needed in it')
  return f'{before}{BEGIN}\n{new}\n{END}{after}'


def main(config: Config) -> None:
  """Prints the table or writes it into the README."""
  records = list(results.read_all(config.records))
  if not records:
    raise options.UserError(f'--records: no record in {config.records}')
  if not config.readme:
    print(table(records))
    return
  if not os.path.isfile(config.readme):
    raise options.UserError(f'--readme: there is no file {config.readme}')
  with open(config.readme, encoding='utf-8') as file:
    text = put(file.read(), table(records))
  with open(config.readme, 'w', encoding='utf-8') as file:
    file.write(text)


if __name__ == '__main__':
  flags.define(Config)
  flags.start(Config, main)
