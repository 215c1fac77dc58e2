"""Tests of examples in memory."""

import dataclasses

import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.data import memory


def test_classes_are_sorted_and_a_tenth_is_held_out():
  texts = [f'text {n}' for n in range(40)]
  labels = ['b', 'a', 'c', 'a'] * 10
  task, splits = memory.to_task(memory.Examples(texts, labels))
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
  again = memory.to_task(memory.Examples(texts, labels))[1]
  assert again['dev'].texts == splits['dev'].texts
  assert splits['dev'].texts != [(text,) for text in texts[-4:]]


def test_integers_are_classes_in_their_order():
  task, splits = memory.to_task(memory.Examples(
      ['a', 'b', 'c', 'd'], np.array([10, 9, 10, 2])),
      dev=memory.Examples(['e'], [9]))
  assert task.labels == ('2', '9', '10')
  np.testing.assert_array_equal(splits['train'].labels, [2, 1, 2, 0])
  assert splits['train'].labels.dtype == np.int32
  np.testing.assert_array_equal(splits['dev'].labels, [1])
  task, _ = memory.to_task(memory.Examples(['a', 'b'], [True, False]))
  assert task.labels == ('False', 'True')


def test_names_of_integer_labels():
  examples = memory.Examples(
      ['a', 'b', 'c', 'd'], np.array([2, 0, 2, 1]), names=('z', 'y', 'x'))
  assert examples.labels == ['x', 'z', 'x', 'y']
  task, splits = memory.to_task(
      examples, dev=memory.Examples(['e'], [1], names=['z', 'y', 'x']))
  assert task.labels == ('z', 'y', 'x')
  np.testing.assert_array_equal(splits['train'].labels, [2, 0, 2, 1])
  np.testing.assert_array_equal(splits['dev'].labels, [1])
  for copy in dataclasses.replace(examples), examples.take(range(4)):
    assert (copy.labels, copy.names) == (examples.labels, ['z', 'y', 'x'])


@pytest.mark.parametrize('labels', [
    [[2], [], [0, 2]], [{2}, set(), {0, 2}], [[0, 0, 1], [0, 0, 0], [1, 0, 1]],
    np.array([[0, 0, 1], [0, 0, 0], [1, 0, 1]], np.float32)])
def test_names_of_several_labels(labels):
  examples = memory.Examples(['a', 'b', 'c'], labels, names=['z', 'y', 'x'])
  assert list(map(sorted, examples.labels)) == [['x'], [], ['x', 'z']]


@pytest.mark.parametrize('labels, names, message', [
    ([0, 1, 2], ['a', 'b'], r'`labels\[2\]`: 2 is no number of the 2 `names`; '
     'give integers from 0 to 1'),
    ([0, -1, -1], ['a', 'b'], r'`labels\[1\]`: -1 is'),
    ([0, 0.5, 1], ['a', 'b'], r'`labels\[1\]`: 0.5 is'),
    ([0, 1, True], ['a', 'b'], r'`labels\[2\]`: True is'),
    (['a', 'q', 'b'], ['a', 'b'], r"`labels\[1\]`: 'q' is"),
    (['a', 1, 'b'], ['a', 'b'], r"`labels\[0\]`: 'a' is"),
    ([[0], [1, 3], []], ['a', 'b', 'c'], r'`labels\[1\]`: 3 is'),
    ([[0, 1, 1], [1, 0, 0], [0, 0, 0]], [*'abcd'], r'`labels\[0\]`: rows of '
     '3, but 4 `names`; give a name for each column, or numbers .* in sets'),
    (np.eye(3), ['a', 'b'], r'`labels\[0\]`: rows of 3, but 2 `names`'),
    ([[0, 1], [1, 0], [0, 1]], ['a', 'b', 'c'], '.*rows of 2, but 3 `names`'),
    ([[True, False]] * 3, ['a'], '.*rows of 2, but 1 `names`'),
    ([[0, 1, 2], [1, 0, 1], [0]], ['a', 'b', 'c'], r'`labels\[1\]`: the label '
     '1 is there 2 times; give rows of 0 and 1, all of one length, or each'),
    ([0, 1, 0], 'ab', '`names`: give a list of names'),
    ([0, 1, 0], [], '`names`: there is none'),
    ([0, 1, 0], ['a', 1], r'`names\[1\]`: 1; give a text for each class'),
    ([0, 1, 0], ['a', 'a'], r"`names\[1\]`: 'a'; .* another one for each")])
def test_labels_that_are_no_numbers_of_names(labels, names, message):
  with pytest.raises(errors.UserError, match=f'^{message}'):
    memory.Examples(['a', 'b', 'c'], labels, names=names)


@pytest.mark.parametrize('rows', [
    [[0, 1, 0], [1, 0, 0], [1, 1, 0], [0, 0, 0]], [[1], [0], [0, 1], []],
    [{1}, {0}, {0, 1}, set()], [['b'], ['c'], ['c', 'b'], []]])
