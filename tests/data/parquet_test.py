"""Tests of tables in Parquet."""

import datetime
import io
import json

import pyarrow
from pyarrow import parquet
import pytest

from adapters_jax import errors
from adapters_jax.api import inputs
from adapters_jax.data import choices
from adapters_jax.data import conll
from adapters_jax.data import files
from adapters_jax.data import raw_text
from adapters_jax.data import rows


def write(path, table, **features):
  """Writes a table with the description that `datasets` gives its columns."""
  made = pyarrow.table(table)
  if features:
    made = made.replace_schema_metadata(
        {'huggingface': json.dumps({'info': {'features': features}})})
  parquet.write_table(made, path)
  return str(path)


def classes(*names):
  return {'names': list(names), '_type': 'ClassLabel'}


def test_values_are_those_of_json(tmp_path):
  path = write(tmp_path / 'a.parquet', {
      'text': ['good', 'dull'], 'label': [1, 0], 'score': [0.5, None],
      'parts': [['a'], []], 'day': [datetime.date(2026, 1, 2)] * 2})
  assert [*rows.read(path)] == [
      (1, {'text': 'good', 'label': 1, 'score': 0.5, 'parts': ['a'],
           'day': '2026-01-02'}),
      (2, {'text': 'dull', 'label': 0, 'score': None, 'parts': [],
           'day': '2026-01-02'})]


def test_classes_have_their_names(tmp_path):
  table = {'text': ['a', 'b', 'c'], 'label': [1, 0, 1]}
  paths = {
      'train': write(tmp_path / 'train.parquet', table,
                     label=classes('neg', 'pos'), text={'_type': 'Value'}),
      # Of an unlabelled split `datasets` has -1.
      'test': write(tmp_path / 'test.parquet', {**table, 'label': [-1] * 3},
                    label=classes('neg', 'pos'))}
  paths['dev'] = paths['train']
  found = files.load(paths, ['text'], 'label', regression=False)
  task, splits = found
  assert task.labels == ('neg', 'pos')
  assert splits['train'].labels.tolist() == [1, 0, 1]
  assert not splits['test'].labelled


def test_answers_of_copa_are_names_of_columns(tmp_path):
  path = write(tmp_path / 'copa.parquet', {
      'premise': ['It rained.'] * 2, 'question': ['effect'] * 2,
      'choice1': ['It was wet.'] * 2, 'choice2': ['It was dry.'] * 2,
      'label': [1, 0]}, label=classes('choice1', 'choice2'))
  assert choices.read(path).labels == [1, 0]


_TAGS = classes('O', 'B-PER')


@pytest.mark.parametrize('feature', [
    {'feature': _TAGS, '_type': 'Sequence'},
    {'feature': _TAGS, '_type': 'List'},
    [_TAGS], [{'names': ['O', 'B-PER'], 'id': None}]])  # Before `datasets` 4.
def test_tags_of_words(tmp_path, feature):
  path = write(
      tmp_path / 'ner.parquet',
      {'tokens': [['Ann', 'ran'], ['Go']], 'ner_tags': [[1, 0], [0]]},
      ner_tags=feature)
  assert [(one.words, one.tags, one.line) for one in conll.read(
      path, 'tokens', 'ner_tags')] == [
          (('Ann', 'ran'), ('B-PER', 'O'), 1), (('Go',), ('O',), 2)]
  with open(path, 'rb') as file:
    assert [*inputs.read_words(file, path, '', 'tokens')] == [
        ('Ann', 'ran'), ('Go',)]


class Pipe(io.BytesIO):

  def seekable(self):
    return False


def test_texts_to_predict_also_through_a_pipe(tmp_path):
  path = write(tmp_path / 'a.parquet', {'text': ['one', 'two']})
  with open(path, 'rb') as file:
    assert [*inputs.read_texts(file, path, '', ['text'])] == [
        ('one',), ('two',)]
    file.seek(0)
    assert [*inputs.read_texts(
        Pipe(file.read()), '-', 'parquet', ['text'])] == [('one',), ('two',)]
  assert raw_text.read(path, 'text') == ['one', 'two']


def test_bytes_are_texts_where_they_are_utf8(tmp_path):
  path = write(tmp_path / 'a.parquet', {'text': ['é'.encode(), b'\xff']})
  assert [row['text'] for _, row in rows.read(path)] == ['é', b'\xff']
  with pytest.raises(errors.UserError, match='line 2.*the text is bytes; give'):
    files.read(path, ['text'], 'label', labelled=False)


def test_faults_are_one_line(tmp_path):
  path = tmp_path / 'a.parquet'
  path.write_bytes(b'PAR1 and no more')
  with pytest.raises(errors.UserError, match='a.parquet: no Parquet file, or'):
    [*rows.read(str(path))]
  write(path, {'text': ['a'], 'label': [2]}, label=classes('no', 'yes'))
  with pytest.raises(errors.UserError, match='line 1: class 2 of 2'):
    [*rows.read(str(path))]
