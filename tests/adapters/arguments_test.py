"""Tests of the arguments of predictions and embeddings."""

import dataclasses
import logging

import jax.numpy as jnp
import numpy as np
import pytest

import adapters_jax as aj
from adapters_jax import errors
from adapters_jax.adapters import arguments
from adapters_jax.adapters import tagging
from tests.adapters import bank_test

TEXTS = ['a good film', 'very dull', 'bad']


@pytest.fixture(scope='module')
def bank():
  return {'a': bank_test.make(), 'b': bank_test.make(seed=1)}


def test_names_may_come_from_any_iterable(base, bank):
  names = ['a', 'b', 'a']
  wanted = aj.predict(base, bank, TEXTS, names)
  for given in ((name for name in names), np.array(names)):
    assert aj.predict(base, bank, TEXTS, given) == wanted
  np.testing.assert_array_equal(
      aj.encode(base, TEXTS, bank, adapters=(name for name in names)),
      aj.encode(base, TEXTS, bank, adapters=names))
  assert arguments.names_of(bank, [None, 'b'], 2) == [None, 'b']


@pytest.mark.parametrize('names, message', [
    ({'a', 'b'}, '`adapters`: give a list, not set'),
    ('ab', '`adapters`: give a list of adapters'),
    (3, '`adapters`: give a list, not int'),
    (['a'], '`adapters`: there are 1 names for 2 texts'),
    ([['a'], 'b'], r'`adapters\[0\]`: give the name .*, not list'),
    (['a', 3], r'`adapters\[1\]`: give the name .*, not int'),
    (['a', 'c'], "unknown 'c'")])
def test_wrong_names(base, bank, names, message):
  for call in (lambda: aj.predict(base, bank, TEXTS[:2], names),
               lambda: aj.encode(base, TEXTS[:2], bank, adapters=names)):
    with pytest.raises(errors.UserError, match=message):
      call()


def test_a_bank_is_not_empty(base):
  for call in (lambda: aj.predict(base, {}, TEXTS),
               lambda: aj.predict(base, {}, TEXTS, ['a'] * 3),
               lambda: aj.encode(base, TEXTS, {})):
    with pytest.raises(errors.UserError, match='the bank is empty'):
      call()
  assert aj.encode(base, TEXTS, {}, adapters=[None] * 3).shape == (3, 12)


@pytest.mark.parametrize('integer', [np.int64, jnp.int32])
def test_scalars_of_numpy_and_jax_are_numbers(base, bank, integer):
  one = bank['a']
  assert aj.predict(base, one, TEXTS, batch_size=integer(2)) == (
      aj.predict(base, one, TEXTS, batch_size=2))
  np.testing.assert_array_equal(
      aj.encode(base, TEXTS, dims=integer(4), max_length=integer(4),
                batch_size=integer(2), normalize=jnp.bool_(True)),
      aj.encode(base, TEXTS, dims=4, max_length=4, batch_size=2,
                normalize=True))
  examples = aj.Examples(TEXTS, ['0', '1', '1'])
  assert aj.evaluate(
      base, one, examples, threshold=jnp.float32(0.25),
      batch_size=integer(2)) == aj.evaluate(
          base, one, examples, threshold=0.25, batch_size=2)
  assert aj.merge(
      bank, 'dare', base=base, density=jnp.float32(0.5),
      seed=integer(3)) == aj.merge(bank, 'dare', base=base, seed=3)
  assert aj.drop_layers(base, one, integer(1)) == aj.drop_layers(base, one, 1)
  np.testing.assert_array_equal(
      aj.encode(base, TEXTS, batch_size=np.int32(2), dims=np.int64(4),
                max_length=np.int64(4), normalize=np.bool_(False)),
      aj.encode(base, TEXTS, batch_size=2, dims=4, max_length=4,
                normalize=False))


@pytest.mark.parametrize('size', [0, -1, 2.0, True, '8', None])
def test_sizes_of_batches(base, bank, size):
  for call in (lambda: aj.predict(base, bank['a'], TEXTS, batch_size=size),
               lambda: aj.encode(base, TEXTS, batch_size=size)):
    with pytest.raises(errors.UserError, match='`batch_size=.*an integer of 1'):
      call()


@pytest.mark.parametrize('settings, message', [
    ({'dims': 4.0}, '`dims=4.0`: give an integer from 1 to 12'),
    ({'dims': '4'}, "`dims='4'`: give an integer"),
    ({'dims': -1}, '`dims=-1`: give an integer'),
    ({'dims': True}, '`dims=True`: give an integer'),
    ({'max_length': 8.5}, '`max_length=8.5`: give an integer of 1 or more'),
    ({'max_length': 0}, '`max_length=0`: .*, or None for the model'),
    ({'max_length': 1}, '`max_length=1`: the special tokens take 2'),
    ({'prompt': 3}, '`prompt=3`: give a string'),
    ({'pooling': 3}, '`pooling=3`: give a name'),
    ({'normalize': 'no'}, "`normalize='no'`: give True or False")])
def test_settings_of_embeddings(base, settings, message):
  with pytest.raises(errors.UserError, match=message):
    aj.encode(base, TEXTS, **settings)


def test_rows_of_arrays_are_inputs(base):
  pair = dataclasses.replace(bank_test.make(), texts=('text', 'pair'))
  rows = [('a good film', 'bad'), ('very dull', 'film')]
  wanted = aj.predict(base, pair, rows)
  assert aj.predict(base, pair, np.array(rows)) == wanted
  assert aj.predict(base, pair, np.array(rows, object)) == wanted
  assert tagging.words_of(0, np.array(['Ann', 'left'])) == (('Ann', 'left'), ())
  with pytest.raises(errors.UserError, match='`texts`: give a list, not an ar'):
    aj.predict(base, pair, np.array('a film'))


def test_texts_that_are_cut_are_logged(base, bank, caplog):
  caplog.set_level(logging.INFO, 'adapters_jax')
  short = {name: dataclasses.replace(one, max_length=4)
           for name, one in bank.items()}
  for call, message in (
      (lambda: aj.predict(base, short['a'], TEXTS),
       '1 of 3 texts are cut to `max_length`'),
      (lambda: aj.predict(base, short, TEXTS, ['a', 'b', 'b']),
       '1 of 3 texts are cut to `max_length`'),
      (lambda: aj.predict(base, short, TEXTS),
       "adapter 'a', 'b': 1 of 3 texts are cut to `max_length`"),
      (lambda: aj.encode(base, [*TEXTS, TEXTS[0]], max_length=4),
       '2 of 4 texts are cut to `max_length`'),
      (lambda: aj.encode(base, TEXTS, bank, adapters=['a', None, 'b'],
                         max_length=4),
       '1 of 3 texts are cut to `max_length`')):
    caplog.clear()
    call()
    assert [one.getMessage() for one in caplog.records
            if one.name.startswith('adapters_jax')] == [message]
  long = max(range(len(TEXTS)), key=lambda row: len(TEXTS[row].split()))
  for found in (
      aj.predict(base, short['a'], TEXTS),
      aj.predict(base, short, TEXTS, ['a', 'b', 'b']),
      *zip(*map(dict.values, aj.predict(base, short, TEXTS)))):
    assert [row for row, one in enumerate(found) if one.truncated] == [long]
    assert found[long - 1].truncated is None
  assert 'truncated' not in repr(aj.predict(base, bank['a'], TEXTS))
  caplog.clear()
  aj.predict(base, bank, TEXTS)
  aj.encode(base, TEXTS)
  assert not caplog.records
