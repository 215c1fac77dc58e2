"""Tagged sentences: files with a word and its tag on each line, or JSONL.

A blank line ends a sentence. Columns are separated by tabs; in files without
tabs by spaces; in files without either by commas, if most lines have one: the
first 10,000 lines decide.
Comments (lines that begin with # and have another number of columns) and lines
of -DOCSTART- are left out. So are the ranges and empty nodes of CoNLL-U, whose
files have ten columns and ids in the first.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
import dataclasses
import itertools
import os
import re
from typing import Any

from adapters_jax import errors
from adapters_jax.data import conll_columns
from adapters_jax.data import progress
from adapters_jax.data import rows
from adapters_jax.data import tables

# Defaults of the settings, which mean the first and the last column.
_WORDS, _TAGS = ('', 'sentence'), ('', 'label')
# Names of the columns of JSONL, in the order in which they are tried.
_JSON_WORDS, _JSON_TAGS = ('words', 'tokens'), ('tags', 'labels')


@dataclasses.dataclass(frozen=True)
class Sentence:
  """Words of a sentence and the tag of each.

  Attributes:
    words: Words.
    tags: Tag of each; () if unknown.
    line: Line of the file in which the sentence begins; for data in memory, the
      index of the sentence.
  """
  words: tuple[str, ...]
  tags: tuple[str, ...] = ()
  line: int = 0


def read(
    path: str, word_column: str = '', tag_column: str = ''
) -> list[Sentence]:
  """Returns the tagged sentences of a file.

  Args:
    path: A .jsonl or .parquet file with a list of words and one of tags in each
      row, or a file of columns under any other name.
    word_column: Number of the column of the words, from 1, or negative from the
      last; for files of rows its name. The default is the first, or 'words'.
    tag_column: The same for the tags. The default is the last, or 'tags'.

  Raises:
    errors.UserError: a fault of the file; names it and the line.
  """
  if os.path.splitext(path)[1].lower() in ('.jsonl', '.parquet'):
    found = [of_object(row, path, line, word_column, tag_column, tagged=True)
             for line, row in rows.read(path)]
  else:
    try:
      with open(path, 'rb') as file:
        lines = progress.logged(
            rows.lines_of(file, path), 'read', f'lines of {path}')
        found = [*of_lines(lines, path, word_column, tag_column)]
    except OSError as error:
      raise errors.UserError(
          f'{path} cannot be read ({error.strerror})') from error
  if not found:
    raise errors.UserError(f'{path}: no sentences in it')
  return found


def of_lines(
    lines: Iterable[str], path: str, word_column: str = '',
    tag_column: str = '', *, tagged: bool = True,
    paused: Callable[[], bool] | None = None,
) -> Iterator[Sentence]:
  """Yields the sentences of lines of columns.

  Args:
    lines: Lines, with or without their line breaks.
    path: Path of the file, for messages.
    word_column: Column of the words; see `read`.
    tag_column: Column of the tags; see `read`.
    tagged: Whether the tags are needed.
    paused: As for `conll_columns.read`.

  Raises:
    errors.UserError: as of `read`.
  """
  first = _number('text_columns', word_column, _WORDS, 0)
  last = _number('label_column', tag_column, _TAGS, -1)
  columns, found = conll_columns.read(lines, path, paused)
  if columns.numbered and word_column in _WORDS:
    raise errors.UserError(
        f'{path}: the first column has ids, as in CoNLL-U; name others with '
        '`text_columns=2`' + ' and `label_column=4`' * tagged)
  start, words, tags = 0, [], []
  for line, row in itertools.chain(found, [(0, [])]):
    if not row:
      if words:
        yield Sentence(tuple(words), tuple(tags), start)
      words, tags = [], []
      continue
    word = _cell(path, line, row, first, 'text_columns')
    if not words:
      start = line
    words.append(word)
    if tagged:
      tags.append(_cell(path, line, row, last, 'label_column'))
      if first % len(row) == last % len(row):
        raise errors.UserError(
            f'{path}, line {line}: column {first % len(row) + 1} holds words '
            'and tags; give `text_columns` and `label_column`, such as 1 and 2')


def is_tagged(line: str, classes: Collection[str]) -> bool:
  """Returns whether a line looks like one of columns, not of a text.

  Args:
    line: Line with text.
    classes: Tags of a tagger.
  """
  _, *cells = re.split('[\t ,]+', line.strip())
  # A text may end with punctuation, which is a tag too in the Penn Treebank.
  return line.startswith(conll_columns.DOCUMENT) or bool(
      cells and cells[-1] in classes and any(map(str.isalnum, cells[-1])))


def _number(
    setting: str, column: str, defaults: Sequence[str], number: int
) -> int:
  """Returns the index of a column, negative from the last.

  Args:
    setting: Name of the setting, for messages.
    column: Its value.
    defaults: Values that stand for `number`.
    number: Index of the column without a setting.

  Raises:
    errors.UserError: a value that is no number of a column.
  """
  if column in defaults:
    return number
  try:
    value = int(column)
  except ValueError:
    value = 0
  if not value:
    raise errors.UserError(
        f'`{setting}={column}`: give the number of a column, 1 for the first '
        'or -1 for the last')
  return value - 1 if value > 0 else value


def _cell(
    path: str, line: int, row: Sequence[str], column: int, setting: str
) -> str:
  """Returns a cell; UserError for an absent or empty one.

  Args:
    path: Path of the file.
    line: Line of the row.
    row: Cells.
    column: Index of the column.
    setting: Setting that names the column.
  """
  if not -len(row) <= column < len(row):
    raise errors.UserError(
        f'{path}, line {line}: {len(row)} columns, without the one of '
        f'`{setting}={column + 1 if column >= 0 else column}`')
  cell = row[column].strip(' ')
  if not cell:
    raise errors.UserError(
        f'{path}, line {line}, column {column % len(row) + 1}: the cell is '
        'empty; a word and its tag are needed')
  return cell


def of_object(
    row: Any, path: str, line: int, words: str = '', tags: str = '', *,
    tagged: bool = False,
) -> Sentence:
  """Returns the sentence of a row of JSONL or Parquet.

  Args:
    row: {column: value}
    path: Path of the file, for messages.
    line: Line, for messages.
    words: Column of the words.
    tags: Column of the tags.
    tagged: Whether the tags are needed.

  Raises:
    errors.UserError: an absent column, a word that columns cannot hold, or
      lists that do not fit.
  """
  def column(name, defaults, names, setting):
    wanted = names if name in defaults else (name,)
    name = next((one for one in wanted if one in row), wanted[0])
    found = row.get(name)
    if not isinstance(found, list) or not all(
        isinstance(one, str) and one.strip() for one in found):
      raise errors.UserError(
          f'{path}, line {line}: {name!r} must be a list of strings that '
          f'are not empty; name the column with `{setting}`')
    place = f'{path}, line {line}, column {name!r}'
    for one in found:
      tables.text_at(place, one)
      # Predictions are written as columns, which have no quoting.
      if set(one) & set('\t\n\r'):
        raise errors.UserError(
            f'{place}: {one!r} has a tab or a line break; leave it out')
    return tuple(found)

  one = column(words, _WORDS, _JSON_WORDS, 'text_columns')
  other = column(tags, _TAGS, _JSON_TAGS, 'label_column') if tagged else ()
  if tagged and len(one) != len(other):
    raise errors.UserError(
        f'{path}, line {line}: {len(one)} words and {len(other)} tags; give a '
        'tag for each word')
  if not one:
    raise errors.UserError(f'{path}, line {line}: a sentence without words')
  return Sentence(one, other, line)
