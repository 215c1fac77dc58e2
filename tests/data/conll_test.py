"""Tests of data.conll."""

import json

import pytest

from adapters_jax import errors
from adapters_jax.data import conll

WANTED = [('EU', 'B-ORG'), ('rejects', 'O')], [('#tag', 'O'), ('.', 'O')]


def pairs(sentences):
  return tuple([*zip(one.words, one.tags, strict=True)] for one in sentences)


@pytest.mark.parametrize('text', [
    'EU\tB-ORG\nrejects\tO\n\n#tag\tO\n.\tO\n',
    '-DOCSTART-\tO\n\t\nEU\tB-ORG\r\nrejects\tO\r\n\t\r\n\n#tag\tO\n.\tO',
    '-DOCSTART- -X- -X- O\n\nEU NNP  I-NP B-ORG\nrejects VBZ I-VP O\n   \n'
    '#tag NN I-NP O\n. . O O\n\n',
    '# id = 1\nEU B-ORG\nrejects O\n\n# text = #tag .\n#tag O\n. O\n',
    'EU,B-ORG\nrejects,O\n\n#tag,O\n.,O\n',
    '\ufeffEU\tx\tB-ORG\nrejects\tx\tO\n\n#tag\t \tO\n.\tx\tO\n'],
    ids=['tabs', 'documents', 'four columns', 'comments', 'commas', 'mark'])
def test_columns(text, tmp_path):
  path = tmp_path / 'a.txt'
  path.write_bytes(text.encode())
  assert pairs(conll.read(str(path))) == WANTED


def test_universal_dependencies(tmp_path):
  rows = ('1-2\tvámonos', '1\tvamos\tir\tVERB', '2\tnos\tnos\tPRON',
          '2.1\tvacío\tx\tX')
  lines = ['# text = vámonos', *(row + '\t_' * (9 - row.count('\t'))
                                for row in rows)]
  path = tmp_path / 'a.conllu'
  path.write_text('\n'.join(lines), encoding='utf-8')
  sentence, = conll.read(str(path), '2', '4')
  assert sentence == conll.Sentence(('vamos', 'nos'), ('VERB', 'PRON'), 3)
  # Without settings, ids would be words.
  for label in ('', '4'):
    with pytest.raises(
        errors.UserError, match='a.conllu: .*`text_columns=2` and .*=4`$'):
      conll.read(str(path), 'sentence', label)
  with pytest.raises(errors.UserError, match='CoNLL-U; .*`text_columns=2`$'):
    [*conll.of_lines(lines, 'a', tagged=False)]
  assert conll.read(str(path), '1', '4')[0].words == ('1', '2')


def test_numbers_that_are_words_of_ten_columns():
  words = ('from', '1914-1918', ',', '3.5', '7')
  sentence, = conll.of_lines(
      ['# id'] + [word + '\tx' * 8 + '\tO' for word in words], 'a')
  assert sentence.words == words


@pytest.mark.parametrize('text', [
    'Ann\n,\npaid\n1,000\n\n,\n', 'Ann\n,\r\npaid \n1,000\r\n \n,'])
def test_a_comma_is_a_word_where_most_lines_have_none(text):
  found = conll.of_lines(text.splitlines(keepends=True), 'a', tagged=False)
  assert [one.words for one in found] == [('Ann', ',', 'paid', '1,000'), (',',)]


def test_commas_separate_columns_beside_comments():
  found = conll.of_lines(['#1', 'a,O', 'c,O', '', '#2', 'b,O'], 'a')
  assert pairs(found) == ([('a', 'O'), ('c', 'O')], [('b', 'O')])


def test_json(tmp_path):
  path = tmp_path / 'a.jsonl'
  path.write_text('\n'.join(json.dumps(row) for row in (
      {'tokens': ['EU', 'rejects'], 'labels': ['B-ORG', 'O']},
      {'words': ['#tag', '.'], 'tags': ['O', 'O']})))
  assert pairs(conll.read(str(path))) == WANTED


