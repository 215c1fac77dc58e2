"""Writes the tables of results from records.

  python -m scripts.summarize --records=experiments/results --readme=README.md

For each base one table for dev and one for test, with a row for each method and
a column for each task, at the settings picked with other seeds or, without such
trials, with the most seeds and the best mean on dev. In the README they are
between two marker lines.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import os

from adapters_jax.api import flags
from adapters_jax import errors
from adapters_jax.analysis import notes
from adapters_jax.analysis import points as points_lib
from adapters_jax.analysis import reported
from adapters_jax.analysis import tables
from adapters_jax.downloads import atomic
from adapters_jax.runs import identity
from adapters_jax.runs import options
from adapters_jax.runs import records as records_lib
from adapters_jax.runs import version

BEGIN, END = '<!-- results: begin -->', '<!-- results: end -->'


@dataclasses.dataclass(frozen=True)
class Config:
  """Records, and the target of the tables."""
  records: str = options.option(
      'experiments/results', 'Folder of records, with those below it.')
  readme: str = options.option(
      '', 'File whose lines between the markers are replaced; empty prints.')
  checkpoint: str = options.option(
      '', 'Base with a table, like mpnet-base; empty for all bases.')
  sizes: str = options.option('8,64', 'Adapter sizes that have a row.')
  top_k: str = options.option('2', 'Values of --top_k that have a row.')
  files: bool = options.option(
      False, 'Name the records of every row below its table.')


def numbers(text: str, flag: str) -> list[int]:
  """Parses a comma-separated list of numbers.

  Args:
    text: Numbers, like '8,64'.
    flag: Name of the flag, for the message.

  Raises:
    errors.UserError: `text` has another form.
  """
  try:
    return [int(part) for part in text.split(',')]
  except ValueError as error:
    raise errors.UserError(
        f"{flag}={text}: give numbers, like '8,64'") from error


def _each_base(
    records: list[records_lib.Record], sizes: Sequence[int],
    top_k: Sequence[int],
    lines_of: Callable[
        [str, list[points_lib.Point], list[points_lib.Point]], list[str]],
) -> str:
  """Returns the lines of every base, larger bases first, as Markdown.

  Args:
    records: Records of any runs.
    sizes: Adapter sizes to report.
    top_k: Numbers of fine-tuned layers to report.
    lines_of: (name of a base, its points to report, all points) -> lines.
  """
  if all(record.picks for record in records):  # None, or trials alone.
    return (f'There are no results of version {version.NUMBERS} yet; '
            '`scripts/reproduce.sh` trains the runs and fills this table.')
  found = points_lib.points(records)
  chosen = reported.picked(reported.headline(found, sizes, top_k))
  if not chosen:
    return ('No table: all records differ from the defaults in more than rates '
            'and epochs.')
  # Full fine-tuning first, then methods with fewer parameters.
  chosen.sort(key=lambda p: (-p.records[0].trained_params, p.task))
  return '\n\n'.join(
      '\n'.join(lines_of(base, points, found))
      for base, points in reported.by_base(chosen).items())


def table(
    records: list[records_lib.Record], sizes: Sequence[int],
    top_k: Sequence[int], checkpoint: str = '',
    files: Mapping[str, str] | None = None,
) -> str:
  """Returns the tables in Markdown, and the notes of the records.

  Args:
    records: Records of any runs.
    sizes: Adapter sizes that have a row.
    top_k: Numbers of fine-tuned layers that have a row.
    checkpoint: Base with a table; '' for all.
    files: {`identity.digest` of the settings of a record: its file} to name;
      None names none.
  """

  def lines_of(base, chosen, found):
    lines = []
    for split in ('dev', 'test'):
      # Empty where no record has labels, as on GLUE's test sets.
      if rows := tables.by_task(chosen, split):
        lines += [f'With {base}, on {split}:', '', tables.markdown(rows), '']
    lines += [
        notes.how_line(chosen), *notes.edge_lines(chosen),
        *notes.left_out_lines(found, chosen), *notes.note_lines(chosen)]
    if files is not None:
      lines += ['', 'Records:', '', *notes.file_lines(chosen, files)]
    return lines

  return _each_base(
      [record for record in records
       if checkpoint in ('', record.config['checkpoint'])],
      sizes, top_k, lines_of)


def intervals(
    records: list[records_lib.Record], sizes: Sequence[int],
    top_k: Sequence[int],
) -> str:
  """Returns tables in Markdown: intervals, and which tasks separate methods.

  Args:
    records: Records of any runs.
    sizes: Adapter sizes that have rows.
    top_k: Numbers of fine-tuned layers that have rows.
  """

  def lines_of(base, chosen, _):
    return [
        f'With {base}:', '', tables.markdown(tables.intervals(chosen)), '',
        'Can a task tell methods apart?', '',
        *(f'- {task}: {power}'
          for task, power in tables.powers(chosen).items())]

  return _each_base(records, sizes, top_k, lines_of)


def put(text: str, new: str, begin: str = BEGIN, end: str = END) -> str:
  """Returns a text with its part between the markers replaced.

  Args:
    text: Text with both markers.
    new: Replacement.
    begin: Line before the part.
    end: Line after it.

  Raises:
    errors.UserError: a marker is missing.
  """
  before, first, rest = text.partition(begin)
  # In `rest`: an end marker before the begin marker does not count.
  _, last, after = rest.partition(end)
  if not first or not last:
    raise errors.UserError(
        f'--readme: the lines {begin!r} and {end!r} are needed in it')
  return f'{before}{begin}\n{new}\n{end}{after}'


def rewrite(path: str, change: Callable[[str], str]) -> None:
  """Rewrites a page; one that cannot be written stays as it was.

  Args:
    path: Page.
    change: Returns the new text for the old one.
  """
  with open(path, encoding='utf-8') as file:
    text = change(file.read())
  with atomic.replacing(os.path.realpath(path)) as page:  # Keeps links.
    page.write(text.encode())


def main(config: Config) -> None:
  """Prints the tables or writes them into the README."""
  found = dict(records_lib.read_with_paths(config.records))
  records = list(found.values())
  if not records:
    raise errors.UserError(f'--records: no record in {config.records}')
  bases = sorted({record.config['checkpoint'] for record in records})
  if config.checkpoint and config.checkpoint not in bases:
    raise errors.UserError(
        f'--checkpoint={config.checkpoint}: no record has this base; the bases '
        f'in {config.records} are {", ".join(bases)}')
  files = {identity.digest(record.config): path
           for path, record in found.items()} if config.files else None
  text = table(records, numbers(config.sizes, '--sizes'),
               numbers(config.top_k, '--top_k'), config.checkpoint, files)
  if not config.readme:
    print(text)
    return
  if not os.path.isfile(config.readme):
    raise errors.UserError(f'--readme: there is no file {config.readme}')
  rewrite(config.readme, lambda page: put(page, text))


if __name__ == '__main__':
  flags.start(Config, main)
