"""Reads the texts to label: lines, rows of tables, words of CoNLL files."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
import contextlib
import itertools
import json
import os
import re
import sys
from typing import IO, Any

from adapters_jax import errors
from adapters_jax.api import streams
from adapters_jax.data import choice_layouts
from adapters_jax.data import choices
from adapters_jax.data import conll
from adapters_jax.data import rows
from adapters_jax.data import tables

FORMATS = ('lines', 'tsv', 'csv', 'jsonl', 'parquet')
WORD_FORMATS = ('lines', 'conll', 'jsonl', 'parquet')  # For taggers.
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


def form_of(path: str, form: str = '') -> str:
  """Returns `form`, or else the one of FORMATS that the file name implies.

  Args:
    path: Path of the file, '-' for standard input.
    form: Form given by the user, returned unchecked; '' for none.
  """
  end = os.path.splitext(path)[1].lower().removeprefix('.')
  return form or (end if end in FORMATS[1:] else 'lines')


def read_texts(
    file: IO[bytes], path: str, form: str, names: Sequence[str],
    columns: Sequence[str] = (), with_choices: bool = False,
) -> Iterator[Any]:
  """Yields the one or two texts of each input, or (context, choices).

  Args:
    file: File open for reading bytes, or `streams.Pipe`.
    path: Its path, '-' for standard input.
    form: One of FORMATS; '' to infer it from the file name, else lines.
    names: Names of the texts of an input.
    columns: Their columns in a table, in the same order; `names` when empty.
    with_choices: Whether the second name stands for the choices of an input.

  Raises:
    errors.UserError: a fault of the input; names it and the line.
  """
  place = 'standard input' if path == '-' else path
  table = form_of(path, form)
  with errors.within('`input`'):
    if table == 'lines':
      if columns:
        raise _no_columns(place)
      lines = rows.lines_of(file, place)
      if not form:
        lines = _guessed(lines, path, names, {'\t': 'tsv', ',': 'csv'})
      yield from (_choices_of_lines(lines, place) if with_choices else
                  _of_lines(lines, place, names))
      return
    file = streams.seekable(file, table)
    if with_choices:
      yield from _choices_of_rows(
          rows.of_file(file, place, f'.{table}'), place, columns or names)
      return
    for line, row in rows.of_file(file, place, f'.{table}'):
      yield tables.texts_of(place, line, row, columns or names)


def _no_columns(place: str) -> errors.UserError:
  return errors.UserError(
      f'{place} is read as lines, without `text_columns`; give `input_format`')


def _guessed(
    lines: Iterable[str], path: str, names: Sequence[str],
    separators: Mapping[str, str],
) -> Iterator[str]:
  """Yields the lines of a file whose format is a guess.

  A wrong guess would label rows of a table as texts, and nobody would notice.

  Args:
    lines: Lines with their line breaks.
    path: Path of the file, '-' for standard input.
    names: Names of the texts of an input.
    separators: {separator of columns: format} of tables that the lines may be.

  Raises:
    errors.UserError: JSON, by the first line or the file name, or a header.
  """
  place = 'standard input' if path == '-' else path
  is_json = os.path.splitext(path)[1].lower() == '.json'
  lines = iter(lines)
  for first in itertools.islice(lines, 1):
    if is_json or _is_json(first):
      raise errors.UserError(
          f'{place}, line 1: is it JSON or a text? Write objects with the keys '
          f'{", ".join(names)}, one a line, and give `input_format=jsonl`; or '
          'give `input_format=lines`')
    for separator, form in separators.items():
      if set(names) <= set(first.rstrip('\r\n').split(separator)):
        raise errors.UserError(
            f'{place}, line 1: {first.rstrip()!r} is a header; give '
            f'`input_format={form}` to read its columns, or '
            '`input_format=lines`')
    yield first
  yield from lines


def _is_json(line: str) -> bool:
  """Returns whether a line is an object of JSON, or begins an array of them."""
  line = line.strip()
  if line in ('{', '[') or re.match(r'\[\s*\{', line):
    return True
  try:
    return isinstance(json.loads(line), dict)
  except (ValueError, RecursionError):
    return False


def _choices_of_rows(
    found: Iterable[rows.Row], place: str, names: Sequence[str]
) -> Iterator[choices.Choices]:
  """Yields (context, choices) of each row of a table.

  Args:
    found: Rows.
    place: Name of the input, for messages.
    names: Columns of the context, and of the choices, both with commas;
      `choices.TEXTS` for a known layout.
  """
  layout = None
  for line, row in found:
    if layout is None:
      contexts, chosen = (name.split(',') for name in names)
      known = tuple(names) == choices.TEXTS
      layout = choice_layouts.layout_of(
          place, line, row, *(() if known else (contexts, chosen)))
    yield choices.choices_of(place, line, row, layout)


def _choices_of_lines(
    lines: Iterable[str], place: str
) -> Iterator[choices.Choices]:
  """Yields (context, choices) of lines, with tabs between them."""
  for number, line in enumerate(_plain(lines, place), 1):
    context, *rest = line.split('\t')
    if len(rest) < 2:
      raise errors.UserError(
          f'{place}, line {number}: a context and two choices or more, '
          f'separated by tabs, are needed, there are {1 + len(rest)} texts')
    if not all(one.strip() for one in rest):
      raise errors.UserError(
          f'{place}, line {number}: a choice is empty; give a text, or leave '
          'the line out')
    yield context, tuple(rest)


def read_words(
    file: IO[bytes], path: str, form: str, column: str = '', trained: str = '',
    classes: Collection[str] = (),
) -> Iterator[str | tuple[str, ...]]:
  """Yields the text, or the words, of each sentence to tag.

  Args:
    file: File open for reading bytes, or `streams.Pipe`.
    path: Its path, '-' for standard input.
    form: One of WORD_FORMATS; '' to infer it from the file name: .conll,
      .conllu, .iob, .iob2, .bio and .tsv are 'conll'.
    column: Column of the words, see `conll.read`; `trained` when empty.
    trained: Column used in training; ignored if the format needs another kind:
      a number for CoNLL, a name for rows.
    classes: Tags, by which columns in a file of another name are recognised.

  Raises:
    errors.UserError: a fault of the input; names it and the line.
  """
  place = 'standard input' if path == '-' else path
  end = os.path.splitext(path)[1].lower().removeprefix('.')
  if not form and end in ('conll', 'conllu', 'iob', 'iob2', 'bio', 'tsv'):
    form = 'conll'
  guessed = not form
  form = form or (end if end in ('jsonl', 'parquet') else 'lines')
  if form not in WORD_FORMATS:
    raise errors.UserError(
        f'`input_format={form}`: a tagger reads {", ".join(WORD_FORMATS)}')
  in_rows = form in ('jsonl', 'parquet')
  if not column and form != 'lines' and (
      trained.lstrip('-').isdecimal() != in_rows):
    column = trained
  with errors.within('`input`'):
    if form == 'lines' and column:
      raise _no_columns(place)
    if guessed and end == 'csv':
      raise errors.UserError(
          f'{place}: a tagger reads no rows of CSV; give `input_format=conll` '
          'for columns of words and tags, or `input_format=lines`')
    if in_rows:
      for number, row in rows.of_file(
          streams.seekable(file, form), place, f'.{form}'):
        yield conll.of_object(row, place, number, column).words
      return
    lines = rows.lines_of(file, place)
    if form == 'lines':
      if guessed:
        lines = _untagged(
            _guessed(lines, path, ('words',), {}), place, classes)
      yield from _plain(lines, place)
      return
    for sentence in conll.of_lines(
        lines, place, column, tagged=False,
        paused=getattr(file, 'paused', None)):  # Of a `streams.Pipe`.
      yield sentence.words


def _untagged(
    lines: Iterable[str], place: str, classes: Collection[str]
) -> Iterator[str]:
  """Yields lines; UserError if the first with text is of words and tags.

  Args:
    lines: Lines.
    place: Name of the input, for messages.
    classes: Tags.
  """
  first = True
  for number, line in enumerate(lines, 1):
    if first and line.strip():
      first = False
      if conll.is_tagged(line, classes):
        raise errors.UserError(
            f'{place}, line {number}: columns or a text? Give '
            '`input_format=conll` or `input_format=lines`')
    yield line


def _plain(lines: Iterable[str], place: str) -> Iterator[str]:
  """Yields lines without their line breaks; UserError for one within a line.

  Args:
    lines: Lines.
    place: Name of the input, for messages.
  """
  for number, line in enumerate(lines, 1):
    rows.check_return(place, number, line)
    yield line.removesuffix('\n').removesuffix('\r')


def _of_lines(
    lines: Iterable[str], place: str, names: Sequence[str]
) -> Iterator[Texts]:
  """Yields the texts of each line; a tab separates the two of a pair.

  Args:
    lines: Lines with their line breaks.
    place: Name of the input, for messages.
    names: Names of the texts of an input.
  """
  for number, line in enumerate(_plain(lines, place), 1):
    # A tab is a part of a single text.
    cells = tuple(line.split('\t')) if len(names) > 1 else (line,)
    if len(cells) != len(names):
      raise errors.UserError(
          f'{place}, line {number}: {len(names)} texts separated by a tab are '
          f'needed, there {"is" if len(cells) == 1 else "are"} {len(cells)}')
    yield cells
