"""Tests of thresholds."""

import numpy as np
import pytest
from scipy import special

from adapters_jax.data import label_metrics
from adapters_jax.data import thresholds

# Outputs of many models: spread, all alike, of few values, at the limits.
SHARES = {
    'spread': lambda rng, shape: special.expit(
        rng.normal(-1, 2, shape).astype(np.float32)),
    'alike': lambda rng, shape: np.full(shape, 0.4, np.float32),
    'ties': lambda rng, shape: rng.choice(
        np.array([0, 0.07, 0.29, 0.3, 0.5, 0.57, 0.99, 1], np.float32), shape),
    'double': lambda rng, shape: rng.integers(0, 101, shape) / 100}


def test_the_threshold_nearest_to_one_half_wins_a_tie():
  assert thresholds.pick(lambda one: 1.0, np.float64) == 0.5
  assert thresholds.pick(lambda one: float(one <= 0.3), np.float64) == 0.3
  asked = []
  found = thresholds.pick(
      lambda one: asked.append(bool(one)) or float(one),
      lambda t: np.array(t <= 0.3))
  assert found == 0.3 and asked == [False, True]
  shares = np.array([[0.6, 0.4], [0.75, 0.25]])
  assert thresholds.predicted_class(shares, None).tolist() == [0, 0]
  assert thresholds.predicted_class(shares, 0.4).tolist() == [1, 0]


def check(name, labels, shares):
  plain = {one / 100: label_metrics.compute_at_threshold(
      [name], labels, shares, one / 100)[name] for one in range(1, 100)}
  nearest = sorted(plain, key=lambda one: abs(one - 0.5))
  assert thresholds.pick_for_labels(name, labels, shares) == max(
      nearest, key=lambda one: plain[one])
  if name in label_metrics.OF_COUNTS:
    assert label_metrics.at_thresholds(
        name, labels, shares, list(plain)) == [*plain.values()]


@pytest.mark.parametrize('shares', SHARES)
@pytest.mark.parametrize('name', [
    name for name in label_metrics.METRICS
    if label_metrics.decided_by([name]) == name])
def test_the_threshold_is_that_of_a_plain_loop(name, shares):
  rng = np.random.default_rng([len(name), len(shares)])
  # Some labels are in no example, or in all.
  labels = (rng.random((30, 5)) < [0, 0.1, 0.3, 0.5, 1]).astype(np.float32)
  check(name, labels, SHARES[shares](rng, labels.shape))


@pytest.mark.parametrize('often', [0, 0.3])
def test_a_single_label(often):
  rng = np.random.default_rng(0)
  labels = (rng.random((30, 1)) < often).astype(np.float32)
  check('macro_f1', labels, SHARES['ties'](rng, labels.shape))


def test_a_label_is_given_from_its_threshold_on():
  half = thresholds.given(np.array([0.25, 0.5]), None)
  assert half.tolist() == [False, True]
  assert thresholds.given(np.array([0.25, 0.5]), 0.25).all()
