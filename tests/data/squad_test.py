"""Tests of SQuAD's files, and of the limits of its inputs and answers.

The experiment's tests have the rest.
"""

import gzip
import json

import numpy as np
import pyarrow
from pyarrow import parquet
import pytest

from adapters_jax import errors
from adapters_jax.data import squad
from adapters_jax.data import squad_files
from adapters_jax.data import tokenization


def read(folder, context='a b a', question='q?', text='a', start=0):
  """Returns the questions of a file with one."""
  path = folder / 'a.json'
  asked = {'id': 'q7', 'question': question, 'answers': [
      {'text': text, 'answer_start': start}]}
  path.write_text(json.dumps({'data': [{'paragraphs': [
      {'context': context, 'qas': [asked]}]}]}))
  return squad_files.read(str(path))


def test_the_values_of_a_question(tmp_path):
  assert read(tmp_path, start=4) == [
      squad.Question('q7', 'q?', 'a b a', (('a', 4),))]


@pytest.mark.parametrize('values, message', [
    ({'question': 5}, "'question': the text is a number"),
    ({'context': ['a', 'b'], 'text': ['a']}, "'context': the text is a list"),
    ({'text': None}, "'text': the text is null"),
    ({'context': 'a \ud800'}, "'context': '.ud800' is half of a character"),
    ({'start': 0.9}, "'answer_start' is 0.9; give a whole number"),
    ({'start': float('inf')}, "'answer_start' is inf"),
    ({'start': '0'}, "'answer_start' is '0'"),
    ({'start': False}, "'answer_start' is False"),
    ({'start': 2}, 'not at character 2'), ({'start': 10**30}, 'not at char'),
    ({'start': -5}, 'not at character -5')])
def test_values_of_other_types_name_file_and_question(
    tmp_path, values, message):
  with pytest.raises(
      errors.UserError, match=f'a.json: .*question q7.*{message}') as found:
    read(tmp_path, **values)
  assert '\n' not in str(found.value)


def test_a_compressed_file(tmp_path):
  path = tmp_path / 'a.json'
  path.write_bytes(gzip.compress(b'{"data": []}'))
  with pytest.raises(errors.UserError, match='a.json: .*compressed .gzip.'):
    squad_files.read(str(path))


def row(**changes):
  """Returns a row of `datasets`, its question 'q?' about 'a b a'."""
  return {'id': 'q7', 'title': 't', 'question': 'q?', 'context': 'a b a',
          'answers': {'text': ['a', 'b'], 'answer_start': [4, 2]}, **changes}


@pytest.mark.parametrize('name', ['a.parquet', 'a.JSONL'])
def test_rows_of_datasets(tmp_path, name):
  path = str(tmp_path / name)
  if name == 'a.parquet':
    parquet.write_table(pyarrow.Table.from_pylist([row(), row(id='q8')]), path)
  else:
    with open(path, 'w') as file:
      file.write(f'{json.dumps(row())}\n{json.dumps(row(id="q8"))}\n')
  answers = (('a', 4), ('b', 2))
  assert squad_files.read(path) == [
      squad.Question(name, 'q?', 'a b a', answers) for name in ('q7', 'q8')]


@pytest.mark.parametrize('changes, message', [
    ({'answers': [{'text': 'b', 'answer_start': 2}]}, ''),  # As in the JSON.
    ({'answers': 'a'}, "line 1, column 'answers': give"),
    ({'answers': None}, "line 1, column 'answers': give"),
    ({'answers': {'text': ['a']}}, "line 1, column 'answers': give"),
    ({'answers': {'text': ['a'], 'answer_start': []}},
     'as many texts as starts'),
    ({'answers': {'text': [], 'answer_start': []}}, 'q7 has no answer'),
    ({'answers': {'text': ['b'], 'answer_start': [0]}}, 'not at character 0'),
    ({'context': None}, "q7, 'context': the text is null")])
def test_rows_of_other_forms(tmp_path, changes, message):
  path = tmp_path / 'a.jsonl'
  path.write_text(json.dumps(row(**changes)))
  if not message:
    assert squad_files.read(str(path))[0].answers == (('b', 2),)
    return
  with pytest.raises(errors.UserError, match=f'a.jsonl.*{message}'):
    squad_files.read(str(path))


def test_a_row_without_a_column(tmp_path):
  path = tmp_path / 'a.jsonl'
  path.write_text(json.dumps({'question': 'q?', 'context': 'a'}))
  with pytest.raises(errors.UserError, match="line 1: .* no column 'answers'"):
    squad_files.read(str(path))


def test_no_rows(tmp_path):
  path = str(tmp_path / 'a.parquet')
  parquet.write_table(pyarrow.Table.from_pylist([row()])[:0], path)
  with pytest.raises(errors.UserError, match='no questions'):
    squad_files.read(path)


@pytest.mark.parametrize('answer, wanted', [
    (('bcd', 1), (0, 1)), (('cd', 2), (1, 1)), (('ab', 0), (0, 0)),
    (('d e', 3), (1, 2)), (('\u200b', 8), (-1, -1))])
def test_pieces_that_only_touch_an_answer_are_no_part_of_it(answer, wanted):
  # Of 'abcd ef', the first word in two pieces.
  offsets = np.array([[0, 2], [2, 4], [5, 7]])
  assert squad._span(offsets, answer) == wanted


def test_limits_are_those_of_berts_code(checkpoint):
  question = squad.Question(
      'q', 'good ' * 100, 'film ' * 500, (('film', 0),))
  examples, windows = squad.cut(
      tokenization.load(checkpoint), [question], 384)
  # 64 pieces of the question, 3 special tokens; windows begin 128 pieces apart.
  assert [len(one) for one in examples.tokens] == [384, 384, 64 + 3 + 244]
  assert {window.prefix for window in windows} == {66}
  assert [window.offsets[0, 0] for window in windows] == [0, 640, 1280]
  # Answers have 30 pieces or fewer.
  logits = np.zeros((384, 2))
  logits[66, 0] = logits[66 + 29, 1] = 1
  logits[66 + 30, 1] = 5
  assert squad.best_span(logits, windows[0]) == (5.0, (150, 154))
  logits[67:, 0] = -9
  assert squad.best_span(logits, windows[0]) == (2.0, (0, 149))
