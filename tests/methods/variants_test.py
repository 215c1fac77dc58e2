"""The paper's variants of the adapter (section 3.6), batch norm above all."""

import dataclasses
import functools

from absl.testing import parameterized
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from adapters_jax.adapters.formats import adapterhub_configs
from adapters_jax.adapters import merge_rules
from adapters_jax.adapters import merging
from adapters_jax import errors
from adapters_jax.layers import activations
from adapters_jax.layers import batch_norm
from adapters_jax.methods import bottleneck
from adapters_jax.methods import bottleneck_module
from adapters_jax.methods import strings
from adapters_jax.model import encoder
from adapters_jax.model import heads
from adapters_jax.model import shapes
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import task_checks
from adapters_jax.training import optimizers
from adapters_jax.training import selections
from adapters_jax.training import steps as steps_lib
from adapters_jax import trees
from tests import tiny

DIM, SIZE, LAYERS = 8, 3, 2
SHAPE = encoder.BertConfig(
    vocab_size=13, dim=DIM, layers=LAYERS, heads=2, ffn_dim=20, positions=30,
    dropout=0.0, attention_dropout=0.0)
SELECT = selections.select_adapters(LAYERS)


def make(fields, **changed):
  """Returns the model of a variant of size SIZE."""
  return heads.Classifier(dataclasses.replace(
      SHAPE, adapters=strings.parse(f'bottleneck[size={SIZE}, {fields}]'),
      **changed), 2)


def adapt(config, inputs, update, params=None, train=False):
  """Returns (params, output) of an adapter alone; all tokens are real."""
  module = bottleneck_module.BottleneckAdapter(config, 0)
  call = dict(residual=inputs, norm=lambda x: x, shared=None, train=train,
              mask=jnp.ones(inputs.shape[:2], bool))
  if params is None:
    params = module.init(jax.random.key(0), update, **call)['params']
  return params, module.apply({'params': params}, update, **call)


def draw(*shape, seed=0):
  return np.random.default_rng(seed).standard_normal(shape, np.float32)


class VariantsTest(parameterized.TestCase):

  @parameterized.parameters(
      'depth=3', 'inner_norm=batch, depth=2',
      'is_parallel=true, multiplicative=true')
  @pytest.mark.slow
  def test_a_fresh_adapter_is_nearly_the_identity(self, fields):
    model = make(f'{fields}, init_scale=1e-6')
    params = encoder.init(model, jax.random.key(1))
    _, base = trees.split(params, lambda path: trees.role(path) in (
        'adapter', 'statistics'))
    batch = tiny.random_batch(SHAPE, 3, 5)
    inputs = batch['tokens'], batch['segments'], batch['mask']
    plain = heads.Classifier(SHAPE, 2).apply({'params': base}, *inputs)
    for train in (False, True):
      found = model.apply({'params': params}, *inputs, train=train,
                          rngs={'dropout': jax.random.key(0)})
      np.testing.assert_allclose(found, plain, atol=1e-4)

  @parameterized.parameters(
      ('depth=1', 0), ('depth=2', SIZE**2 + SIZE),
      ('depth=3', 2 * (SIZE**2 + SIZE)), ('inner_norm=layer', 2 * SIZE),
      ('inner_norm=batch', 2 * SIZE),
      ('inner_norm=batch, depth=2', SIZE**2 + 5 * SIZE),
      ('is_parallel=true, multiplicative=true', 0))
  def test_trained_parameters(self, fields, more):
    plain = 2 * DIM * SIZE + SIZE + DIM
    adapters, _ = trees.split(
        shapes.of(make(fields)),
        lambda path: trees.role(path) in ('adapter', 'statistics'))
    self.assertEqual(
        trees.count_trained(adapters), 2 * LAYERS * (plain + more))

  def test_the_default_has_no_more_leaves_and_computes_the_same(self):
    config = bottleneck.Bottleneck(SIZE, init_scale=0.5)
    x, y = draw(2, 5, DIM), draw(2, 5, DIM, seed=1)
    params, found = adapt(config, x, y)
    self.assertEqual(
        {path: leaf.shape for path, leaf in trees.flatten(params).items()},
        {'down/kernel': (DIM, SIZE), 'down/bias': (SIZE,),
         'up/kernel': (SIZE, DIM), 'up/bias': (DIM,)})
    hidden = activations.ACTIVATIONS['gelu'](
        y @ params['down']['kernel'] + params['down']['bias'])
    np.testing.assert_array_equal(
        found, y + (hidden @ params['up']['kernel'] + params['up']['bias']))
    self.assertEqual(strings.parse(f'bottleneck[size={SIZE}, init_scale=0.5, '
                                   'depth=1]'), (config,))

  def test_deep_and_normalised_by_hand(self):
    config = bottleneck.Bottleneck(
        SIZE, init_scale=0.5, activation='tanh', depth=2, inner_norm='layer')
    x, y = draw(2, 5, DIM), draw(2, 5, DIM, seed=1)
    params, found = adapt(config, x, y)
    hidden = y
    for name in ('', '_1'):
      hidden = hidden @ params[f'down{name}']['kernel']
      hidden = hidden - hidden.mean(-1, keepdims=True)
      hidden /= np.sqrt((hidden**2).mean(-1, keepdims=True) + 1e-5)
      hidden = np.tanh(hidden)
    np.testing.assert_allclose(
        found, y + hidden @ params['up']['kernel'], atol=5e-6)

  def test_multiplicative_by_hand(self):
    config = bottleneck.Bottleneck(
        SIZE, init_scale=0.5, is_parallel=True, multiplicative=True)
    x, y = draw(2, 5, DIM), draw(2, 5, DIM, seed=1)
    params, found = adapt(config, x, y)
    hidden = np.asarray(x @ params['down']['kernel'], np.float64)
    hidden = hidden * special.ndtr(hidden)  # GELU.
    np.testing.assert_allclose(
        found, y * (1 + hidden @ params['up']['kernel']), atol=5e-6)

  @parameterized.parameters(
      ('depth=0', 'depth=0: give 1 or more'),
      ('inner_norm=bach', 'mean batch'),
      ('multiplicative=true', 'is_parallel=True'))
  def test_what_is_wrong_is_named(self, fields, message):
    with self.assertRaisesRegex(errors.UserError, message):
      strings.parse(f'bottleneck[{fields}]')

  @parameterized.parameters('depth=2', 'inner_norm=layer', 'inner_norm=batch',
                            'is_parallel=true, multiplicative=true')
  def test_the_adapters_library_has_none_of_them(self, fields):
    with self.assertRaisesRegex(errors.UserError, 'no such bottleneck'):
      adapterhub_configs.to_config(
          strings.parse(f'bottleneck[{fields}]'), SHAPE)

  def test_batch_norm_does_not_take_a_batch_in_parts(self):
    config = config_lib.Config(
        adapter_config='bottleneck[inner_norm=batch]', accumulate=2)
    with self.assertRaisesRegex(errors.UserError, '`accumulate=2`: batch'):
      task_checks.check_run(config, 'test')


