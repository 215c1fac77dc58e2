"""Tests of sequences: arrays wherever lists and tuples are taken."""

import jax.numpy as jnp
import numpy as np
import pyarrow
import pytest

from adapters_jax import errors
from adapters_jax.data import memory
from adapters_jax.data import memory_tasks
from adapters_jax.data import pairs
from adapters_jax.data import questions
from adapters_jax.data import raw_text
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
  with pytest.raises(errors.UserError, match=r'`texts\[1\]`: give one string'):
    memory.Examples(np.array([['a', 'b'], ['c', 3]], object), ['x', 'y'])


class NAType:
  """As pandas' mark of a missing value, whose comparisons have no truth."""

  def __ne__(self, other):
    raise TypeError


@pytest.mark.parametrize('value', [None, float('nan'), np.float32('nan'),
                                   NAType()])
@pytest.mark.parametrize('make, place', [
    (lambda value: memory.Examples(['a', value], ['x', 'y']), 'texts'),
    (lambda value: memory.Examples([('a', 'b'), ('c', value)], [1, 0]),
     'texts'),
    (lambda value: memory.Examples(['a', 'b'], ['x', value]), 'labels'),
    (lambda value: memory.Examples(['a', 'b'], [1, value], names=['x', 'y']),
     'labels'),
    (lambda value: pairs.Pairs([('a', 'b'), (value, 'c')]), 'texts'),
    (lambda value: pairs.Pairs([('a', 'b'), ('a', 'c')], [1, value]), 'scores'),
    (lambda value: raw_text.Texts(['a', value]), 'texts'),
    (lambda value: questions.Questions(['a', 'b'], ['c', value], ['c', 'd']),
     'contexts'),
    (lambda value: questions.Questions(['a', 'b'], ['c', 'd'], ['c', value]),
     'answers')])
def test_a_missing_value_is_called_so(value, make, place):
  with pytest.raises(errors.UserError, match=(
      rf'^`{place}\[1\]`: is missing; leave the row out$')):
    make(value)


@pytest.mark.parametrize('kind', [
    jnp.array, lambda values: [jnp.array(one) for one in values],
    lambda values: [np.array(one) for one in values], np.array])
def test_arrays_of_jax_and_scalars_are_labels_and_scores(kind):
  texts = [f'text {number}' for number in range(4)]
  for values, form in (([0, 1, 1, 0], 'single'), ([.5, 1., 0., 2.], 'single'),
                       ([True, False] * 2, 'single'),
                       ([[0, 1, 1], [1, 0, 0]] * 2, 'multilabel')):
    found = memory.Examples(texts, kind(values))
    wanted = memory.Examples(texts, values)
    assert (found.labels, found.form) == (wanted.labels, form)
    assert memory_tasks.to_task(found)[0] == memory_tasks.to_task(wanted)[0]
  rows = [(text, text) for text in texts]
  found = pairs.Pairs(rows, kind([.5, 1., 0., 2.])).scores
  np.testing.assert_array_equal(found, np.array([.5, 1, 0, 2], np.float32))
  assert found.dtype == np.float32


def test_columns_of_pyarrow_are_lists():
  table = pyarrow.table({'text': ['a', 'b'], 'label': [[0, 1], [1, 1]]})
  found = memory.Examples(table['text'], table['label'])
  assert (found.texts, found.labels) == (['a', 'b'], [[0, 1], [1, 1]])
  with pytest.raises(errors.UserError, match='give a list, not Table'):
    memory.Examples(table, [0, 1])


def test_scalars_of_jax_are_named_in_messages():
  with pytest.raises(errors.UserError, match='`labels`: give a list, not an'):
    memory.Examples(['a'], jnp.array(1))
  with pytest.raises(errors.UserError, match=r'`scores\[1\]`: inf is no score'):
    pairs.Pairs([('a', 'b')] * 2, jnp.array([1, jnp.inf]))
