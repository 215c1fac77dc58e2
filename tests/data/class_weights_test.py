"""Tests of class weights, and of thresholds."""

import enum

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


@pytest.mark.parametrize('name', [
    'a,b', 'a:b', 'a,b:2', ':', ',', ' a', 'a ', '', '"', '"a"', '"a":1', 'a"b',
    '\\', '"\\', 'a\nb', 'é, ü', 'balanced', "it's"])
def test_a_dict_takes_any_name(name):
  weights = {'x': 2.0, name: 0.5, 'y': 3.0}
  text = class_weights.render(weights)
  assert class_weights.parse(text) == weights
  found = class_weights.per_class(
      text, ('x', name, 'z'), np.zeros(2, np.int32))
  np.testing.assert_array_equal(found, np.array([2, 0.5, 1], np.float32))


def test_texts_of_plain_names_stay():
  assert class_weights.render({'spam': 5, 'not:ham': 0.5}) == (
      'spam:5,not:ham:0.5')
  assert class_weights.render({1: 2, 'x': 1}) == '1:2,x:1'
  mood = enum.Enum('Mood', {'GOOD': 'good'}, type=str)
  assert class_weights.render({mood.GOOD: 2}) == 'good:2'
  with pytest.raises(errors.UserError, match='two weights of a class'):
    class_weights.render({1: 2, '1': 3})


@pytest.mark.parametrize('text, message', [
    ('"a,b:3', 'above 0'), ('a:1,', 'above 0'), (' :3', 'above 0'),
    ('"a,b":3,"a,b":2', "two weights of 'a,b'"), ('"a\\q":3', 'above 0'),
    ('balance', "give 'balanced', or weights above 0"),
    ('spam:0', 'above 0'), ('spam:inf', 'above 0'), (':3', 'above 0'),
    ('spam:1,spam:2', "two weights of 'spam'"),
    ('spma:3', "unknown 'spma'; did you mean spam")])
def test_wrong_weights(text, message):
  with pytest.raises(errors.UserError, match=message):
    class_weights.check(text, ('ham', 'spam'))


def test_the_threshold_nearest_to_one_half_wins_a_tie():
  assert thresholds.pick(lambda t: 1.0, lambda t: t) == 0.5
  assert thresholds.pick(lambda t: float(t <= 0.3), lambda t: t) == 0.3
  asked = []
  found = thresholds.pick(
      lambda t: asked.append(t) or float(t <= 0.3), lambda t: t <= 0.3)
  assert found == 0.3 and asked == [0.5, 0.3]
  shares = np.array([[0.6, 0.4], [0.75, 0.25]])
  assert thresholds.predicted_class(shares, None).tolist() == [0, 0]
  assert thresholds.predicted_class(shares, 0.4).tolist() == [1, 0]
  given = thresholds.given(np.array([0.25, 0.5]), None)  # From it on.
  assert given.tolist() == [False, True]
  assert thresholds.given(np.array([0.25, 0.5]), 0.25).all()
