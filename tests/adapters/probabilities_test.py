"""Tests of the mapping of a prediction's probabilities."""

import copy
import dataclasses
import json
import pickle
import tracemalloc
import types

import numpy as np
import pytest

from adapters_jax.adapters import probabilities
from adapters_jax.adapters import readings
from adapters_jax.api import bodies
from tests.adapters import bank_test

SHARES = np.array([0.1, 0.7, 0.2], np.float32)
NAMES = ('no', 'yes', 'a "b"')
WANTED = dict(zip(NAMES, map(float, SHARES)))


@pytest.fixture
def made():
  return probabilities.Probabilities(NAMES, SHARES)


def test_it_reads_like_a_dict(made):
  assert made == WANTED and WANTED == made and made == copy.copy(made)
  assert made != {**WANTED, 'no': 0.5} and made != {'no': WANTED['no']}
  assert repr(made) == repr(WANTED) and f'{made}' == f'{WANTED}'
  assert list(made.items()) == list(WANTED.items()) and len(made) == 3
  assert {type(value) for value in made.values()} == {float}
  assert {**made} == WANTED and json.loads(json.dumps(dict(made))) == WANTED
  assert max(made, key=made.get) == 'yes' and made.get('other') is None
  assert 'yes' in made and 'other' not in made and bool(made)
  with pytest.raises(KeyError, match='other'):
    made['other']
  with pytest.raises(TypeError):
    made['no'] = 1.0
  with pytest.raises(TypeError, match='unhashable'):
    hash(made)


def test_pickles_and_deep_copies(made):
  one = readings.Prediction('yes', made)
  again = pickle.loads(pickle.dumps([one, one, dataclasses.replace(
      one, probabilities=probabilities.Probabilities(NAMES, SHARES[::-1]))]))
  assert again[0] == one and type(again[0].probabilities) is type(made)
  assert list(again[2].probabilities.values()) == [*WANTED.values()][::-1]
  assert again[0].probabilities._numbers is again[2].probabilities._numbers
  assert copy.deepcopy(one) == one and hash(copy.deepcopy(one)) == hash(one)
  assert type(dataclasses.asdict(one)['probabilities']) is dict
  assert json.loads(json.dumps(bodies.entries(one))) == {
      'label': 'yes', 'probabilities': WANTED}


@pytest.mark.parametrize('changed', [
    {}, {'labels': ('no', 'yes')},
    {'head_input': 'multilabel', 'labels': ('no', 'yes')},
    {'head_input': 'multiple_choice', 'texts': ('context', 'choices')}])
def test_predictions_hold_the_shares_of_their_classes(changed):
  made = dataclasses.replace(bank_test.make(), **changed)
  logits = np.array([0.3, -1.2], np.float32)
  found = readings.prediction_of(made, logits, True)
  names = [0, 1] if made.head.choices else made.classes
  assert found.truncated and found.probabilities == dict(
      zip(names, map(float, readings.shares_of(made, logits)), strict=True))
  assert type(found.probabilities) is dict  # As `json.dumps` needs.


def test_predictions_of_many_classes_are_small():
  names = tuple(f'class {number:04}' for number in range(5000))
  made = types.SimpleNamespace(
      classes=names, head=bank_test.make().head, threshold=None,
      head_input='cls')
  logits = np.zeros((10, 5000), np.float32)
  readings.prediction_of(made, logits[0], False)
  tracemalloc.start()
  try:
    found = []
    for row in logits:
      made.classes = tuple([*names])  # As of an adapter without labels.
      found.append(readings.prediction_of(made, row, False))
    used = tracemalloc.get_traced_memory()[0]
  finally:
    tracemalloc.stop()
  # Rows of 20 kB, and the last tuple of the adapter.
  assert used < 10 * 25_000 + 50_000
