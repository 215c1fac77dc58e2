"""Texts to label: lines, or the rows of TSV, CSV and JSONL files."""

from collections.abc import Iterable, Iterator, Sequence
import contextlib
import os
import shutil
import sys
import tempfile
from typing import IO

from adapters_jax import errors
from adapters_jax.data import rows
from adapters_jax.data import tables

FORMATS = ('lines', 'tsv', 'csv', 'jsonl')
Texts = tuple[str, ...]


@contextlib.contextmanager
def opened(path: str) -> Iterator[IO[bytes]]:
  """Opens a file, or standard input for '-', to read bytes.

  Args:
    path: Path of the file.

  Raises:
    errors.UserError: the file cannot be opened.
  """
  if path == '-':
    yield sys.stdin.buffer
    return
  try:
    file = open(path, 'rb')
  except (OSError, ValueError) as error:  # ValueError: a NUL in the name.
    raise errors.UserError(f'`input`: {error}') from error
  with file:
    yield file


def read_texts(
    file: IO[bytes], path: str, form: str, names: Sequence[str],
    columns: Sequence[str] = (),
) -> Iterator[Texts]:
  """Yields the one or two texts of each input.

  Args:
    file: File open for reading bytes.
    path: Its path, '-' for standard input.
    form: One of FORMATS; '' follows the end of the name, lines otherwise.
    names: Names of the texts of an input.
    columns: Their columns in a table, in the same order; `names` when empty.

  Raises:
    errors.UserError: a fault of the input; names it and the line.
  """
  place = 'standard input' if path == '-' else path
  end = os.path.splitext(path)[1].lower().removeprefix('.')
  table = form or (end if end in FORMATS[1:] else 'lines')
  with errors.within('`input`'):
    if table == 'lines':
      if columns:
        raise errors.UserError(
            f'{place} is read as lines, without `text_columns`; give '
            '`input_format`')
      yield from _of_lines(rows.lines_of(file, place), place, names,
                           checked=not form)
      return
    if not file.seekable():  # A pipe: TSV is read twice.
      whole = tempfile.TemporaryFile()
      shutil.copyfileobj(file, whole)
      whole.seek(0)
      file = whole
    for line, row in rows.of_file(file, place, f'.{table}'):
      yield tables.texts_of(place, line, row, columns or names)


def _of_lines(
    lines: Iterable[str], place: str, names: Sequence[str], checked: bool
) -> Iterator[Texts]:
  """Yields the texts of each line, of which a tab separates two.

  Args:
    lines: Lines with their line breaks.
    place: Name of the input, for messages.
    names: Names of the texts of an input.
    checked: Whether to refuse a header, of a table without a fitting name.
  """
  for number, line in enumerate(lines, 1):
    line = line.removesuffix('\n').removesuffix('\r')
    cells = tuple(line.split('\t'))
    if checked and number == 1 and set(names) <= set(cells):
      raise errors.UserError(
          f'{place}, line 1: {line!r} is a header; give `input_format=tsv` to '
          'read its columns, or `input_format=lines`')
    if len(names) == 1:
      cells = (line,)  # A tab is a part of a single text.
    if len(cells) != len(names):
      raise errors.UserError(
          f'{place}, line {number}: {len(names)} texts separated by a tab are '
          f'needed, there {"is" if len(cells) == 1 else "are"} {len(cells)}')
    yield cells
