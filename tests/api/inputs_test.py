"""Tests of the texts that `predict` reads."""

import gzip
import io
import json

import pytest

from adapters_jax import errors
from adapters_jax.api import inputs


def read(tmp_path, name, content, form='', names=('sentence',), columns=(),
         with_choices=False):
  """Writes a file and returns the texts read from it."""
  path = tmp_path / name
  path.write_bytes(content if isinstance(content, bytes) else content.encode())
  with inputs.opened(str(path)) as file:
    return list(inputs.read_texts(
        file, str(path), form, names, columns, with_choices))


def test_a_table_is_read_by_its_columns(tmp_path):
  tsv = 'id\tsentence\tlabel\n1\tA joy.\tyes\n2\tDull, "very".\tno\n'
  wanted = [('A joy.',), ('Dull, "very".',)]
  assert read(tmp_path, 'a.tsv', tsv) == wanted
  assert read(tmp_path, 'a.txt', tsv, form='tsv') == wanted
  csv = 'sentence,label\nA joy.,yes\n"Dull, ""very"".",\n'
  assert read(tmp_path, 'a.csv', csv) == wanted
  lines = [json.dumps({'sentence': text}) for text, in wanted]
  assert read(tmp_path, 'a.jsonl', '\n'.join(lines)) == wanted
  assert read(tmp_path, 'a.tsv', tsv, columns=['id']) == [('1',), ('2',)]
  assert read(tmp_path, 'a.tsv', tsv, names=('b', 'a'),
              columns=['sentence', 'id'])[0] == ('A joy.', '1')


def test_a_text_keeps_its_line_breaks(tmp_path):
  assert read(tmp_path, 'a.csv', 'sentence\n"two\nlines"\n') == [
      ('two\nlines',)]
  assert read(tmp_path, 'a.jsonl', '{"sentence": "two\\nlines"}') == [
      ('two\nlines',)]


def test_lines_are_texts(tmp_path):
  assert read(tmp_path, 'a.txt', 'one\n\n two\tcells \r\nth\u2028ree') == [
      ('one',), ('',), (' two\tcells ',), ('th\u2028ree',)]
  assert read(tmp_path, 'a', 'a\tb\n', names=('x', 'y')) == [('a', 'b')]
  assert read(tmp_path, 'a.tsv', 'sentence\tx\n', form='lines') == [
      ('sentence\tx',)]
  for text in ('{"sentence": "A joy."}', '3', '"A joy."', '[1]', '{oops'):
    assert read(tmp_path, 'a.json', text, form='lines') == [(text,)]
    if text[:2] != '{"':
      assert read(tmp_path, 'a.txt', text) == [(text,)]
  later = 'A joy.\n{"sentence": "A joy."}'
  assert read(tmp_path, 'a.txt', later)[1] == ('{"sentence": "A joy."}',)


class Pipe(io.BytesIO):
  """A file that is read once."""

  def seekable(self):
    return False

  def seek(self, *_):
    raise OSError('a pipe cannot seek')


def test_a_table_in_a_pipe():
  pipe = Pipe(b'sentence\tlabel\n"He said ""no""."\tx\n')
  assert list(inputs.read_texts(pipe, '-', 'tsv', ('sentence',))) == [
      ('He said "no".',)]


@pytest.mark.parametrize('form', ['tsv', 'lines'])
def test_redirected_input_of_which_a_part_is_read(tmp_path, form):
  path = tmp_path / 'input'
  path.write_text('a note\nsentence\nA "joy".\n')
  with inputs.opened(str(path)) as file:
    file.readline()
    assert list(inputs.read_texts(file, '-', form, ('sentence',)))[-1] == (
        'A "joy".',)


@pytest.mark.parametrize('name, content, more, message', [
    ('a.txt', b'good\ncaf\xe9\n', {}, 'a.txt, line 2: byte 0xe9 is not UTF-8'),
    ('a.tsv', b'sentence\ncaf\xe9\n', {}, 'a.tsv, line 2: byte 0xe9'),
    ('a.txt', 'sentence\tlabel\nA joy.\tyes\n', {},
     "line 1: 'sentence.tlabel' is a header; give `input_format=tsv`"),
    ('a.txt', 'sentence\nA joy.\n', {}, "'sentence' is a header"),
    ('a.txt', 'A joy.\n', {'columns': ['text']}, 'without `text_columns`'),
    ('a.txt', 'id,sentence\n1,A joy.\n', {},
     "'id,sentence' is a header; give `input_format=csv`"),
    ('a', 'x\tcontext\tchoices\n', {
        'with_choices': True, 'names': ('context', 'choices')}, 'is a header'),
    ('a.json', '{"sentence": "A joy."}\n', {},
     'line 1: is it JSON .*keys sentence, .*`input_format=jsonl`; or give '
     '`input_format=lines`'),
    ('a.json', '\n', {}, 'is it JSON'),
    ('a.json', '{"data": [{"paragraphs": []}]}\n', {
        'names': ('question', 'context')}, 'the keys question, context, one a'),
    ('a.txt', '{"sentence": "A joy."}\n', {}, 'is it JSON'),
    ('a', '[{"sentence": "A joy."},\n', {}, 'is it JSON'),
    ('a', '[\n{"sentence": "A joy."}]\n', {}, 'is it JSON'),
    ('a.txt', 'one\n', {'names': ('a', 'b')}, 'line 1: 2 texts .* there is 1'),
    ('a.tsv', 'text\tlabel\nA\tB\n', {}, "no column 'sentence', only 'text'"),
    ('a.jsonl', '{"sentence": null}\n', {}, 'line 1, .* the text is null'),
    ('a.csv', 'sentence,label\nA, joy,yes\n', {}, 'line 2: 3 columns'),
    ('a.txt', 'one\ntwo\rthree\r', {}, 'line 2: lines end with a carriage'),
    ('a.tsv', gzip.compress(b'sentence\nA joy.\n', mtime=0), {}, 'gzip'),
    ('a.txt', 'c\tx\t \n', {'with_choices': True}, 'line 1: a choice is empt'),
    ('a.csv', 'context,choice1,choice2\nc,x,y\nc,x,\n', {
        'with_choices': True, 'names': ('context', 'choices')},
     "line 3, column 'choice2': a choice is empty"),
])
def test_faults_name_the_input_and_the_line(
    tmp_path, name, content, more, message):
  with pytest.raises(errors.UserError, match=f'^`input`: .*{message}'):
    read(tmp_path, name, content, **more)


