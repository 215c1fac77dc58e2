"""Tests of the values in SQuAD's JSON; the experiment's tests have the rest."""

import gzip
import json

import pytest

from adapters_jax import errors
from adapters_jax.data import squad


def read(folder, context='a b a', question='q?', text='a', start=0):
  """Returns the questions of a file with one."""
  path = folder / 'a.json'
  asked = {'id': 'q7', 'question': question, 'answers': [
      {'text': text, 'answer_start': start}]}
  path.write_text(json.dumps({'data': [{'paragraphs': [
      {'context': context, 'qas': [asked]}]}]}))
  return squad.read_json(str(path))


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
    squad.read_json(str(path))
