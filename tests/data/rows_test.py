"""Tests of the rows of TSV, CSV and JSONL files."""

import bz2
import csv
import gzip
import io
import json
import lzma
import os

import hypothesis
from hypothesis import strategies
import pytest

from adapters_jax.data import rows
from adapters_jax import errors


def read(tmp_path, name, content):
  """Writes a file and returns its rows as [(line, {column: value})]."""
  path = tmp_path / name
  path.write_bytes(content if isinstance(content, bytes) else content.encode())
  return list(rows.read(str(path)))


def cells(found):
  """Returns the cells of each row."""
  return [list(row.values()) for _, row in found]


# Any text of UTF-8 without NUL, rich in the characters that separate cells.
_TEXTS = strategies.text(
    strategies.one_of(
        strategies.sampled_from('a"\t\n\r,; \u2028\x0b\x1c\x85\ufeff'),
        strategies.characters(exclude_categories=['Cs'],
                              exclude_characters='\0')), max_size=8)
_TABLES = strategies.integers(1, 3).flatmap(lambda width: strategies.lists(
    strategies.lists(_TEXTS, min_size=width, max_size=width), max_size=4))


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  return tmp_path_factory.mktemp('rows')


@hypothesis.settings(max_examples=150, deadline=None, database=None)
@hypothesis.given(
    table=_TABLES, separator=strategies.sampled_from('\t,'),
    quoting=strategies.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    end=strategies.sampled_from(['\n', '\r\n']))
def test_quoted_tables_are_read_back(folder, table, separator, quoting, end):
  text = io.StringIO(newline='')
  # pandas writes with the same writer, and with a line feed alone.
  writer = csv.writer(text, delimiter=separator, quoting=quoting,
                      lineterminator=end)
  header = [f'c{n}' for n in range(len(table[0]) if table else 2)]
  writer.writerows([header, *table])
  if end == '\n' and quoting == csv.QUOTE_MINIMAL:
    # The writer leaves such a cell at the end of a line open, and nobody can
    # tell its carriage return from a part of the line break.
    hypothesis.assume(not any(row[-1].endswith('\r') for row in table))
  name = 'a.tsv' if separator == '\t' else 'a.csv'
  if separator == '\t' and quoting == csv.QUOTE_MINIMAL:
    lines = [line for line in text.getvalue().split('\n') if line.strip('\r')]
    # Its cells of several lines may be rows, too, mostly in a single column.
    if '\n' in ''.join(map(''.join, table)) and all(
        line.count('\t') == len(header) - 1 for line in lines):
      with pytest.raises(errors.UserError, match='or rows with loose quotes'):
        read(folder, name, text.getvalue())
      return
  assert cells(read(folder, name, text.getvalue())) == table


@hypothesis.settings(max_examples=50, deadline=None, database=None)
@hypothesis.given(table=_TABLES)
def test_jsonl_is_read_back(folder, table):
  lines = [json.dumps({str(n): cell for n, cell in enumerate(row)},
                      ensure_ascii=bool(len(row) % 2)) for row in table]
  assert cells(read(folder, 'a.jsonl', '\n'.join(lines))) == table


@hypothesis.settings(max_examples=50, deadline=None, database=None)
@hypothesis.given(table=_TABLES)
def test_plain_tsv_is_read_back(folder, table):
  """Texts with an open quote: the file is not quoted, whatever follows."""
  table = [[cell.translate(dict.fromkeys(map(ord, '\t\n\r'), ' '))
            for cell in row] for row in table]
  table = [['5" disk', *row] for row in table]
  lines = ['\t'.join(row) for row in [[f'c{n}' for n in range(4)][:len(
      table[0]) if table else 1], *table]]
  assert cells(read(folder, 'a.tsv', '\n'.join(lines))) == table


