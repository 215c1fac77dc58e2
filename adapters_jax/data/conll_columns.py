"""Columns of files with a word and its tag on each line.

The first lines of a file decide on the separator and the number of columns, so
that a long file, or one that is still being written, is read as it comes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
import collections
import dataclasses
import itertools
import re

from adapters_jax import errors
from adapters_jax.data import rows

DOCUMENT = '-DOCSTART-'
# {separator of columns: its name}, from the one that decides
_SEPARATORS = {'\t': 'tabs', ' ': 'blanks', ',': 'commas', '': 'nothing'}
_FIRST = 10_000  # Lines that decide.
_ID = re.compile(r'\d+([-.]\d+)?')  # An id in CoNLL-U.
_NODE = re.compile(r'\d+[-.]\d+')  # The id of a range or an empty node.


@dataclasses.dataclass(frozen=True)
class Columns:
  """Form of the rows of a file.

  Attributes:
    separator: Separator of the columns, '' if lines hold only a word.
    width: Number of columns; 0 for a file without rows.
    numbered: Whether the first column has the ids of CoNLL-U.
  """
  separator: str
  width: int
  numbered: bool


def read(
    lines: Iterable[str], path: str, paused: Callable[[], bool] | None = None,
) -> tuple[Columns, Iterator[tuple[int, list[str]]]]:
  """Reads the columns of a file.

  Args:
    lines: Lines, with or without their line breaks.
    path: Path of the file, for messages.
    paused: Whether the next line is yet to be written. The lines before a pause
      decide, if there is a whole sentence among them.

  Returns:
    (form of the rows, (line, cells) of each; [] for a blank line). Comments,
    ranges and empty nodes are left out.

  Raises:
    errors.UserError: a row of another form; names the file and the line.
  """
  lines = iter(lines)
  first: list[str] = []
  sentence = words = False
  for line in itertools.islice(lines, _FIRST):
    first.append(_checked(path, len(first) + 1, line))
    sentence = sentence or words and not line.strip()
    words = words or bool(line.strip()) and not line.startswith(
        ('#', DOCUMENT))
    if sentence and paused and paused():
      break
  separator = _separator(first)
  cells = [_cells(line, separator) for line in first]
  width = _width(cells)
  columns = Columns(separator, width, _is_numbered(cells, width))
  return columns, _rows(columns, cells, lines, path)


def _checked(path: str, number: int, line: str) -> str:
  """Returns a line without its line break; UserError for one within it."""
  line = line.strip('\r\n')
  rows.check_return(path, number, line)
  return line


def _rows(
    columns: Columns, first: Sequence[list[str]], lines: Iterable[str],
    path: str,
) -> Iterator[tuple[int, list[str]]]:
  """Yields (line, cells) of each row and blank line.

  Args:
    columns: Form of the rows.
    first: Cells of the first lines.
    lines: Lines after them.
    path: Path of the file, for messages.
  """
  count = len(first)
  most = f'most of the first {count:,} lines'

  def later():
    for number, line in enumerate(lines, count + 1):
      line = _checked(path, number, line)
      other = _separator([line])
      # Nothing but a decision on other lines shows commas in words.
      if other.isspace() and [*_SEPARATORS].index(
          other) < [*_SEPARATORS].index(columns.separator):
        raise errors.UserError(
            f'{path}, line {number}: {_SEPARATORS[other]} in it, and '
            f'{_SEPARATORS[columns.separator]} between the columns of {most}; '
            'separate all alike')
      yield number, _cells(line, columns.separator)

  inside = False  # A sentence.
  for number, row in itertools.chain(enumerate(first, 1), later()):
    if not row or row[0].startswith(DOCUMENT):
      inside = False
      yield number, []
      continue
    if row[0].startswith('#') and len(row) != columns.width and not inside or (
        columns.numbered and _NODE.fullmatch(row[0])):
      continue
    if len(row) != columns.width:
      raise errors.UserError(
          f'{path}, line {number}: {len(row)} columns separated by '
          f'{_SEPARATORS[columns.separator]}, and '
          f'{"most lines" if number <= count else most} have {columns.width}; '
          'a word and its tag stand on a line of their own, and a blank line '
          'ends a sentence')
    inside = True
    yield number, row


def _separator(lines: Iterable[str]) -> str:
  """Returns the separator of the columns, '' if lines hold only a word."""
  if any('\t' in line.strip() for line in lines):
    return '\t'
  if any(' ' in line.strip(' ') for line in lines):
    return ' '
  # A comma may be a word, or a part of a number.
  commas = [',' in line.strip(',') for line in lines if line.strip()]
  return ',' if 2 * sum(commas) > len(commas) else ''


def _cells(line: str, separator: str) -> list[str]:
  """Returns the columns of a line, [] for a blank one."""
  if not line.strip(' \t'):
    return []
  if not separator:
    return [line]
  # Not `split()`: words may hold other white space, such as U+00A0.
  return (re.split(' +', line.strip(' ')) if separator == ' '
          else line.split(separator))


def _width(cells: Sequence[Sequence[str]]) -> int:
  """Returns the number of columns that most lines have."""
  # A short sentence may have more comments than words.
  sizes = (collections.Counter(
      len(row) for row in cells
      if row and not row[0].startswith(('#', DOCUMENT)))
           or collections.Counter(len(row) for row in cells if row))
  return sizes.most_common(1)[0][0] if sizes else 0


def _is_numbered(cells: Iterable[Sequence[str]], width: int) -> bool:
  """Returns whether the first column has the ids of CoNLL-U.

  Args:
    cells: Cells of each line.
    width: Number of columns of most lines.
  """
  return width == 10 and all(
      _ID.fullmatch(row[0]) for row in cells
      if len(row) == width and not row[0].startswith(DOCUMENT))
