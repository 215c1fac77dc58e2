"""Quotes around the cells of CSV, and of TSV as pandas writes it."""

from collections.abc import Iterable, Iterator, Sequence
import csv
import sys
import threading
from typing import Any

from adapters_jax import errors

# Stands for a carriage return within a line while `csv` reads it, since `csv`
# would end the row. No text of a UTF-8 file contains it: it is a surrogate.
_RETURN = '\udc0d'
_CSV_LIMIT = threading.Lock()


def cells_of(
    path: str, lines: Iterable[str], separator: str
) -> Iterator[tuple[int, list[str]]]:
  """Yields (line, cells) of a file with quoting.

  Args:
    path: Path of the file, for messages.
    lines: Lines with their line breaks.
    separator: Character between two cells.

  Raises:
    errors.UserError: wrong quoting; names the file and the line.
  """
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


def is_quoted(path: str, lines: Iterable[str]) -> bool:
  """Returns whether the cells of a TSV file are quoted as in CSV.

  A quote may be part of a cell's text, as in GLUE's files, or enclose it, as in
  files of pandas. Quotes enclose cells if all names in the header are quoted;
  or if, in the whole file, exactly those cells are quoted that need it: cells
  with a quote, which is doubled, a tab or a line break.

  Args:
    path: Path of the file, for messages.
    lines: All lines of the file, with their line breaks.

  Raises:
    errors.UserError: a quotation that spans lines, each of which may be a row.
  """
  taken: list[str] = []

  def kept() -> Iterator[str]:
    for line in lines:
      taken.append(line)
      yield line

  reader, header, found = _reader(kept(), '\t'), True, False
  tabs: set[int] = set()  # Numbers of tabs in a line.
  spanning = 0  # First line of the first row of several lines.
  try:
    while (cells := _next(reader)) is not None:
      if len(taken) > 1:
        spanning = spanning or reader.line_num - len(taken) + 1
      tabs.update(line.count('\t') for line in taken if line.strip('\r\n'))
      text = ''.join(taken).removesuffix('\n').removesuffix('\r')
      taken.clear()
      if '"' in text:
        cells = [cell.replace(_RETURN, '\r') for cell in cells]
        found = True
        if header and text == quote_row(cells, None):
          return True
        # Some writers do not count a carriage return as a line break.
        if text not in (quote_row(cells, '"\t\n'),
                        quote_row(cells, '"\t\n\r')):
          return False
      header = header and not cells
  except csv.Error:
    return False
  if spanning and len(tabs) == 1:  # Without quoting, it is a table, too.
    raise errors.UserError(
        f'{path}, line {spanning}: a quoted cell of several lines, or rows '
        'with loose quotes? Quote all cells, those of the header too, or '
        'remove the quotes around this one')
  return found


def quote_row(cells: Sequence[str], special: str | None = '"\t\n\r') -> str:
  """Returns a row of TSV with quotes that `is_quoted` recognises.

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