def test_lines_are_those_that_rows_begin_in(tmp_path):
  assert read(tmp_path, 'a.csv', 'a,b\n"x\n\ny",1\n\nz,2\r\n') == [
      (2, {'a': 'x\n\ny', 'b': '1'}), (6, {'a': 'z', 'b': '2'})]
  assert read(tmp_path, 'a.jsonl', '{"a": 1}\n \n{"a": 2}') == [
      (1, {'a': 1}), (3, {'a': 2})]


def test_empty_cells_are_a_row_and_empty_lines_are_none(tmp_path):
  assert read(tmp_path, 'a.tsv', 'a\tb\n\t\n\nx\t\n') == [
      (2, {'a': '', 'b': ''}), (4, {'a': 'x', 'b': ''})]


def test_a_carriage_return_or_separator_in_a_line_is_text(tmp_path):
  for name, separator in (('a.tsv', '\t'), ('a.csv', ',')):
    text = f'a{separator}b\r\nx\ry\u2028z{separator}\x851\r\n'
    assert cells(read(tmp_path, name, text)) == [['x\ry\u2028z', '\x851']]
  line = json.dumps({'a': 'x\u2028y'}, ensure_ascii=False)
  assert cells(read(tmp_path, 'a.jsonl', line)) == [['x\u2028y']]


def test_long_cells_are_read_and_the_limit_of_csv_stays(tmp_path):
  before = csv.field_size_limit()
  assert cells(read(tmp_path, 'a.csv', f'a\n"{"x," * 99_999}"')) == [
      ['x,' * 99_999]]
  assert csv.field_size_limit() == before


@pytest.mark.parametrize('name', ['a.tsv', 'a.csv', 'a.jsonl'])
def test_byte_order_marks_are_no_text(tmp_path, name):
  text = '{"a": "x"}\n' if name == 'a.jsonl' else 'a\nx\n'
  for marks in ('\ufeff', '\ufeff\ufeff'):
    assert read(tmp_path, name, marks + text)[0][1] == {'a': 'x'}


def test_tsv_is_quoted_only_if_all_of_it_is(tmp_path, caplog):
  def texts(content):
    return [row[0] for row in cells(read(tmp_path, 'a.tsv', content))]

  assert texts('a\tb\n"He said ""no""."\tx\n') == ['He said "no".']
  assert texts('a\tb\n"two\tcells"\tx\n') == ['two\tcells']
  assert texts('"a"\t"b"\n"plain"\t1\n') == ['plain']
  assert texts('a\tb\n"a quotation"\tx\n') == ['"a quotation"']
  assert not caplog.records
  mixed = 'a\tb\n"He said ""no""."\tx\n5" disk\ty\n'
  assert texts(mixed) == ['"He said ""no""."', '5" disk']
  assert 'a.tsv, line 2: the quotes' in caplog.text


def test_a_quotation_over_rows_of_tsv_is_no_guess(tmp_path):
  rows_of_quotes = ('"I loved it.\tgood\n\nIt was never dull.\tbad\n'
                    'It was fun."\tgood\n')
  with pytest.raises(
      errors.UserError, match='a.tsv, line 3: a quoted cell of several lines, '
      'or rows with loose quotes.'):
    read(tmp_path, 'a.tsv', f'text\tlabel\nx\ty\n{rows_of_quotes}x\ty\n')
  # Either way out, and a line that is no row.
  quoted = f'"text"\t"label"\n{rows_of_quotes}'
  assert len(read(tmp_path, 'a.tsv', quoted)) == 1
  plain = f'text\tlabel\n{rows_of_quotes}'.replace('"', '')
  assert len(read(tmp_path, 'a.tsv', plain)) == 3
  cell = f'text\tlabel\n{rows_of_quotes}"two\nlines"\tbad\n'
  assert cells(read(tmp_path, 'a.tsv', cell))[1] == ['two\nlines', 'bad']


