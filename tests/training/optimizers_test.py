"""Tests of the leaves that each `tune` trains, and of the optimizers."""

import dataclasses

from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapters_jax.methods import bottleneck
from adapters_jax.model import heads
from adapters_jax.model import shapes
from adapters_jax.training import optimizers
from adapters_jax.training import selections
from adapters_jax.training import steps as steps_lib
from adapters_jax import trees
from tests import tiny

LAYERS = 2
SHAPES = trees.flatten(shapes.of(heads.Classifier(
    dataclasses.replace(
        tiny.TWO_LAYERS, adapters=(bottleneck.Bottleneck(4),)), 2, 'pooler')))


def paths(tune, **changed):
  return {path for path in SHAPES
          if selections.TUNE[tune](LAYERS, **changed)(path)}


def reference(params, gradients, decayed, rate, warmup, decay, clip):
  """BERT's optimizer on numpy: {name: array} through a list of gradients."""
  steps = len(gradients)
  rising = int(steps * warmup)
  m = {name: np.zeros_like(value) for name, value in params.items()}
  v = {name: np.zeros_like(value) for name, value in params.items()}
  for step, grads in enumerate(gradients):
    norm = np.sqrt(sum((g**2).sum() for g in grads.values()))
    factor = clip / max(norm, clip)
    now = rate * (step / rising if step < rising else 1 - step / steps)
    for name, value in params.items():
      g = factor * grads[name]
      m[name] = 0.9 * m[name] + 0.1 * g
      v[name] = 0.999 * v[name] + 0.001 * g**2
      update = m[name] / (np.sqrt(v[name]) + 1e-6)
      if name in decayed:
        update = update + decay * value
      params[name] = value - now * update
  return params


class OptimizersTest(parameterized.TestCase):

  def test_adapter_bert_equals_numpy_over_20_steps(self):
    rng = np.random.default_rng(0)
    names = {'head/kernel': (3, 2), 'head/bias': (2,),
             'encoder/layer_0/ffn_norm/scale': (3,),
             'encoder/layer_0/adapter_ffn_output_0/up/kernel': (4, 3)}
    params = {name: rng.normal(size=shape) for name, shape in names.items()}
    # Large and small ones, so that some steps are clipped and others are not.
    gradients = [
        {name: rng.normal(size=shape) * (2.0 if step % 2 else 0.05)
         for name, shape in names.items()} for step in range(20)]
    tx = optimizers.make_optimizer(
        selections.select_adapters(1), learning_rate=0.03, steps=20,
        warmup=0.25, weight_decay=0.1, clip_norm=1.0,
        optimizer='adapter_bert')
    tree = trees.unflatten(
        {k: jnp.array(v, jnp.float32) for k, v in params.items()})
    state, update = tx.init(tree), jax.jit(tx.update)
    for grads in gradients:
      updates, state = update(
          trees.unflatten({k: np.float32(v) for k, v in grads.items()}),
          state, tree)
      tree = jax.tree.map(lambda p, u: p + u, tree, updates)
    found = trees.flatten(jax.device_get(tree))
    wanted = reference(
        params, gradients, [n for n in names if n.endswith('kernel')], 0.03,
        0.25, 0.1, 1.0)
    for name in names:
      np.testing.assert_allclose(
          found[name], wanted[name], rtol=1e-5, atol=1e-6)

  def test_rate_rises_then_drops_onto_the_line(self):
    shape = optimizers.warmup_drop(100, 10)
    values = [float(shape(step)) for step in (0, 5, 9, 10, 50, 100)]
    np.testing.assert_allclose(
        values, [0, 0.5, 0.9, 0.9, 0.5, 0], rtol=1e-6, atol=1e-7)
    late = optimizers.warmup_drop(10, 5)  # From 0.8 to 0.5.
    np.testing.assert_allclose([float(late(4)), float(late(5))], [0.8, 0.5],
                               rtol=1e-6)

  def test_epsilon_and_first_step_without_correction(self):
    tx = optimizers.scale_by_uncorrected_adam()
    updates, _ = tx.update(jnp.float32(1e-4), tx.init(jnp.float32(0)))
    np.testing.assert_allclose(
        updates, 1e-5 / (np.sqrt(1e-3) * 1e-4 + 1e-6), rtol=1e-5)

  def test_first_step_of_adamw_by_hand(self):
    tree = {'head': {'kernel': jnp.full(1, 2.0), 'bias': jnp.full(1, 3.0)}}
    tx = optimizers.make_optimizer(
        selections.TUNE['head'](1), learning_rate=0.1, steps=8, warmup=0.25,
        weight_decay=0.01)
    # Two steps warm up: the first has half of the rate.
    updates, _ = tx.update(
        jax.tree.map(lambda leaf: jnp.full_like(leaf, 1e-6), tree),
        tx.init(tree), tree)
    adam = 1e-6 / (1e-6 + 1e-8)
    np.testing.assert_allclose(
        updates['head']['kernel'], -0.05 * (adam + 0.01 * 2), rtol=1e-5)
    np.testing.assert_allclose(updates['head']['bias'], -0.05 * adam, rtol=1e-5)

  @parameterized.parameters(
      ('adam', 26, 0.1, 3), ('adam', 24, 0.1, 2), ('adam', 3, 0.0, 1),
      # BERT's code cuts, and may have none.
      ('adapter_bert', 26, 0.1, 2), ('adapter_bert', 3, 0.1, 0))
  def test_steps_that_warm_up(self, optimizer, steps, warmup, wanted):
    self.assertEqual(
        optimizers.rising_steps(optimizer, steps, warmup), wanted)

  def test_full_is_everything(self):
    self.assertEqual(paths('full'), set(SHAPES))

  def test_head(self):
    self.assertEqual(paths('head'), {'head/kernel', 'head/bias'})

  def test_bias(self):
    found = paths('bias')
    self.assertEqual({p for p in found if not p.endswith('/bias')},
                     {'head/kernel'})
    # Six denses and two norms a layer, the embeddings' norm, pooler, head.
    pretrained = {p for p in found if trees.role(p) != 'adapter'}
    self.assertLen(pretrained, 8 * LAYERS + 3 + 1)

  def test_norms(self):
    self.assertLen(paths('norms'), 2 * (2 * LAYERS + 1) + 2)

  @parameterized.parameters(
      ({}, 8 * LAYERS + 2 * (2 * LAYERS + 1) + 2),
      ({'tune_norms': False}, 8 * LAYERS + 2),
      ({'norm_layers': (1,)}, 8 * LAYERS + 2 * 2 + 2))
  def test_adapters(self, changed, leaves):
    self.assertLen(paths('adapters', **changed), leaves)

  @parameterized.parameters(1, 2)
  def test_top_k(self, top_k):
    found = paths('top_k', top_k=top_k)
    self.assertEqual({trees.layer_of(p) for p in found} - {None},
                     set(range(LAYERS - top_k, LAYERS)))
    self.assertEqual({p for p in found if trees.layer_of(p) is None}, {
        'pooler/kernel', 'pooler/bias', 'head/kernel', 'head/bias'})


