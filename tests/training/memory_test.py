"""What saves memory or compile time changes no number."""

import dataclasses
import functools
from unittest import mock

from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from adapters_jax.layers import dropout
from adapters_jax.methods import bottleneck
from adapters_jax.methods import strings
from adapters_jax.model import encoder
from adapters_jax.model import heads
from adapters_jax.model import shapes
from adapters_jax.training import steps
from adapters_jax import trees
from tests import tiny
from tests.training import families_test

CONFIG = dataclasses.replace(
    tiny.TWO_LAYERS, adapters=(bottleneck.Bottleneck(3, init_scale=0.3),))
DRY = dataclasses.replace(CONFIG, dropout=0.0, attention_dropout=0.0)


def gradient(config, params, batch):
  """Returns (loss, gradient, residuals' bytes) with dropout on."""
  model = heads.Classifier(config, 2)

  def loss(params):
    logits = model.apply(
        {'params': params}, batch['tokens'], batch['segments'], batch['mask'],
        train=True, rngs={'dropout': jax.random.key(5)})
    return jnp.mean(heads.cross_entropy(logits, batch['labels']))

  _, backward = jax.eval_shape(lambda p: jax.vjp(loss, p), params)
  kept = sum(leaf.size * leaf.dtype.itemsize
             for leaf in jax.tree.leaves(backward))
  return *jax.jit(jax.value_and_grad(loss))(params), kept


class RematTest(parameterized.TestCase):

  @pytest.mark.slow
  def test_same_gradient_with_less_kept(self):
    params = tiny.drawn(heads.Classifier(CONFIG, 2))
    batch = tiny.random_batch(CONFIG, 4, 11)
    loss, wanted, kept = gradient(CONFIG, params, batch)
    again = dataclasses.replace(CONFIG, remat=True)
    loss_again, found, kept_again = gradient(again, params, batch)
    np.testing.assert_allclose(loss_again, loss, rtol=1e-6)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6), found, wanted)
    self.assertLess(kept_again, kept / 2)


class ScanTest(parameterized.TestCase):

  def test_scanned_layers_compute_the_same(self):
    deep = dataclasses.replace(CONFIG, layers=3)  # Two scanned, one outside.
    params = tiny.drawn(heads.Classifier(deep, 2))
    stacked = trees.unflatten(families_test.stacked(trees.flatten(params)))
    scanned = heads.Classifier(
        dataclasses.replace(deep, scan=True, remat=True), 2)
    trees.check_same(stacked, shapes.of(scanned), 'stack')
    batch = tiny.random_batch()
    found, wanted = (
        jax.jit(model.apply)({'params': tree}, batch['tokens'],
                             batch['segments'], batch['mask'])
        for model, tree in ((scanned, stacked),
                            (heads.Classifier(deep, 2), params)))
    np.testing.assert_allclose(found, wanted, atol=1e-6)

  def test_scanned_layers_drop_out_differently(self):
    deep = dataclasses.replace(tiny.CONFIG, layers=3, scan=True)
    model, keys = encoder.Bert(deep), []

    def watched(x, key, rate):
      del rate
      jax.debug.callback(
          lambda words: keys.append(tuple(words.tolist())),
          jax.random.key_data(key))
      return x

    with mock.patch.object(dropout, 'dropout', watched):
      batch = tiny.random_batch(batch=1, length=2)
      jax.jit(lambda params: model.apply(
          {'params': params}, batch['tokens'], batch['segments'],
          batch['mask'], train=True, rngs={'dropout': jax.random.key(0)}))(
              tiny.drawn(model))
      jax.effects_barrier()
    self.assertLen(keys, 1 + 3 * 3)  # The embeddings, and three of each layer.
    self.assertLen({*keys}, len(keys))

  @parameterized.parameters(
      ("seq_bn[reduction_factor={'0': 2, 'default': 4}]", {}),
      ('bottleneck[size=3, leave_out=[0]]', {}),
      ('prefix_tuning[prefix_length=2]', {}),
      ('bottleneck[size=3]', {'adapted_from': 1}))
  def test_layers_that_differ_are_not_scanned(self, text, changed):
    config = dataclasses.replace(
        CONFIG, adapters=strings.parse(text), scan=True, **changed)
    with self.assertRaisesRegex(ValueError, 'not the same in all layers'):
      shapes.of(encoder.Bert(config))


class AccumulateTest(parameterized.TestCase):

  @functools.cache
  def step(self, accumulate):
    """Returns (start, tuned, metrics) of a plain step on the whole tree."""
    model, tx = heads.Classifier(DRY, 2), optax.sgd(1.0)
    params = tiny.drawn(model)
    batch = tiny.random_batch(DRY, 6, 5)
    # Parts of 3 rows each take every second row: 3 and 1 of them count.
    batch['weights'] = np.array([1, 0, 1, 0, 1, 0.5], np.float32)
    step = steps.make_train_step(
        model, tx, heads.cross_entropy, accumulate=accumulate,
        penalty=lambda tuned: jnp.sum(tuned['head']['kernel']**2))
    state = steps.init_state(params, tx, jax.random.key(0))
    state, metrics = step(state, {}, batch)
    return params, state.tuned, metrics

  def test_parts_equal_the_whole_batch(self):
    start, wanted, metrics = self.step(1)
    _, found, metrics_2 = self.step(2)
    for name in ('loss', 'grad_norm'):
      np.testing.assert_allclose(metrics_2[name], metrics[name], rtol=1e-5)
    flat = trees.flatten(found)
    for path, leaf in trees.flatten(wanted).items():
      np.testing.assert_allclose(flat[path], leaf, atol=2e-6, err_msg=path)
    moved = jax.tree.map(
        lambda a, b: float(jnp.abs(a - b).max()), start, wanted)
    self.assertGreater(max(jax.tree.leaves(moved)), 0.01)

  def test_parts_are_strided(self):
    # Devices hold neighbouring rows: each has its share of every part.
    found = steps._in_parts({'mask': np.arange(12).reshape(6, 2)}, 2)['mask']
    np.testing.assert_array_equal(found[..., 0], [[0, 4, 8], [2, 6, 10]])

  @pytest.mark.slow
  def test_parts_drop_out_differently(self):
    shallow = dataclasses.replace(CONFIG, layers=1)
    model, tx = heads.Classifier(shallow, 2), optax.sgd(0.0)
    batch = tiny.random_batch(CONFIG, 1, 5)
    batch['weights'][:] = 1
    twice = {name: np.repeat(value, 2, axis=0) for name, value in batch.items()}
    losses = []
    for accumulate, rows in ((1, batch), (2, twice)):
      step = steps.make_train_step(
          model, tx, heads.cross_entropy, accumulate=accumulate)
      state = steps.init_state(tiny.drawn(model), tx, jax.random.key(0))
      losses.append(float(step(state, {}, rows)[1]['loss']))
    self.assertNotAlmostEqual(*losses, places=4)
