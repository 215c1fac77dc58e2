"""Tests of SQuAD's files; the experiment's tests have the rest."""

import gzip
import json

import pyarrow
from pyarrow import parquet
import pytest

from adapters_jax import errors
from adapters_jax.data import squad
from adapters_jax.data import squad_files


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