def test_an_absent_file_and_a_folder(tmp_path):
  for path in (str(tmp_path), str(tmp_path / 'none'), 'a\0b'):
    with pytest.raises(errors.UserError, match='`input`: '):
      with inputs.opened(path):
        pass


def read_words(text, form, *columns, path='-'):
  return [*inputs.read_words(io.BytesIO(text.encode()), path, form, *columns)]


def test_words_of_a_tagger():
  assert read_words('a b.\n\n', 'lines') == ['a b.', '']
  columns = '1\ta\tX\n2\tb\tY\n\n1\tc\tX\n'
  assert read_words(columns, 'conll', '2') == [('a', 'b'), ('c',)]
  assert read_words(columns, 'conll', '', '2') == [('a', 'b'), ('c',)]
  assert read_words(columns, 'conll', '', 'sentence') == [('1', '2'), ('1',)]
  rows = '{"tokens": ["a"], "text": ["b"]}\n'
  assert read_words(rows, 'jsonl', '', '2') == [('a',)]
  assert read_words(rows, 'jsonl', '', 'text') == [('b',)]
  assert read_words('Ann\n,\nleft\n', 'conll') == [('Ann', ',', 'left')]
  with pytest.raises(errors.UserError, match='`input_format=csv`: a tagger'):
    read_words('a', 'csv')
  assert read_words('a,B\n', 'lines', path='a.csv') == ['a,B']
  assert read_words('a,B\n', 'conll', path='a.csv') == [('a',)]
  assert read_words('a', 'lines', '', '2') == ['a']


@pytest.mark.parametrize('path, text, columns, message', [
    ('a.csv', 'words,tags\n', (), 'a.csv: a tagger reads no rows of CSV; give'),
    ('a.json', 'a b\n', (), 'a.json, line 1: is it JSON or a text.*keys words'),
    ('-', '{"words": ["a"]}\n', (), 'standard input, line 1: is it JSON'),
    ('a.txt', 'a b\n', ('text',), 'a.txt is read as lines, without `text_c')])
def test_lines_of_a_tagger_are_no_guess(path, text, columns, message):
  with pytest.raises(errors.UserError, match=f'^`input`: {message}'):
    read_words(text, '', *columns, path=path)


TAGS = ('B-ORG', 'O', 'I-ORG', '.', 'NOUN')


@pytest.mark.parametrize('text, line', [
    ('-DOCSTART- -X- -X- O\n\nEU NNP I-NP B-ORG\n', 1),
    ('-DOCSTART-\n', 1), ('\n \nEU B-ORG\n', 3), ('EU\tx\tB-ORG\r\n', 1),
    ('New York,O\n', 1)])
def test_columns_of_words_and_tags_are_no_texts(text, line):
  def read(form, text=text):
    return [*inputs.read_words(
        io.BytesIO(text.encode()), 'a.txt', form, classes=TAGS)]

  with pytest.raises(errors.UserError, match=(
      f'^`input`: a.txt, line {line}: columns or a text. Give '
      '`input_format=conll` or `input_format=lines`$')):
    read('')
  assert read('lines') == text.replace('\r', '').split('\n')[:-1]
  for plain in ('O\n', 'He left .\n', 'Ann left\nEU B-ORG\n', '\n', ''):
    assert read('', plain) == plain.split('\n')[:-1]


@pytest.mark.parametrize('form, text, message', [
    ('lines', 'a b\n\nc\rd\n', 'line 3: lines end with a carriage return'),
    ('conll', 'a\rb\r', 'line 1: lines end with a carriage return'),
    ('jsonl', '{"words": ["a"]}\n{"words": ["a\\tb"]}\n', 'line 2, .* a tab'),
    ('jsonl', '{"words": ["\\udc00"]}\n', 'line 1, .* half of a character')])
def test_faults_of_words_name_the_line(form, text, message):
  with pytest.raises(errors.UserError, match=f'^`input`: .*{message}'):
    read_words(text, form)


def test_choices_are_read_from_lines_and_tables(tmp_path):
  for name, content, wanted in (
      ('a.txt', 'ctx\tone\ttwo\n', ('ctx', ('one', 'two'))),
      ('a.csv',
       'premise,question,choice1,choice2\nIt rained.,effect,Wet.,Dry.\n',
       ('It rained. What happened as a result?', ('Wet.', 'Dry.')))):
    assert read(tmp_path, name, content, names=('context', 'choices'),
                with_choices=True) == [wanted]