def backward_flops(layers, tune, adapted=None, **changed):
  """Returns FLOPs of a compiled step less those of its compiled forward."""
  adapters = (bottleneck.Bottleneck(4, layers=adapted),) if adapted else ()
  config = dataclasses.replace(
      tiny.CONFIG, layers=layers, dim=48, ffn_dim=96, dropout=0.0,
      attention_dropout=0.0, adapters=adapters)
  model = heads.Classifier(config, 2)
  select = selections.TUNE[tune](layers, **changed)
  tx = optimizers.make_optimizer(select, learning_rate=0.1, steps=5)
  batch = tiny.random_batch(config, batch=8, length=12)

  def forward(params):
    logits = model.apply({'params': params}, batch['tokens'],
                         batch['segments'], batch['mask'])
    return heads.cross_entropy(logits, batch['labels']).sum()

  params = shapes.of(model)
  tuned, base = trees.split(params, select)
  state = jax.eval_shape(
      lambda: steps_lib.init_state(
          jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), tuned), tx,
          jax.random.key(0)))
  step = steps_lib.make_train_step(model, tx, heads.cross_entropy)
  counts = [
      compiled.compile().cost_analysis()['flops'] for compiled in (
          step.lower(state, base, batch), jax.jit(forward).lower(params))]
  return counts[0] - counts[1]


@pytest.mark.slow
class BackwardTest(parameterized.TestCase):

  @parameterized.parameters(
      ('top_k', {'top_k': 1}, {}),
      ('adapters', {'norm_layers': 'last'}, {'adapted': 'last'}))
  def test_nothing_below_the_lowest_trained_leaf(self, tune, changed, more):
    # Two layers more below the trained one cost no backward FLOPs at all.
    costs = []
    for layers in (2, 4):
      last = {'last': (layers - 1,)}
      costs.append(backward_flops(
          layers, tune, **{k: last.get(v, v) for k, v in {
              **changed, **more}.items()}))
    np.testing.assert_allclose(costs[0], costs[1], rtol=0.01)

  def test_norms_below_bring_the_gradient_down(self):
    # What the test above would see if it were not so.
    few, many = (backward_flops(layers, 'adapters', adapted=(layers - 1,))
                 for layers in (2, 4))
    self.assertGreater(many, 1.5 * few)
