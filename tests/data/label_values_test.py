"""Tests of label_values, through the tasks of examples in memory."""

import decimal
import enum
import math

import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.data import memory
from adapters_jax.data import memory_tasks

TEXTS = ['a', 'b', 'c', 'd']
ROWS = [[1, 0, 0], [0, 1, 1], [0, 0, 0], [1, 0, 0]]


class Mood(str, enum.Enum):  # noqa: UP042, whose `str` is its name.
  GOOD = 'good'
  BAD = 'bad'


class Stars(enum.IntEnum):
  ONE = 1
  TEN = 10


class Plain(enum.Enum):
  GOOD = 'good'


def task_of(labels, dev=None):
  """Returns (task, labels of training, labels of dev)."""
  examples = memory.Examples(TEXTS, labels)
  other = examples if dev is None else memory.Examples(TEXTS[:len(dev)], dev)
  task, splits = memory_tasks.to_task(examples, other)
  return task, splits['train'].labels, splits['dev'].labels


@pytest.mark.parametrize('rows', [
    ROWS, np.array(ROWS), np.array(ROWS, bool), np.array(ROWS, np.float32),
    list(map(tuple, ROWS)), [np.array(row) for row in ROWS]])
def test_rows_of_0_and_1_are_columns(rows):
  task, labels, _ = task_of(rows)
  assert (task.form, task.labels) == ('multilabel', ('0', '1', '2'))
  np.testing.assert_array_equal(labels, ROWS)
  assert labels.dtype == np.float32


def test_a_column_without_a_1_is_a_label_too():
  task, labels, dev = task_of(
      [[0, 1, 0], [0, 0, 0], [0, 1, 0], [0, 0, 0]], [[1, 1, 1]])
  assert task.labels == ('0', '1', '2')
  assert labels.sum(0).tolist() == [0, 2, 0] and dev.tolist() == [[1, 1, 1]]
  # Both labels for every text, as a list of numbers would say, teach nothing.
  assert task_of([[1, 0], [0, 1]] * 2)[1].tolist() == [[1, 0], [0, 1]] * 2


def test_lists_and_sets_of_numbers_are_labels():
  task, labels, dev = task_of([[3], [0, 1], [], [1]], [[1], [0]])
  assert task.labels == ('0', '1', '3')
  assert labels.tolist() == [[0, 0, 1], [1, 1, 0], [0, 0, 0], [0, 1, 0]]
  assert dev.tolist() == [[0, 1, 0], [1, 0, 0]]
  task, labels, _ = task_of([{0, 1}, {1}, {0}, set()])
  assert labels.tolist() == [[1, 1], [0, 1], [1, 0], [0, 0]]


@pytest.mark.parametrize('labels, dev, message', [
    ([[1], [0]] * 2, None, r'`labels\[0\]`: \[1\] may be a label or a column'),
    ([[1, 0, 0], [1]] * 2, None, r'`labels\[0\]`: the label 0 is there 2'),
    ([[1, 2], [2, 2]] * 2, None, r'`labels\[1\]`: the label 2 is there 2'),
    ([[True, False], [True]] * 2, None, 'give rows of 0 and 1, all of one'),
    ([[0, 1], [0.5, 1]] * 2, None, r'`labels\[1\]`: \[0.5, 1\]; give rows of'),
    ([[[1, 0]], [[0, 1]]] * 2, None, 'not of lists'),
    ([[1, 'x'], ['x']] * 2, None, r"`labels\[0\]`: 1 beside 'x'"),
    (ROWS, [[1, 0]], r'`dev`, `labels\[0\]`: \[1, 0\]; give 3 numbers 0 or 1'),
    (ROWS, [[0, 0, 0], ['1']], r"`dev`, `labels\[1\]`: \['1'\]; give 3"),
    ([[0], [2], [1], []], [[1, 0, 0]], r'`dev`, `labels\[0\]`: the label 0'),
    ([['a'], ['b']] * 2, [[1]], '`dev`: its labels are integers'),
    ([[0, 0]] * 4, None, 'no text has a label'),
])
def test_rows_that_are_neither(labels, dev, message):
  with pytest.raises(errors.UserError, match=message):
    task_of(labels, dev)


def test_members_of_an_enumeration_are_their_values():
  assert task_of([Mood.GOOD, Mood.BAD] * 2, ['bad'])[0].labels == (
      'bad', 'good')
  assert task_of([[Mood.GOOD], [Mood.BAD, Mood.GOOD]] * 2)[0].labels == (
      'bad', 'good')
  assert task_of([Stars.TEN, Stars.ONE] * 2, [1])[0].labels == ('1', '10')


def test_integers_among_floats_are_scores():
  task, labels, dev = task_of([4.5, 3, 2.5, np.int64(1)], [1, 2])
  assert (task.labels, task.metrics) == ((), ('spearman', 'pearson'))
  assert labels.tolist() == [4.5, 3, 2.5, 1] and dev.tolist() == [1, 2]


@pytest.mark.parametrize('labels, message', [
    ([True, 1, 0, 0], r'`labels\[0\]`: True beside 1'),
    ([1, 0, np.bool_(True), 0], r'`labels\[2\]`: .*True.* beside 1'),
    ([4.5, 3, 'x', 1], r"`labels\[2\]`: 'x' beside 4.5"),
    (['x', 1, 2, 1], r"`labels\[0\]`: 'x' beside 1"),
    (['x', 'y', ['x'], 'y'], r"`labels\[2\]`: \['x'\] beside 'x'"),
    ([['x'], 'y', 'x', 'y'], r"`labels\[0\]`: \['x'\] beside 'y'"),
    (['x', 'y', None, 'x'], r'`labels\[2\]`: is missing; leave the row out'),
    (['x', math.nan, 'y', 'x'], r'`labels\[1\]`: is missing; leave the row'),
    ([1, 0, np.float32('nan'), 0], r'`labels\[2\]`: is missing'),
    ([['x'], ['y', None]] * 2, r'`labels\[1\]`: is missing'),
    (['x', 'y', math.inf, 'x'], r"`labels\[2\]`: inf beside 'x'"),
    ([0.5, math.inf, 1, 1], r'`labels\[1\]`: inf is no number of float32'),
    ([Plain.GOOD] * 4, r'`labels\[0\]`: .* \(Plain\) is no label'),
    ([b'x', b'y'] * 2, r"`labels\[0\]`: b'x' \(bytes\) is no label"),
    ([1.5, decimal.Decimal(2), 1, 1], r'`labels\[1\]`: .* \(Decimal\) is no'),
    ([1.5, 10**40, 1, 1], r'`labels\[1\]`: 10+ is no number of float32'),
])
def test_labels_of_several_kinds_name_the_odd_one(labels, message):
  with pytest.raises(errors.UserError, match=message):
    task_of(labels)


@pytest.mark.parametrize('labels, dev', [
    ([1, 2] * 2, [1.0]), ([1, 0] * 2, [True]), ([True, False] * 2, [1])])
def test_splits_have_labels_of_one_kind(labels, dev):
  with pytest.raises(errors.UserError, match='`dev`: its labels are'):
    task_of(labels, dev)
