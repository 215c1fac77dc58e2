"""Tests of labelled texts in memory."""

import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.data import memory


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


def test_choices_have_no_names():
  with pytest.raises(errors.UserError, match='`names`: is for classes'):
    memory.Examples([('a', ['b', 'c'])], [0], names=['b', 'c'])


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


@pytest.mark.parametrize('texts, labels, names, wanted', [
    ('abc', ['good', 'bad', 'good'], None, '3 texts, labels bad, good'),
    ('abc', ['good', 'bad', 'good'], ['good', 'bad', 'fair'],
     '3 texts, labels good, bad, fair'),
    ([('a', 'b')], [7], None, '1 pair, labels 7'),
    ('ab', [10, 9], None, '2 texts, labels 9, 10'),
    ('ab', [0.25, 5], None, '2 texts, scores 0.25 to 5'),
    ('ab', [['x', 'y'], {'z'}], None, '2 texts, labels x, y, z'),
    ('ab', [[], []], None, '2 texts, no labels'),
    ('ab', [[0, 1, 1], [1, 0, 1]], None, '2 texts, 3 columns of labels'),
    ('ab', ['a', 1], None, '2 texts, labels a, 1'),
    ('ab', ['a' * 99, 'b'], None, f'2 texts, labels {"a" * 27}..., b'),
    ([('a', ['b', 'c'])] * 2, [0, 1], None, '2 texts with choices')])
def test_a_repr_is_one_line(texts, labels, names, wanted):
  assert repr(memory.Examples([*texts], labels, names)) == f'Examples({wanted})'


def test_a_repr_of_many_examples_is_short():
  examples = memory.Examples(
      ['a good film'] * 3000, [f'label {n:04}' for n in range(3000)])
  assert repr(examples) == (
      'Examples(3,000 texts, labels '
      + ', '.join(f'label {n:04}' for n in range(8)) + ' and 2992 more)')