@pytest.mark.parametrize('name, content, message', [
    ('a.tsv', 'a\tb\nx\ty\tz\n', 'line 2: 3 columns, but the header has 2'),
    ('a.csv', 'a,b\n"x\ny",z\nx\n', 'line 4: 1 column, but the header has 2'),
    ('a.csv', 'a,b\nx,y\n"x"y,z\n', 'line 3: the quoting is wrong'),
    ('a.csv', 'a,b\nx,y\n"x,z\n\n', 'line 3: the quoting is wrong'),
    ('a.tsv', 'a\tb\ta\n', "line 1: there are 2 columns 'a'"),
    ('a.csv', 'a,b,b,b\n', "line 1: there are 3 columns 'b'"),
    ('a.jsonl', '{"a": 1}\n{"a": 1, "a": 2}\n', "line 2: the key 'a' .*2 t"),
    ('a.jsonl', '{"a": 1}\n{oops\n', 'line 2: not JSON .*at character 2'),
    ('a.jsonl', '{"a": ' + '9' * 5000 + '}', 'line 1: not JSON'),
    ('a.jsonl', '[' * 100_000, 'line 1: not JSON'),
    ('a.jsonl', '[1]\n', 'line 1: a JSON object'),
    ('a.tsv', 'a,b\nx,y\n', "line 1: commas .*name it .csv"),
    ('a.csv', 'a\tb\nx\ty\n', "line 1: tabs .*name it .tsv"),
    ('a.csv', 'a;b\nx;y\n', "line 1: semicolons .*replace them"),
    ('a.tsv', 'a\tb\rx\ty\r', 'line 1: lines end with a carriage return'),
    ('a.csv', 'a,b\rx,y\r', 'line 1: lines end with a carriage return'),
    ('a.tsv', b'a\tb\nx\ty\ncaf\xe9\tz\n', 'line 3: byte 0xe9 is not UTF-8'),
    ('a.csv', b'a,b\n"x\ny",z\ncaf\xe9,z\n', 'line 4: byte 0xe9'),
    ('a.jsonl', b'{"a": 1}\n{"a": "\xff"}\n', 'line 2: byte 0xff'),
    ('a.tsv', b'a\tb\nx\0\ty\n', 'line 2: there is a NUL byte'),
    ('a.csv', 'a,b\n'.encode('utf-16'), 'is in UTF-16; save it in UTF-8'),
    ('a.tsv', 'a\tb\n'.encode('utf-32'), 'is in UTF-32'),
    # A name of a test without the time, which differs between workers.
    ('a.tsv', gzip.compress(b'a\tb\n', mtime=0), 'gzip.; unpack .*`gunzip`'),
    ('a.csv', bz2.compress(b'a,b\nx,y\n'), 'compressed .bzip2.'),
    ('a.jsonl', lzma.compress(b'{"a": 1}\n'), 'compressed .xz.'),
    ('a.csv', b'PK\x03\x04\x14\0\x06\0', 'compressed .zip'),
    ('a.txt', 'a', 'must end in .tsv, .csv, .jsonl'),
])
def test_faults_are_one_line_with_the_place(tmp_path, name, content, message):
  with pytest.raises(errors.UserError, match=message) as found:
    read(tmp_path, name, content)
  assert str(found.value).startswith(str(tmp_path / name))
  assert '\n' not in str(found.value)


@pytest.mark.parametrize('form', ['.tsv', '.csv', '.jsonl'])
def test_rows_begin_at_the_position_of_the_file(form):
  text = {'.tsv': 'a\tb\n1\t2\n', '.csv': 'a,b\n1,2\n',
          '.jsonl': '{"a": "1", "b": "2"}\n'}[form]
  file = io.BytesIO(f'a\tz\nread\tbefore\n{text}'.encode())
  file.readline(), file.readline()
  (_, row), = rows.of_file(file, 'input', form)
  assert row == {'a': '1', 'b': '2'}


def test_an_absent_file_and_a_folder(tmp_path):
  os.mkdir(tmp_path / 'b.csv')
  for name in ('a.tsv', 'b.csv'):
    with pytest.raises(errors.UserError, match=f'{name}: cannot be read'):
      list(rows.read(str(tmp_path / name)))
