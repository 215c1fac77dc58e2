"""Rows of TSV, CSV, JSONL and Parquet files, and the line where each begins.

A file is read as it is stored, or refused with the number of the line: no cell
is dropped, joined or decoded by a guess.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
import json
import logging
import os
from typing import IO

from adapters_jax import errors
from adapters_jax.data import parquet
from adapters_jax.data import progress
from adapters_jax.data import quoting

_log = logging.getLogger(__name__)

FORMATS = ('.tsv', '.csv', '.jsonl', '.parquet')
# (line, {column: value}); of Parquet the number of the row, from 1.
Row = tuple[int, Mapping[str, object]]

_SEPARATORS = {'.tsv': '\t', '.csv': ','}
_NAMES = {'\t': 'tabs', ',': 'commas', ';': 'semicolons', '|': 'bars'}
# Byte order marks of other encodings. UTF-32 is tried first, as its mark begins
# with that of UTF-16.
_MARKS = ((b'\xff\xfe\0\0', 'UTF-32'), (b'\0\0\xfe\xff', 'UTF-32'),
          (b'\xff\xfe', 'UTF-16'), (b'\xfe\xff', 'UTF-16'))
# First bytes of compressed files; their formats, and programs that unpack them.
_COMPRESSED = (
    (b'\x1f\x8b', 'gzip', 'gunzip'), (b'\xfd7zXZ\0', 'xz', 'unxz'),
    (b'BZh91AY&SY', 'bzip2', 'bunzip2'), (b'(\xb5/\xfd', 'zstd', 'unzstd'),
    (b'PK\x03\x04', 'zip, as .xlsx is too', 'unzip'))


def _form_of(path: str) -> str:
  """Returns the format of a file, one of FORMATS; UserError for others."""
  form = os.path.splitext(path)[1].lower()
  if form not in FORMATS:
    raise errors.UserError(
        f'{path}: the name must end in {", ".join(FORMATS)}')
  return form


def check_start(start: bytes, path: str) -> None:
  """Raises UserError if the first bytes of a file show that it is not UTF-8.

  Args:
    start: First bytes of the file, 16 or more where it has them.
    path: Path of the file, for messages.
  """
  for mark, name in _MARKS:
    if start.startswith(mark):
      raise errors.UserError(
          f'{path}: the text is in {name}; save it in UTF-8')
  for mark, name, program in _COMPRESSED:
    if start.startswith(mark):
      raise errors.UserError(
          f'{path}: the file is compressed ({name}); unpack it first, with '
          f'`{program}`')


def check_return(path: str, line: int, text: str) -> None:
  """Raises UserError for a carriage return within a line.

  Args:
    path: Path of the file, for messages.
    line: Line, for messages.
    text: The line, with or without its line break.
  """
  if '\r' in text.strip('\r\n'):
    raise errors.UserError(
        f'{path}, line {line}: lines end with a carriage return alone; end '
        'them with a line feed')


def lines_of(file: IO[bytes], path: str) -> Iterator[str]:
  """Yields the lines of a UTF-8 file, each with its line break.

  A line ends with a line feed alone, unlike in Python's text files, where a
  carriage return within a text would end it too.

  Args:
    file: File open for reading bytes.
    path: Path of the file, for messages.

  Raises:
    errors.UserError: bytes that are not UTF-8, a NUL, or a compressed file.
  """
  for number, line in enumerate(file, 1):
    if number == 1:
      check_start(line, path)
    try:
      # Marks are left where files that begin with one were joined.
      text = line.decode('utf-8')
      text = text.lstrip('\ufeff') if number == 1 else text
    except UnicodeDecodeError as error:
      byte = line[error.start]
      raise errors.UserError(
          f'{path}, line {number}: byte 0x{byte:02x} is not UTF-8; convert the '
          f'file, from Latin-1 with `iconv -f latin1 -t utf-8 {path}`'
      ) from error
    if '\0' in text:
      raise errors.UserError(
          f'{path}, line {number}: there is a NUL byte, as in files in UTF-16 '
          'or cut off while they were written; save the text in UTF-8')
    yield text


def read(path: str) -> Iterator[Row]:
  """Yields (line, {column: value}) for each row of a file.

  Args:
    path: A .tsv or .csv file with a header, a .jsonl or a .parquet file.

  Raises:
    errors.UserError: a fault of the file; names it and the line.
  """
  form = _form_of(path)
  try:
    with open(path, 'rb') as file:
      yield from progress.logged(
          of_file(file, path, form), 'read', f'rows of {path}')
  except OSError as error:
    raise errors.UserError(f'{path}: cannot be read ({error})') from error


def of_file(file: IO[bytes], path: str, form: str) -> Iterator[Row]:
  """Yields the rows of an open file.

  CSV is quoted as in RFC 4180. TSV has no quoting, as in GLUE, unless the whole
  file is quoted as the writers of Python's csv and of pandas do.

  Args:
    file: File open for reading bytes, whose rows begin at its position; a TSV
      file is read twice from there, Parquet in jumps.
    path: Path of the file, for messages.
    form: Format, one of FORMATS.

  Raises:
    errors.UserError: a fault of the file; names it and the line.
  """
  if form == '.parquet':
    yield from parquet.rows_of(file, path)
    return
  quoted = form == '.csv'
  if form == '.tsv':
    start = file.tell()  # Redirected input may have been read in part.
    quoted = quoting.is_quoted(path, lines_of(file, path))
    file.seek(start)
  lines = lines_of(file, path)
  if form == '.jsonl':
    yield from _json_rows(path, lines)
  else:
    cells = (quoting.cells_of(path, lines, _SEPARATORS[form]) if quoted
             else _plain_cells(path, lines))
    yield from _with_header(path, cells, form)


def _with_header(
    path: str, rows: Iterable[tuple[int, Sequence[str]]], form: str
) -> Iterator[Row]:
  """Yields rows by column; the first one holds the columns' names."""
  header = None
  for number, cells in rows:
    if header is None:
      header = cells
      _check_header(path, header, form)
    elif len(cells) != len(header):
      way = ('quote cells that contain commas or line breaks' if form == '.csv'
             else 'a text must not contain tabs or line breaks, unless all '
             'such cells are quoted as in CSV')
      raise errors.UserError(
          f'{path}, line {number}: {_count(len(cells))}, but the header has '
          f'{len(header)}; {way}')
    else:
      yield number, dict(zip(header, cells))


