"""Rows of TSV, CSV and JSONL files, each with the line that it begins in.

A file is read as it is stored, or refused with the number of the line: no cell
is dropped, joined or decoded by a guess.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
import csv
import json
import logging
import os
import sys
import threading
from typing import IO, Any

from adapters_jax import errors

_log = logging.getLogger(__name__)

FORMATS = ('.tsv', '.csv', '.jsonl')
Row = tuple[int, Mapping[str, object]]  # (line, {column: value})

_SEPARATORS = {'.tsv': '\t', '.csv': ','}
_NAMES = {'\t': 'tabs', ',': 'commas', ';': 'semicolons', '|': 'bars'}
# Byte order marks of other encodings, in the order in which they are tried:
# UTF-32's begins with UTF-16's.
_MARKS = ((b'\xff\xfe\0\0', 'UTF-32'), (b'\0\0\xfe\xff', 'UTF-32'),
          (b'\xff\xfe', 'UTF-16'), (b'\xfe\xff', 'UTF-16'))
# Stands for a carriage return within a line while `csv` reads it, since `csv`
# would end the row. No text of a UTF-8 file contains it: it is a surrogate.
_RETURN = '\udc0d'
_CSV_LIMIT = threading.Lock()


def form_of(path: str) -> str:
  """Returns the format of a file, one of FORMATS; UserError for others."""
  form = os.path.splitext(path)[1].lower()
  if form not in FORMATS:
    raise errors.UserError(
        f'{path}: the name must end in {", ".join(FORMATS)}')
  return form


def lines_of(file: IO[bytes], path: str) -> Iterator[str]:
  """Yields the lines of a UTF-8 file, each with its line break.

  A line ends with a line feed alone, unlike in Python's text files, where a
  carriage return within a text would end it too.

  Args:
    file: File open for reading bytes.
    path: Path of the file, for messages.

  Raises:
    errors.UserError: bytes that are not UTF-8, or a NUL.
  """
  for number, line in enumerate(file, 1):
    if number == 1:
      for mark, name in _MARKS:
        if line.startswith(mark):
          raise errors.UserError(
              f'{path}: the text is in {name}; save it in UTF-8')
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
    path: A .tsv or .csv file with a header, or a .jsonl file.

  Raises:
    errors.UserError: a fault of the file; names it and the line.
  """
  form = form_of(path)
  try:
    with open(path, 'rb') as file:
      yield from of_file(file, path, form)
  except OSError as error:
    raise errors.UserError(f'{path}: cannot be read ({error})') from error


def of_file(file: IO[bytes], path: str, form: str) -> Iterator[Row]:
  """Yields the rows of an open file.

  CSV is quoted as in RFC 4180. TSV has no quoting, as in GLUE, unless the whole
  file is quoted as the writers of Python's csv and of pandas do.

  Args:
    file: File open for reading bytes, at its start; a TSV file is read twice.
    path: Path of the file, for messages.
    form: Format, one of FORMATS.

  Raises:
    errors.UserError: a fault of the file; names it and the line.
  """
  quoted = form == '.csv'
  if form == '.tsv':
    quoted = _is_quoted(lines_of(file, path))
    file.seek(0)
  lines = lines_of(file, path)
  if form == '.jsonl':
    yield from _json_rows(path, lines)
  else:
    cells = (_quoted_cells(path, lines, _SEPARATORS[form]) if quoted
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


def _quoted_cells(
    path: str, lines: Iterable[str], separator: str
) -> Iterator[tuple[int, list[str]]]:
  """Yields (line, cells) of a file with quoting."""
  reader = _reader(lines, separator)
  while True:
    number = reader.line_num + 1  # A row may end in a later line.
    try:
      cells = _next(reader)
    except csv.Error as error:
      raise errors.UserError(
          f'{path}, line {number}: the quoting is wrong ({error}); put a cell '
          'with quotes in quotes and double those in it') from error
    if cells is None:
      return
    if cells:  # Not a blank line.
      yield number, [cell.replace(_RETURN, '\r') for cell in cells]


def _reader(lines: Iterable[str], separator: str) -> Any:
  """Returns csv's reader of lines that may have carriage returns in them."""
  return csv.reader(
      (line[:-2].replace('\r', _RETURN) + line[-2:]
       if line.endswith('\r\n') else line.replace('\r', _RETURN)
       for line in lines), delimiter=separator, strict=True)


def _next(reader: Any) -> list[str] | None:
  """Returns the next row of csv's reader, however long its cells; or None."""
  # The limit, 131,072 characters by default, belongs to the whole process.
  with _CSV_LIMIT:
    before = csv.field_size_limit(sys.maxsize)
    try:
      return next(reader, None)
    finally:
      csv.field_size_limit(before)


def _is_quoted(lines: Iterable[str]) -> bool:
  """Whether the cells of a TSV file are quoted as in CSV.

  A quote in a cell may be a part of the text, as in GLUE's files, or around it,
  as in those of pandas. It is around it if a header says so, all of whose names
  are in quotes; or if in the whole file those cells are in quotes, and only
  those, that need it: with a quote, which is doubled, a tab or a line break.
  """
  taken: list[str] = []

  def kept() -> Iterator[str]:
    for line in lines:
      taken.append(line)
      yield line

  reader, header, found = _reader(kept(), '\t'), True, False
  try:
    while (cells := _next(reader)) is not None:
      text = ''.join(taken).removesuffix('\n').removesuffix('\r')
      taken.clear()
      if '"' in text:
        cells = [cell.replace(_RETURN, '\r') for cell in cells]
        found = True
        if header and text == written(cells, None):
          return True
        # Some writers do not count a carriage return as a line break.
        if text not in (written(cells, '"\t\n'), written(cells, '"\t\n\r')):
          return False
      header = header and not cells
  except csv.Error:
    return False
  return found


def written(cells: Sequence[str], special: str | None = '"\t\n\r') -> str:
  """Returns a row of TSV with the quotes that `read` understands.

  Args:
    cells: Cells of the row.
    special: Characters that need quotes around the cell; None for quotes around
      every cell.

  Returns:
    The line, without its line break.
  """
  return '\t'.join(
      '"' + cell.replace('"', '""') + '"'
      # A row of a single empty cell would be a blank line.
      if special is None or set(special) & set(cell) or cells == ['']
      else cell for cell in cells)


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
