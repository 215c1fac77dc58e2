"""Rows of the table of tasks against a prepared dataset."""

import dataclasses

import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.data import prepared
from adapters_jax.data import split_cache
from adapters_jax.data import task_rows
from adapters_jax.data import tasks
from tests.data import toy_set

ROW = tasks.Task('toy', 'toy_set/near', ('text',), toy_set.CLASSES,
                 ('accuracy',), target='kind')


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  with pytest.MonkeyPatch.context() as patched:
    patched.setitem(prepared._BUILDERS, 'toy_set', toy_set.__name__)
    patched.setattr(
        split_cache, 'cached', lambda folder, described, read: read())
    yield str(tmp_path_factory.mktemp('tfds'))


def load(data_dir, **changed):
  """Returns the splits of a changed row, as a run loads them."""
  with pytest.MonkeyPatch.context() as patched:
    patched.setitem(tasks.TASKS, 'toy', dataclasses.replace(ROW, **changed))
    return tasks.load(tasks.find('toy'), data_dir)


def test_the_classes_are_those_of_the_dataset(data_dir):
  splits = load(data_dir)
  assert {name: len(split) for name, split in splits.items()} == {
      'train': 40, 'dev': 20, 'test': 20}
  assert splits['dev'].labels.tolist() == [n % 3 for n in range(20)]
  assert splits['dev'].texts[2] == ('good film very the plot',)


@pytest.mark.parametrize('changed', [
    {'target': 'number'}, {'target': 'word'}, {'labels': ('a', 'b', 'c')}])
def test_classes_may_be_numbers_or_texts_or_have_other_names(
    data_dir, changed):
  found, wanted = load(data_dir, **changed), load(data_dir)
  for name, split in wanted.items():
    assert found[name].texts == split.texts
    np.testing.assert_array_equal(found[name].labels, split.labels)
    assert found[name].labels.dtype == np.int32


def test_texts_of_classes_are_numbered_as_in_the_row(data_dir):
  found = load(data_dir, target='word', labels=('good', 'bad', 'plain'))
  assert found['dev'].labels[:3].tolist() == [1, 2, 0]


def test_parts_of_a_split(data_dir):
  found = load(data_dir, splits=(
      ('train', 'train[:90%]'), ('dev', 'train[90%:]'),
      ('test', 'validation+test')))
  assert {name: len(split) for name, split in found.items()} == {
      'train': 36, 'dev': 4, 'test': 40}
  whole = load(data_dir)['train'].texts
  assert sorted(found['train'].texts + found['dev'].texts) == sorted(whole)


@pytest.mark.parametrize('target', ['partly', 'partly_word'])
def test_examples_without_a_class_are_left_out(data_dir, target):
  found = load(data_dir, target=target)
  known = [n for n in range(20) if n % 4]
  assert found['dev'].labels.tolist() == [n % 3 for n in known]
  texts = load(data_dir)['dev'].texts
  assert found['dev'].texts == [texts[n] for n in known]
  # A split without any keeps its examples, for predictions.
  assert not found['test'].labelled and len(found['test']) == 20


def test_ratings_are_scores_or_two_classes(data_dir):
  scores = load(data_dir, target='rating', labels=())
  assert scores['dev'].labels[:3].tolist() == [-.5, .5, 1.5]
  assert scores['dev'].labels.dtype == np.float32
  classes = load(
      data_dir, target='rating', labels=('a', 'b'), positive_above=.5)
  assert classes['dev'].labels[:3].tolist() == [0, 0, 1]


@pytest.mark.parametrize('changed, message', [
    ({'texts': 'text'}, r"`texts` of the task toy: give a tuple.*\('name',\)"),
    ({'labels': 'bad'}, '`labels`.*a tuple'),
    ({'metrics': 'accuracy'}, '`metrics`.*a tuple'),
    ({'texts': ('text',) * 3}, '`texts`.*or of the two texts'),
    ({'form': 'multilabel'}, "`form`.*'single'"),
    ({'labels': ('bad',)}, '`labels`.*two classes or more'),
    ({'labels': ('bad', 'bad', 'good')}, '`labels`.*one name'),
    ({'labels': ('a', 'b', 'c'), 'positive_above': 1.},
     '`positive_above`.*two classes'),
    ({'texts': ('txt',)}, '`texts`.*did you mean text'),
    ({'texts': ('idx',)}, '`texts`.*idx is not a text'),
    ({'texts': ('words',)}, '`texts`.*words has several values'),
    ({'target': 'kinds'}, '`target`.*did you mean kind'),
    ({'target': 'rating'}, '`target`.*rating is a rating.*`positive_above`'),
    ({'target': 'word', 'labels': ()}, '`target`.*word is a text.*`labels`'),
    ({'labels': ('good', 'plain', 'bad')},
     '`labels`.*kind has 3 classes; .* order bad, plain, good'),
    ({'labels': ('bad', 'good')}, '`labels`.*kind has 3 classes'),
    ({'labels': (*toy_set.CLASSES, 'best')}, '`labels`.*kind has 3 classes'),
    ({'target': 'number', 'labels': ('bad', 'good')},
     '`labels`.*2 names for the classes 0 to 2'),
    ({'target': 'number', 'labels': (*toy_set.CLASSES, 'best')},
     r'`labels`.*no example is of the class 3 \(best\)'),
    ({'target': 'signed', 'labels': ('no', 'yes')},
     r'`labels`.*no example is of the class 0 \(no\)'),
    ({'target': 'word', 'labels': ('bad', 'good')},
     '`labels`.*the other classes too: plain'),
    ({'splits': (('train', 'train'), ('dev', 'validaton'))},
     '`splits`.*did you mean validation'),
    ({'splits': (('train', 'train'), ('validation', 'validation'))},
     '`splits`.*none is named dev'),
    ({'splits': (('dev', 'validation'),)}, '`splits`.*none is named train'),
    ({'splits': (('train', 'train[:50]'), ('dev', 'validation'))},
     r"`splits`.*'train\[:50\]' is no part of train, validation, test .*40"),
    ({'splits': (('train', 'train'), ('dev', 'validation[:1%]'))},
     '`splits`.*no examples'),
    ({'splits': (('train', 'train'), ('dev', 'train[90%:]'))},
     '`splits`.*dev has examples of train'),
    ({'splits': (('train', 'train'), ('dev', 'test')), 'target': 'partly'},
     r'`splits`.*dev \(test\) has no labels')])
def test_a_wrong_row_is_one_line(data_dir, changed, message):
  with pytest.raises(errors.UserError, match=message) as found:
    load(data_dir, **changed)
  assert '\n' not in str(found.value)


def test_wrong_rows_are_named_before_the_first_of_many_runs(
    data_dir, monkeypatch):
  monkeypatch.setitem(tasks.TASKS, 'toy', ROW)
  tasks.require(['toy'], data_dir)
  monkeypatch.setitem(
      tasks.TASKS, 'toy', dataclasses.replace(ROW, target='kinds'))
  with pytest.raises(errors.UserError, match='did you mean kind'):
    tasks.require(['toy'], data_dir)


def test_rows_without_an_index_keep_their_order():
  rows = [{'text': text, 'kind': 0} for text in (b'b', b'a', b'c')]
  assert task_rows.read(rows, ROW).texts == [('b',), ('a',), ('c',)]
