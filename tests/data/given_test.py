"""Tests of the advice on data in another form than Examples."""

import pathlib

import pyarrow
import pytest

from adapters_jax import errors
from adapters_jax.data import given
from adapters_jax.data import memory

WANTED = 'a task, or Examples(texts=..., labels=...)'


class Dataset:
  """Data with names of columns, as of `datasets`."""

  def __init__(self, names):
    self.column_names = names


class Streamed(Dataset):
  """A dataset that does not know its columns, with others that do."""

  columns = ('text', 'label')


class Frame:
  """Data with columns, as of pandas."""

  columns = 'review', 'target'


@pytest.mark.parametrize('value', [
    'train.tsv', 'TRAIN.CSV', 'a.jsonl', 'b.parquet', 'data/a.tsv', './rte',
    '../rows', '/data/rows', '~/rows', 'hf://datasets/owner/name',
    'hf://datasets/owner/name/a.parquet', 'c.txt', pathlib.Path('train')])
def test_a_file_is_named_with_the_ways_to_give_data(value):
  with pytest.raises(errors.UserError) as found:
    given.check('data', value, str | memory.Examples, WANTED)
  assert str(found.value) == (
      f"`data='{value}'`: files are for `train_file` of the command "
      f'`adapters-jax train`; in Python give {WANTED}')


def test_names_of_tasks_are_no_files(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  pathlib.Path('data').mkdir()
  for name in ('rte', 'mine', 'data/mine'):
    pathlib.Path(name).write_text('a')
  assert not given.is_file('rte')
  assert given.is_file('mine') and given.is_file('data/mine')
  assert not given.is_file('stanfordnlp/imdb')
  assert not given.is_file('glue/sst2') and given.is_file('data\\rows')
  assert not given.is_file('movie_sentiment_texts')
  assert not given.is_file(3)


@pytest.mark.parametrize('value, example', [
    ([('A joy.', 'good')], 'Examples(texts=[text for text, _ in data], '
     'labels=[label for _, label in data])'),
    ([['A joy.', 1]], 'labels=[label for _, label in data])'),
    ([{'text': 'a', 'label': 1}], "Examples(texts=[row['text'] for row in "
     "data], labels=[row['label'] for row in data])"),
    ([{'premise': 'a', 'hypothesis': 'b', 'label': 1}],
     "texts=[(row['premise'], row['hypothesis']) for row in data]"),
    ({'text': ['a'], 'label': [1]},
     "Examples(texts=data['text'], labels=data['label'])"),
    ({'sentence': ['a'], 'labels': [1]},
     "Examples(texts=data['sentence'], labels=data['labels'])"),
    (Dataset(['idx', 'sentence1', 'sentence2', 'label']),
     "texts=[*zip(data['sentence1'], data['sentence2'])]"),
    (pyarrow.table({'text': ['a'], 'label': [1]}),
     "Examples(texts=data['text'], labels=data['label'])"),
    (Streamed(None), "Examples(texts=data['text'], labels=data['label'])"),
    (Frame(), "Examples(texts=data['review'], labels=data['target'])"),
    ({'train': 0, 'test': 0}, "one split, such as data['train']"),
    (Dataset({'train': ['text']}), "one split, such as data['train']")])
def test_rows_and_columns_get_the_call_that_holds_them(value, example):
  with pytest.raises(errors.UserError) as found:
    given.check('data', value, str | memory.Examples, WANTED)
  assert str(found.value).startswith(
      f'`data`: give {WANTED}, not {type(value).__name__}; ')
  assert example in str(found.value)


@pytest.mark.parametrize('value', [
    [], ['a'], {'x': 1}, {'text': ['a']}, 3, {'text', 'label'}, Dataset(None),
    Dataset('text label'), Dataset([1, 2]), pyarrow.table({'x': [1]})])
def test_other_values_get_no_example(value):
  with pytest.raises(errors.UserError) as found:
    given.check('data', value, str | memory.Examples, WANTED)
  assert str(found.value) == (
      f'`data`: give {WANTED}, not {type(value).__name__}')


def test_no_example_where_other_data_are_wanted():
  with pytest.raises(errors.UserError, match='give Pairs, not list$'):
    given.check('dev', [('a', 'b')], int | None, 'Pairs')
