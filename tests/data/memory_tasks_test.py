"""Tests of the task of examples in memory."""

import dataclasses

import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.data import memory
from adapters_jax.data import memory_tasks


def test_classes_are_sorted_and_a_tenth_is_held_out():
  texts = [f'text {n}' for n in range(40)]
  labels = ['b', 'a', 'c', 'a'] * 10
  task, splits = memory_tasks.to_task(memory.Examples(texts, labels))
  assert (task.labels, task.texts) == (('a', 'b', 'c'), ('text',))
  assert task.metrics == ('accuracy', 'macro_f1')
  assert {name: len(split) for name, split in splits.items()} == {
      'train': 36, 'dev': 4}
  # Every example is in one split, with its own label.
  found = {}
  for split in splits.values():
    for (text,), label in zip(split.texts, split.labels, strict=True):
      found[text] = task.labels[label]
  assert found == dict(zip(texts, labels))
  again = memory_tasks.to_task(memory.Examples(texts, labels))[1]
  assert again['dev'].texts == splits['dev'].texts
  assert splits['dev'].texts != [(text,) for text in texts[-4:]]


def test_integers_are_classes_in_their_order():
  task, splits = memory_tasks.to_task(memory.Examples(
      ['a', 'b', 'c', 'd'], np.array([10, 9, 10, 2])),
      dev=memory.Examples(['e'], [9]))
  assert task.labels == ('2', '9', '10')
  np.testing.assert_array_equal(splits['train'].labels, [2, 1, 2, 0])
  assert splits['train'].labels.dtype == np.int32
  np.testing.assert_array_equal(splits['dev'].labels, [1])
  task, _ = memory_tasks.to_task(memory.Examples(['a', 'b'], [True, False]))
  assert task.labels == ('False', 'True')


def test_names_of_integer_labels():
  examples = memory.Examples(
      ['a', 'b', 'c', 'd'], np.array([2, 0, 2, 1]), names=('z', 'y', 'x'))
  assert examples.labels == ['x', 'z', 'x', 'y']
  task, splits = memory_tasks.to_task(
      examples, dev=memory.Examples(['e'], [1], names=['z', 'y', 'x']))
  assert task.labels == ('z', 'y', 'x')
  np.testing.assert_array_equal(splits['train'].labels, [2, 0, 2, 1])
  np.testing.assert_array_equal(splits['dev'].labels, [1])
  for copy in dataclasses.replace(examples), examples.take(range(4)):
    assert (copy.labels, copy.names) == (examples.labels, ['z', 'y', 'x'])


@pytest.mark.parametrize('rows', [
    [[0, 1, 0], [1, 0, 0], [1, 1, 0], [0, 0, 0]], [[1], [0], [0, 1], []],
    [{1}, {0}, {0, 1}, set()], [['b'], ['c'], ['c', 'b'], []]])
def test_a_name_without_an_example_is_a_label_too(rows):
  examples = memory.Examples([*'abcd'], rows, names=['c', 'b', 'a'])
  dev = memory.Examples(['e'], [[0, 0, 1]], names=['c', 'b', 'a'])
  task, splits = memory_tasks.to_task(examples, dev, examples.take([3, 0]))
  assert task.labels == ('c', 'b', 'a') and task.form == 'multilabel'
  np.testing.assert_array_equal(
      splits['train'].labels, [[0, 1, 0], [1, 0, 0], [1, 1, 0], [0, 0, 0]])
  np.testing.assert_array_equal(splits['dev'].labels, [[0, 0, 1]])
  np.testing.assert_array_equal(splits['test'].labels, [[0, 0, 0], [0, 1, 0]])
  none = memory.Examples(['a'], [[0, 0]], names=['b', 'c'])
  with pytest.raises(errors.UserError, match='no text has a label'):
    memory_tasks.to_task(none, none)


@pytest.mark.parametrize('labels', [[2, 0, 2, 0], ['x', 'z', 'x', 'z']])
def test_a_name_without_an_example_is_a_class_too(labels):
  examples = memory.Examples([*'abcd'], labels, names=['z', 'y', 'x'])
  task, splits = memory_tasks.to_task(
      examples, memory.Examples(['e'], [1], names=['x', 'y', 'z']))
  assert task.labels == ('z', 'y', 'x')  # Those of training.
  np.testing.assert_array_equal(splits['train'].labels, [2, 0, 2, 0])
  np.testing.assert_array_equal(splits['dev'].labels, [1])
  held_out = memory_tasks.to_task(examples)[0]
  assert held_out.labels == task.labels
  one = memory.Examples(['a', 'b'], [1, 1], names=['z', 'y'])
  with pytest.raises(errors.UserError, match="all are 'y'; two classes"):
    memory_tasks.to_task(one)


def test_floats_are_scores_and_pairs_are_pairs():
  pairs = [('a', 'b'), ['c', 'd']]
  examples = memory.Examples(pairs, [0.5, np.float32(2)])
  task, splits = memory_tasks.to_task(examples, examples, examples)
  assert (task.labels, len(task.texts), task.outputs) == ((), 2, 1)
  assert task.metrics == ('spearman', 'pearson')
  assert list(splits) == ['train', 'dev', 'test']
  assert splits['test'].texts == [('a', 'b'), ('c', 'd')]
  np.testing.assert_array_equal(
      splits['test'].labels, np.array([0.5, 2], np.float32))


@pytest.mark.parametrize('labels, found', [
    ([0.0, 1.0], '0.0 and 1.0 are read as scores; give integers for classes'),
    ([2.0, 0.0, 1.0, 1], '0.0, 1.0 and 2.0 are read as scores'),
    ([1.0, 1.0], ''), ([0.0, 0.5], ''), ([float(n) for n in range(11)], '')])
def test_whole_floats_may_be_classes(labels, found, caplog):
  texts = [f'text {n}' for n in range(len(labels))]
  task, _ = memory_tasks.to_task(memory.Examples(texts, labels))
  assert task.labels == ()
  assert (found in caplog.text) if found else not caplog.records


class Series:
  """Values with an index of their own, as of a filtered pandas Series."""

  def __init__(self, values):
    self.values = values

  def __len__(self):
    return len(self.values)

  def __iter__(self):
    return iter(self.values)

  def __getitem__(self, index):
    raise KeyError(index)


def test_a_series_is_read_in_its_order():
  examples = memory.Examples(Series(['a', 'b', 'c']), Series([2, 1, 2]))
  assert examples.take([2, 0]).texts == ['c', 'a']
  task, splits = memory_tasks.to_task(examples, examples)
  assert (task.labels, list(splits['dev'].labels)) == (('1', '2'), [1, 0, 1])


@pytest.mark.parametrize('train, dev, message', [
    ((['a'], ['x']), None, 'two examples'),
    ((['a', 'b'], ['x', 'x']), None, "all are 'x'"),
    ((['a', 'b'], ['x', 1]), None, 'strings for all'),
    ((['a', 'b'], [1.0, 'x']), None, 'strings for all'),
    ((['a', 'b'], ['x', 'y']), (['c'], ['z']), "`dev`.*'z' does not occur"),
    ((['a', 'b'], ['x', 'y']), ([('c', 'd')], ['x']), '`dev`.*2 texts'),
    ((['a', 'b'], [0.1, 0.2]), (['c'], ['x']), '`dev`: its labels are strings'),
])
def test_splits_that_do_not_fit(train, dev, message):
  with pytest.raises(errors.UserError, match=message):
    memory_tasks.to_task(memory.Examples(*train),
                   None if dev is None else memory.Examples(*dev))