def _count(columns: int) -> str:
  return f'{columns} column' + 's' * (columns != 1)


def _check_header(path: str, header: Sequence[str], form: str) -> None:
  """Raises UserError for a header that is not one row of distinct names."""
  for name in header:
    if '\r' in name:
      raise errors.UserError(
          f'{path}, line 1: lines end with a carriage return alone; end them '
          'with a line feed')
    if header.count(name) > 1:
      raise errors.UserError(
          f'{path}, line 1: there are {header.count(name)} columns '
          f'{name!r}; rename or remove all but one')
  own = _SEPARATORS[form]
  for other, word in _NAMES.items():
    if len(header) == 1 and other != own and other in header[0]:
      right = [end for end, separator in _SEPARATORS.items()
               if separator == other]
      way = f'name it {right[0]}' if right else 'replace them'
      raise errors.UserError(
          f'{path}, line 1: {word} separate the columns of {header[0]!r}, '
          f'{_NAMES[own]} those of a {form} file; {way}')


def _plain_cells(
    path: str, lines: Iterable[str]
) -> Iterator[tuple[int, list[str]]]:
  """Yields (line, cells) of a TSV file without quoting."""
  told = False
  for number, line in enumerate(lines, 1):
    line = line.removesuffix('\n').removesuffix('\r')
    if not line:  # A row of empty cells has tabs.
      continue
    cells = line.split('\t')
    if not told and any(_looks_quoted(cell) for cell in cells):
      told = True
      _log.warning(
          '%s, line %d: the quotes around a text and the doubled ones in it '
          'are read as a part of it, since other lines are not quoted so; '
          'quote all as in CSV, or none', path, number)
    yield number, cells


def _looks_quoted(cell: str) -> bool:
  inner = cell[1:-1]
  return (len(cell) > 3 and cell[0] == cell[-1] == '"' and '""' in inner
          and '"' not in inner.replace('""', ''))


def _json_rows(path: str, lines: Iterable[str]) -> Iterator[Row]:
  """Yields the rows of a JSONL file."""
  for number, line in enumerate(lines, 1):
    if not line.strip():
      continue

    def distinct(pairs):
      row = dict(pairs)
      if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise errors.UserError(
            f'{path}, line {number}: the key {twice!r} is there '
            f'{names.count(twice)} times; remove all but one')
      return row

    try:
      row = json.loads(line, object_pairs_hook=distinct)
    except errors.UserError:  # Is a ValueError too.
      raise
    except (ValueError, RecursionError) as error:
      # A JSONDecodeError has lines of its own, those of the one row.
      reason = (f'{error.msg} at character {error.pos + 1}' if isinstance(
          error, json.JSONDecodeError) else error)
      raise errors.UserError(
          f'{path}, line {number}: not JSON ({reason}); write one object a line'
      ) from error
    if not isinstance(row, dict):
      raise errors.UserError(
          f'{path}, line {number}: a JSON object is needed, such as '
          '{"sentence": "A text.", "label": "good"}')
    yield number, row
