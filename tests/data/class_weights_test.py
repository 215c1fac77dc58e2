"""Tests of class weights, and of thresholds."""

import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.data import class_weights
from adapters_jax.data import thresholds


def test_balanced_weights_count_every_class_the_same():
  labels = np.array([0, 0, 0, 1], np.int32)
  found = class_weights.per_class('balanced', ('a', 'b', 'c'), labels)
  np.testing.assert_allclose(found, [4 / 9, 4 / 3, 1])  # 'c' does not occur.
  assert found.dtype == np.float32
  several = np.array([[1, 0, 1], [0, 0, 1], [0, 1, 1], [0, 0, 1]])
  np.testing.assert_allclose(
      class_weights.per_class('balanced', ('a', 'b', 'c'), several), [3, 3, 1])


def test_named_weights():
  found = class_weights.per_class(
      'spam: 5,not:ham:0.5', ('ham', 'not:ham', 'spam'), np.zeros(2, np.int32))
  np.testing.assert_allclose(found, [1, 0.5, 5])
  assert class_weights.per_class('', ('a', 'b'), np.zeros(2, np.int32)) is None
  text = class_weights.render({'spam': 5, 'ham': 0.5})
  assert class_weights.parse(text) == {'spam': 5.0, 'ham': 0.5}


@pytest.mark.parametrize('text, message', [
    ('balance', "give 'balanced', or weights above 0"),
    ('spam:0', 'above 0'), ('spam:inf', 'above 0'), (':3', 'above 0'),
    ('spam:1,spam:2', "two weights of 'spam'"),
    ('spma:3', "unknown 'spma'; did you mean spam")])
def test_wrong_weights(text, message):
  with pytest.raises(errors.UserError, match=message):
    class_weights.check(text, ('ham', 'spam'))


def test_the_threshold_nearest_to_one_half_wins_a_tie():
  assert thresholds.pick(lambda t: 1.0) == 0.5
  assert thresholds.pick(lambda t: float(t <= 0.3)) == 0.3
  shares = np.array([[0.6, 0.4], [0.75, 0.25]])
  assert thresholds.predicted_class(shares, None).tolist() == [0, 0]
  assert thresholds.predicted_class(shares, 0.4).tolist() == [1, 0]
