"""Buckets of distances against the formula of their source."""

import jax.numpy as jnp
import numpy as np

from adapters_jax.model import relative


def test_buckets_equal_the_logarithm_of_the_source():
  # T5's formula, in float64, where exact logarithms are safe from rounding.
  found = relative.pair_buckets(301)
  for query, key in ((0, 300), (300, 0), (150, 150)):
    assert found[query, key] == {300: 31, -300: 15, 0: 0}[key - query]
  for distance in range(1, 301):
    if distance < 8:
      wanted = distance
    else:
      fraction = np.log(distance / 8) / np.log(16) * 8
      wanted = min(15, 8 + int(np.floor(round(fraction, 9))))
    assert found[distance, 0] == wanted
    assert found[0, distance] == wanted + 16
  assert 16 not in found


def test_bias_is_of_query_and_key():
  table = jnp.arange(relative.BUCKETS * 3.0).reshape(relative.BUCKETS, 3)
  bias = relative.bias(table, 5)
  assert bias.shape == (1, 3, 5, 5)
  assert bias[0, 2, 1, 4] == table[16 + 3, 2]  # Key 4 is 3 after query 1.
  assert bias[0, 1, 4, 1] == table[3, 1]