@pytest.mark.parametrize('name, text, message', [
    ('a.conll', 'a\tO\nb O\nc\tO\n',
     'line 2: 1 columns separated by tabs, and most lines have 2'),
    ('a.conll', 'a O\nb\nc O\n', 'line 2: 1 columns separated by blanks'),
    ('a.conll', 'a\tO\n\tO\n', 'line 2, column 1: the cell is empty'),
    ('a.conll', 'a\tO\nb\t\n', 'line 2, column 2: the cell is empty'),
    ('a.conll', 'a\nb\n', 'line 1: column 1 holds words and tags'),
    ('a.conll', '\n-DOCSTART-\tO\n\n', 'no sentences'),
    ('a.conll', b'a\tO\n\xff\tO\n', 'line 2: byte 0xff is not UTF-8'),
    ('a.conll', 'a\tO\rb\tO\r', 'line 1: lines end with a carriage return'),
    ('a.conll', 'a O\n\nb O\rc O\n', 'line 3: lines end with a carriage'),
    ('a.jsonl', '{"words": ["a"], "tags": ["O", "O"]}', '1: 1 words and 2'),
    ('a.jsonl', '\n{"words": ["a\\tb"], "tags": ["O"]}',
     "line 2, column 'words': 'a.*b' has a tab or a line break"),
    ('a.jsonl', '{"tokens": ["a\\nb"], "tags": ["O"]}', "column 'tokens': 'a"),
    ('a.jsonl', '{"words": ["a"], "tags": ["O\\r"]}', "column 'tags': 'O"),
    ('a.jsonl', '\n\n{"words": ["a", "\\ud83d"], "tags": ["O", "O"]}',
     "line 3, column 'words': '.ud83d' is half of a character"),
    ('a.jsonl', '{"words": "a b", "tags": []}', "line 1: 'words' must be")])
def test_faults_are_named_by_line(name, text, message, tmp_path):
  path = tmp_path / name
  path.write_bytes(text if isinstance(text, bytes) else text.encode())
  with pytest.raises(errors.UserError, match=message):
    conll.read(str(path))


@pytest.mark.parametrize('columns, message', [
    (('word', ''), '`text_columns=word`: give the number'),
    (('', '0'), '`label_column=0`'), (('3', ''), 'without the one of .*=3'),
    (('', '3'), '^a, line 1: 2 columns, without the one of `label_column=3`'),
    (('', '-4'), 'without the one of `label_column=-4`')])
def test_wrong_columns(columns, message):
  with pytest.raises(errors.UserError, match=message):
    [*conll.of_lines(['a\tO'], 'a', *columns)]


def many(row, count, *later):
  """Yields lines of sentences of one word, then others."""
  for _ in range(count // 2):
    yield from (row, '')
  yield from later


@pytest.mark.parametrize('row, later, message', [
    ('a O', 'b O X', '3 columns separated by blanks, and most of the first '
     '10,000 lines have 2'),
    ('a O', 'b\tO', 'tabs in it, and blanks between the columns of most of the '
     'first 10,000 lines'),
    ('a', 'b O', 'blanks in it, and nothing between'),
    ('a,O', 'b O', 'blanks in it, and commas between'),
    ('a O', 'b O\rc O', 'lines end with a carriage return')])
def test_the_first_lines_decide_and_later_faults_are_named(
    row, later, message):
  assert len([*conll.of_lines(many(row, 10_000, row), 'a', tagged=False)]
             ) == 5_001
  with pytest.raises(errors.UserError, match=f'^a, line 10001: {message}'):
    [*conll.of_lines(many(row, 10_000, later), 'a', tagged=False)]


def test_a_comma_in_a_late_word_is_a_part_of_it():
  *_, last = conll.of_lines(many('a', 10_000, '1,000'), 'a', tagged=False)
  assert last == conll.Sentence(('1,000',), (), 10_001)


def test_lines_before_a_pause_decide_if_they_hold_a_sentence():
  taken = []

  def lines():
    for line in ('-DOCSTART-', '', '# text = Go', '1\tGo', '', '2\tOn'):
      taken.append(line)
      yield line

  sentences = conll.of_lines(
      lines(), 'a', '2', tagged=False, paused=lambda: True)
  assert next(sentences).words == ('Go',)
  assert len(taken) == 5 and [one.words for one in sentences] == [('On',)]


def test_more_comments_than_words():
  lines = ['# id', '# text = Go', '# new', 'Go\tX', 'on\tY']
  sentence, = conll.of_lines(lines, 'a')
  assert sentence == conll.Sentence(('Go', 'on'), ('X', 'Y'), 4)