def test_a_name_without_an_example_is_a_label_too(rows):
  examples = memory.Examples([*'abcd'], rows, names=['c', 'b', 'a'])
  dev = memory.Examples(['e'], [[0, 0, 1]], names=['c', 'b', 'a'])
  task, splits = memory.to_task(examples, dev, examples.take([3, 0]))
  assert task.labels == ('c', 'b', 'a') and task.form == 'multilabel'
  np.testing.assert_array_equal(
      splits['train'].labels, [[0, 1, 0], [1, 0, 0], [1, 1, 0], [0, 0, 0]])
  np.testing.assert_array_equal(splits['dev'].labels, [[0, 0, 1]])
  np.testing.assert_array_equal(splits['test'].labels, [[0, 0, 0], [0, 1, 0]])
  none = memory.Examples(['a'], [[0, 0]], names=['b', 'c'])
  with pytest.raises(errors.UserError, match='no text has a label'):
    memory.to_task(none, none)


@pytest.mark.parametrize('labels', [[2, 0, 2, 0], ['x', 'z', 'x', 'z']])
def test_a_name_without_an_example_is_a_class_too(labels):
  examples = memory.Examples([*'abcd'], labels, names=['z', 'y', 'x'])
  task, splits = memory.to_task(
      examples, memory.Examples(['e'], [1], names=['x', 'y', 'z']))
  assert task.labels == ('z', 'y', 'x')  # Those of training.
  np.testing.assert_array_equal(splits['train'].labels, [2, 0, 2, 0])
  np.testing.assert_array_equal(splits['dev'].labels, [1])
  held_out = memory.to_task(examples)[0]
  assert held_out.labels == task.labels
  one = memory.Examples(['a', 'b'], [1, 1], names=['z', 'y'])
  with pytest.raises(errors.UserError, match="all are 'y'; two classes"):
    memory.to_task(one)


def test_choices_have_no_names():
  with pytest.raises(errors.UserError, match='`names`: is for classes'):
    memory.Examples([('a', ['b', 'c'])], [0], names=['b', 'c'])


def test_floats_are_scores_and_pairs_are_pairs():
  pairs = [('a', 'b'), ['c', 'd']]
  examples = memory.Examples(pairs, [0.5, np.float32(2)])
  task, splits = memory.to_task(examples, examples, examples)
  assert (task.labels, len(task.texts), task.outputs) == ((), 2, 1)
  assert task.metrics == ('spearman', 'pearson')
  assert list(splits) == ['train', 'dev', 'test']
  assert splits['test'].texts == [('a', 'b'), ('c', 'd')]
  np.testing.assert_array_equal(
      splits['test'].labels, np.array([0.5, 2], np.float32))


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


@pytest.mark.parametrize('labels, found', [
    ([0.0, 1.0], '0.0 and 1.0 are read as scores; give integers for classes'),
    ([2.0, 0.0, 1.0, 1], '0.0, 1.0 and 2.0 are read as scores'),
    ([1.0, 1.0], ''), ([0.0, 0.5], ''), ([float(n) for n in range(11)], '')])
def test_whole_floats_may_be_classes(labels, found, caplog):
  texts = [f'text {n}' for n in range(len(labels))]
  task, _ = memory.to_task(memory.Examples(texts, labels))
  assert task.labels == ()
  assert (found in caplog.text) if found else not caplog.records


def test_a_series_is_read_in_its_order():
  examples = memory.Examples(Series(['a', 'b', 'c']), Series([2, 1, 2]))
  assert examples.take([2, 0]).texts == ['c', 'a']
  task, splits = memory.to_task(examples, examples)
  assert (task.labels, list(splits['dev'].labels)) == (('1', '2'), [1, 0, 1])


@pytest.mark.parametrize('texts, labels, message', [
    ('text', ['a'] * 4, 'a list of texts'),
    (['a'], [], 'there are 0 for 1'),
    ([], [], 'no example'),
    (['a', ('b', 'c')], ['x', 'y'], r'`texts\[1\]`'),
    ([('a', 'b', 'c')], ['x'], r'`texts\[0\]`'),
    (['a', 3], ['x', 'y'], r'`texts\[1\]`'),
    (['a', None], ['x', 'y'], r'`texts\[1\]`'),
    (['a', 'b'], 'xy', '`labels`: give a list of labels, .*not a single'),
    ({'a': 1, 'b': 2}, ['x', 'y'], '`texts`: give a list, not dict'),
    ({'a', 'b'}, ['x', 'y'], '`texts`: give a list, not set'),
    (['a', 'b'], 3, '`labels`: give a list, not int'),
    (['a', 'b'], [0.5, float('nan')], r'`labels\[1\]`: is missing'),
    (['a', 'b'], [-1e39, 0.5], r'`labels\[0\]`: -1e\+39 is no number'),
    (['a', 'b'], [0.5, np.float32('inf')], r'`labels\[1\]`: inf is no'),
])
def test_wrong_examples(texts, labels, message):
  with pytest.raises(errors.UserError, match=message):
    memory.Examples(texts, labels)


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
    memory.to_task(memory.Examples(*train),
                   None if dev is None else memory.Examples(*dev))
