"""Random bits of dropout, and the arrays that encoders and heads drop."""

import dataclasses
from unittest import mock

from absl.testing import parameterized
import jax
import numpy as np
import pytest

from adapters_jax.layers import dropout
from adapters_jax.model import encoder
from adapters_jax.model import heads
from tests import tiny
from tests import tiny_families

drop = jax.jit(dropout.dropout, static_argnums=2)


def mask(seed, shape=(40, 50, 60), rate=0.1):
  return mask_of(jax.random.key(seed), shape, rate)


def mask_of(key, shape=(40, 50, 60), rate=0.1):
  return np.asarray(drop(np.ones(shape, np.float32), key, rate)) == 0


class DropoutTest(parameterized.TestCase):

  @parameterized.parameters(0.0, 0.1, 0.5, 0.9)
  def test_rate_and_scale(self, rate):
    x = np.ones((300, 400), np.float32)
    y = np.asarray(drop(x, jax.random.key(1), rate))
    deviation = np.sqrt(rate * (1 - rate) / y.size)
    self.assertAlmostEqual((y == 0).mean(), rate, delta=4.5 * deviation + 1e-9)
    np.testing.assert_allclose(y[y != 0], 1 / (1 - rate), rtol=1e-6)

  def test_bits_are_uniform(self):
    bits = np.asarray(jax.jit(dropout.hash_bits, static_argnums=1)(
        jax.random.key(2), (1000, 1000)))
    for bit in range(32):  # Each bit is a fair coin: 5 deviations of a mean.
      self.assertAlmostEqual((bits >> bit & 1).mean(), 0.5, delta=0.0025)
    counts = np.bincount((bits >> 22).ravel(), minlength=1024)
    chi2 = ((counts - bits.size / 1024)**2 / (bits.size / 1024)).sum()
    self.assertBetween(chi2, 1023 - 230, 1023 + 230)  # 5 deviations.

  @parameterized.parameters(0, 1, 2)
  def test_neighbours_are_independent(self, axis):
    dropped = mask(3) - 0.1
    a = np.moveaxis(dropped, axis, 0)
    for lag in (1, 2, 7, 16):
      correlation = (a[lag:] * a[:-lag]).mean() / 0.09
      self.assertAlmostEqual(correlation, 0.0, delta=0.016)

  def test_keys_are_independent(self):
    # Steps, layers and runs differ in nothing but the key; close keys too.
    for other in (4, 5, 1000):
      a, b = mask(3) - 0.1, mask(other) - 0.1
      self.assertAlmostEqual((a * b).mean() / 0.09, 0.0, delta=0.015)
      key = jax.random.fold_in(jax.random.key(3), other)
      c = mask_of(key) - 0.1
      self.assertAlmostEqual((a * c).mean() / 0.09, 0.0, delta=0.015)

  def test_examples_drop_different_numbers(self):
    # Sums over a row vary as a binomial does, neither less nor more.
    sums = mask(5, (4000, 250)).sum(1)
    self.assertAlmostEqual(sums.var() / (250 * 0.09), 1.0, delta=0.12)

  def test_nothing_at_evaluation(self):
    x = np.arange(6, dtype=np.float32)
    module = dropout.Dropout(0.5)
    np.testing.assert_array_equal(module.apply({}, x, train=False), x)
    np.testing.assert_array_equal(
        dropout.Dropout(0.0).apply({}, x, train=True), x)

  def test_vmapped_equals_single(self):
    keys = jax.random.split(jax.random.key(0), 3)
    x = np.ones((2, 5, 8), np.float32)
    many = np.asarray(jax.jit(jax.vmap(lambda key: drop(x, key, 0.3)))(keys))
    for found, key in zip(many, keys, strict=True):
      np.testing.assert_array_equal(found, drop(x, key, 0.3))


def trace(model, *inputs, **keywords):
  """Returns (rate, shape) of everything that a model drops."""
  seen = []
  with mock.patch.object(dropout, 'dropout', lambda x, key, rate: (
      seen.append((rate, np.shape(x))), x)[1]):
    jax.eval_shape(lambda: model.init(  # Computes nothing.
        jax.random.key(0), *inputs, **keywords))
  return seen


@pytest.mark.parametrize('case, attention, table', [
    ('bert', [(3, 3, 38, 38)] * 2, []),
    # Embedded distances, in 7 buckets of either direction and one of 0.
    ('deberta', [(3, 3, 38, 38)] * 2, [(15, 12)] * 2),
    # Two local layers, in blocks of 4 with their neighbours.
    ('modernbert', [(3, 3, 38, 38), *[(30, 3, 4, 12)] * 2, (3, 3, 38, 38)],
     [])])
def test_an_encoder_drops_out_in_training(case, attention, table):
  model = encoder.Bert(dataclasses.replace(
      tiny_families.config(case), dropout=0.25, attention_dropout=0.5))
  batch = tiny_families.batch(case)
  assert not trace(model, **batch)
  seen = trace(model, **batch, train=True)
  assert [shape for rate, shape in seen if rate == 0.5] == attention
  # The embeddings, and both updates of each layer.
  hidden = [(*batch['mask'].shape, 12)] * (1 + 2 * len(attention))
  assert sorted(shape for rate, shape in seen if rate == 0.25) == sorted(
      [*hidden, *table])


@pytest.mark.parametrize('name, shape', [
    ('cls', (4, 12)), ('pooler', (4, 12)), ('mean_norm', (4, 12)),
    ('multiple_choice', (4, 12)), ('tags', (4, 5, 12)), ('tokens', None),
    ('masked_lm', None), ('embedding_mean', None)])
def test_a_head_drops_out_in_training(name, shape):
  config = tiny.CONFIG
  batch = tiny.random_batch()
  inputs = [batch[name] for name in ('tokens', 'segments', 'mask')]
  row = heads.HEADS[name]
  below, found = (trace(model, *inputs, train=True) for model in (
      encoder.Bert(config), row.make(config, row.outputs or 2)))
  assert found[len(below):] == ([(config.dropout, shape)] if shape else [])