@functools.cache
def batch_norm_step(remat=False):
  model = make('inner_norm=batch', remat=remat)
  tx = optimizers.make_optimizer(SELECT, learning_rate=0.01, steps=20)
  tuned, base = trees.split(encoder.init(model, jax.random.key(1)), SELECT)
  step = steps_lib.make_train_step(model, tx, heads.cross_entropy)
  return model, tx, tuned, base, step


def statistics(tree):
  return trees.flatten(trees.split(
      tree, lambda path: trees.role(path) == 'statistics')[0])


class BatchNormTest(parameterized.TestCase):

  def test_both_modes_by_hand(self):
    module = batch_norm.BatchNorm(1e-5)
    x = 2 + 3 * draw(2, 5, SIZE)
    mask = np.arange(5) < np.array([[5], [3]])
    params = {'scale': draw(SIZE), 'bias': draw(SIZE, seed=1),
              'running_mean': draw(SIZE, seed=2),
              'running_variance': np.float32([1, 2, 3])}
    real = x[mask]  # [tokens, size]
    for train, mean, variance in (
        (False, params['running_mean'], params['running_variance']),
        (True, real.mean(0), real.var(0))):
      np.testing.assert_allclose(
          module.apply({'params': params}, x, mask, train=train),
          (x - mean) / np.sqrt(variance + 1e-5) * params['scale']
          + params['bias'], rtol=2e-5, atol=2e-6)

  def test_a_step_of_the_optimizer_is_the_moving_average(self):
    module = batch_norm.BatchNorm(1e-5)
    mask = np.ones((2, 5), bool)
    tree = {'adapter_x_0': module.init(
        jax.random.key(0), draw(2, 5, SIZE), mask, train=False)['params']}
    # Neither the rate nor the clip of what is trained acts on statistics.
    tx = optimizers.make_optimizer(
        SELECT, learning_rate=0.0, steps=9, clip_norm=1e-9)
    state, mean, variance = tx.init(tree), np.zeros(SIZE), np.ones(SIZE)
    for seed in range(4):
      x = 5 + draw(2, 5, SIZE, seed=seed)
      grads = jax.grad(lambda tree: jnp.sum(module.apply(
          {'params': tree['adapter_x_0']}, x, mask, train=True)**3))(tree)
      updates, state = tx.update(grads, state, tree)
      tree = jax.tree.map(jnp.add, tree, updates)
      mean = 0.9 * mean + 0.1 * x.mean((0, 1))
      variance = 0.9 * variance + 0.1 * x.var((0, 1))
    found = tree['adapter_x_0']
    np.testing.assert_allclose(found['running_mean'], mean, rtol=1e-5)
    np.testing.assert_allclose(found['running_variance'], variance, rtol=1e-5)
    np.testing.assert_array_equal(found['scale'], 1)

  @pytest.mark.slow
  def test_padding_and_filler_do_not_enter_the_statistics(self):
    _, tx, tuned, base, step = batch_norm_step()
    batch = tiny.random_batch(SHAPE, 4, 6)
    batch['mask'] &= batch['weights'][:, None] > 0  # As `make_batch` does.
    changed = {**batch, 'tokens': np.where(
        batch['mask'], batch['tokens'], 7)}
    self.assertFalse(np.array_equal(changed['tokens'], batch['tokens']))
    first, second = (
        step(steps_lib.init_state(tuned, tx, jax.random.key(0)), base, b)[0]
        for b in (batch, changed))
    self.assertNotEmpty(statistics(tuned))
    for path, leaf in statistics(first.tuned).items():
      np.testing.assert_allclose(
          statistics(second.tuned)[path], leaf, atol=5e-6)
      self.assertFalse(np.allclose(statistics(tuned)[path], leaf), path)

  def test_statistics_are_those_of_the_model(self):
    model, tx, tuned, base, step = batch_norm_step()
    batch = tiny.random_batch(SHAPE, 4, 6)

    @jax.jit
    def inputs(params):
      seen = {}

      def watch(call, args, kwargs, context):
        if isinstance(context.module, batch_norm.BatchNorm):
          seen['/'.join(context.module.path)] = args
        return call(*args, **kwargs)

      with nn.intercept_methods(watch):
        model.apply(
            {'params': params}, batch['tokens'], batch['segments'],
            batch['mask'], train=True, rngs={'dropout': jax.random.key(0)})
      return seen

    seen = inputs(trees.overlay(base, tuned))
    self.assertLen(seen, 2 * LAYERS)
    state, _ = step(
        steps_lib.init_state(tuned, tx, jax.random.key(0)), base, batch)
    found = statistics(state.tuned)
    for path, (x, mask) in seen.items():
      values = x[mask[:, :x.shape[1]]]
      self.assertLen(values, batch['mask'].sum())  # In the last layer too.
      np.testing.assert_allclose(
          found[f'{path}/running_mean'], 0.1 * values.mean(0), atol=5e-6)
      np.testing.assert_allclose(
          found[f'{path}/running_variance'], 0.9 + 0.1 * values.var(0),
          atol=5e-6)

  @pytest.mark.slow
  def test_vmapped_steps_that_recompute_do_the_same(self):
    _, tx, tuned, base, step = batch_norm_step()
    batches = [tiny.random_batch(SHAPE, 4, 6, seed=seed) for seed in (5, 6)]
    states = [steps_lib.init_state(tuned, tx, jax.random.key(seed))
              for seed in (0, 1)]
    again = batch_norm_step(remat=True)[-1]
    many, _ = jax.jit(jax.vmap(again, in_axes=(0, None, 0)))(
        jax.tree.map(lambda *x: jnp.stack(x), *states), base,
        jax.tree.map(lambda *x: np.stack(x), *batches))
    for i, (state, batch) in enumerate(zip(states, batches)):
      single, _ = step(state, base, batch)
      for path, leaf in trees.flatten(single.tuned).items():
        if path.endswith('down/bias'):
          continue  # Batch norm takes it out: Adam magnifies rounding errors.
        np.testing.assert_allclose(
            trees.flatten(many.tuned)[path][i], leaf, atol=5e-6, err_msg=path)

  def test_they_are_not_counted_as_trained_and_merge_to_their_mean(self):
    _, _, tuned, _, _ = batch_norm_step()
    self.assertEqual(
        trees.count(tuned) - trees.count_trained(tuned), 2 * LAYERS * 2 * SIZE)
    path = 'encoder/layer_0/adapter_ffn_output_0/inner_norm/running_variance'
    leaves = {path: jnp.array([[1.0, 2], [3, 6]])}
    merged = merging._combined(leaves, merge_rules.linear([-1, 0]), {})
    np.testing.assert_array_equal(merged[path], [2, 4])
