"""Tests of the batches that are dispatched before results are read."""

import numpy as np
import pytest

from adapters_jax.adapters import embedding
from adapters_jax.adapters import every
from adapters_jax.adapters import in_flight
from adapters_jax.adapters import mixed
from adapters_jax.adapters import readings
from adapters_jax.adapters import resident
from adapters_jax.data import batching
from tests.adapters import bank_test

TEXTS = [f'{one} {other}' for one in ('good', 'bad', 'fine', 'dull')
         for other in ('film', 'plot', 'a', 'the', 'very')]


def test_a_few_are_ahead_and_none_is_lost():
  made = []

  def dispatched():
    for number in range(10):
      made.append(number)
      yield number

  seen = []
  for number in in_flight.ahead(dispatched()):
    seen.append(number)
    assert len(made) - len(seen) == min(in_flight._BATCHES, 10 - len(seen))
  assert seen == [*range(10)]
  assert [*in_flight.ahead(iter([1, 2]))] == [1, 2]
  assert not [*in_flight.ahead(iter(()))]


def _embed(base):
  return embedding.encode(base, TEXTS, batch_size=2)


def _bank():
  return {name: bank_test.make(seed=seed, layers=1)
          for seed, name in enumerate('ab')}


def _every(base):
  found, _ = every.by_adapter(base, _bank(), [(text,) for text in TEXTS], 2)
  return np.array([*found['a'], *found['b']])


def _mixed(base):
  bank = _bank()
  read = readings.read(base, bank['a'], [(text,) for text in TEXTS])
  return np.array(mixed.forward(
      resident.place(base, bank), ['a', 'b'] * 10, read.examples, 2))


@pytest.mark.parametrize('compute', [_embed, _every, _mixed])
def test_batches_are_made_while_others_are_read(
    compute, base, monkeypatch):
  waiting = []
  make_batch, ahead = batching.make_batch, in_flight.ahead

  def counted_batch(*args):
    waiting.append(waiting[-1] + 1)
    return make_batch(*args)

  def counted_ahead(dispatched):
    for item in ahead(dispatched):
      waiting.append(waiting[-1] - 1)
      yield item

  monkeypatch.setattr(batching, 'make_batch', counted_batch)
  monkeypatch.setattr(in_flight, 'ahead', counted_ahead)
  found = {}
  for most in (2, 100):
    monkeypatch.setattr(in_flight, '_BATCHES', most)
    waiting[:] = [0]
    found[most] = compute(base)
    assert max(waiting) == (3 if most == 2 else 10) and waiting[-1] == 0
  np.testing.assert_array_equal(found[2], found[100])
