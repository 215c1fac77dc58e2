"""Tests of sequences: arrays wherever lists and tuples are taken."""

import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.data import memory
from adapters_jax.data import sequences


def test_rows_of_arrays_are_rows():
  words = np.array([['a', 'b'], ['c', 'd']])
  for texts in (words, words.astype(object), list(words)):
    assert memory.Examples(texts, ['x', 'y']).rows == [('a', 'b'), ('c', 'd')]
  found = memory.Examples([('a', words[0]), ('b', words[1])], [0, 1])
  assert found.form == 'multiple_choice'
  assert found.rows == [('a', ('a', 'b')), ('b', ('c', 'd'))]
  # Plain strings, which every reader and JSON take.
  assert all(type(text) is str for text in sequences.row_of(words[0]))
  assert sequences.row_of('ab') == ('ab',)


def test_an_array_without_a_dimension_is_refused():
  with pytest.raises(errors.UserError, match='`texts`: give a list, not an'):
    memory.Examples(np.array('a'), ['x'])
  with pytest.raises(errors.UserError, match='`labels`: give a list, not an'):
    memory.Examples(['a'], np.array(1))


def test_rows_of_other_things_than_strings_are_refused():
  with pytest.raises(errors.UserError, match=r'`texts\[1\]`'):
    memory.Examples(np.array([['a', 'b'], ['c', None]]), ['x', 'y'])
