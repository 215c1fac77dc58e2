import functools
import pickle

from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from adapters_jax import errors
from adapters_jax.methods import bottleneck
from adapters_jax.model import encoder
from adapters_jax.model import heads
from adapters_jax.training import loop
from adapters_jax.training import optimizers
from adapters_jax.training import selections
from adapters_jax.training import steps as steps_lib
from adapters_jax import trees
from tests import tiny

CONFIG = encoder.BertConfig(**{
    **tiny.TWO_LAYERS.__dict__, 'adapters': (bottleneck.Bottleneck(3),)})
MODEL = heads.Classifier(CONFIG, 2, 'pooler')
SELECT = selections.select_adapters(3)


def optimizer(rate=0.01, **changed):
  return optimizers.make_optimizer(
      SELECT, learning_rate=rate, steps=50, **changed)


@functools.cache
def params():
  return tiny.init(MODEL)


@functools.cache
def default_step():
  tx = optimizer(weight_decay=0.1)
  return tx, steps_lib.make_train_step(MODEL, tx, heads.cross_entropy)


classes_of = functools.partial(
    steps_lib.example_logits, read=lambda logits: logits.argmax(-1))


def train(tuned, base, steps, tx=None):
  default_tx, step_fn = default_step()
  if tx is not None:
    step_fn = steps_lib.make_train_step(MODEL, tx, heads.cross_entropy)
  state = steps_lib.init_state(tuned, tx or default_tx, jax.random.key(3))
  losses = []
  for seed in range(steps):
    state, metrics = step_fn(state, base, tiny.random_batch(seed=seed % 3))
    losses.append(float(metrics['loss']))
  return state, losses


class TrainingTest(parameterized.TestCase):

  def test_handed_the_whole_tree_only_the_tuned_leaves_move(self):
    before = trees.flatten(jax.device_get(params()))
    state, _ = train(params(), {}, 50)
    after = trees.flatten(jax.device_get(state.tuned))
    self.assertEqual(list(after), list(before))
    for path, leaf in after.items():
      moved = not np.array_equal(leaf, before[path])
      self.assertEqual(moved, trees.role(path) != 'encoder', path)

  def test_whole_tree_and_split_tree_take_the_same_path(self):
    tuned, base = trees.split(params(), SELECT)
    whole, losses_whole = train(params(), {}, 5)
    partial, losses_partial = train(tuned, base, 5)
    np.testing.assert_allclose(losses_whole, losses_partial, rtol=1e-6)
    for path, leaf in trees.flatten(partial.tuned).items():
      np.testing.assert_allclose(
          leaf, trees.flatten(whole.tuned)[path], atol=1e-6)

  def test_optimizer_state_covers_the_tuned_leaves_only(self):
    tuned, _ = trees.split(params(), SELECT)
    tx = optimizer()
    sizes = [leaf.size for leaf in jax.tree.leaves(tx.init(params()))
             if leaf.ndim]
    self.assertEqual(sum(sizes), 2 * trees.count(tuned))  # Two Adam moments.

  def test_loss_falls_and_one_compile_a_shape(self):
    tuned, base = trees.split(params(), SELECT)
    _, step_fn = default_step()
    before = step_fn._cache_size()
    _, losses = train(tuned, base, 40)
    self.assertLess(np.mean(losses[-6:]), np.mean(losses[:6]) - 0.1)
    self.assertLessEqual(step_fn._cache_size() - before, 1)

  def test_filler_examples_do_not_count(self):
    tuned, base = trees.split(params(), SELECT)
    tx, step_fn = default_step()
    batch = tiny.random_batch()
    changed = {**batch, 'tokens': batch['tokens'].copy(),
               'labels': batch['labels'].copy()}
    changed['tokens'][-1] = 7
    changed['labels'][-1] = 1 - batch['labels'][-1]
    results = []
    for b in (batch, changed):
      state = steps_lib.init_state(tuned, tx, jax.random.key(0))
      results.append(step_fn(state, base, b))
    (a, a_metrics), (b, b_metrics) = results
    self.assertEqual(float(a_metrics['loss']), float(b_metrics['loss']))
    jax.tree.map(np.testing.assert_array_equal, a.tuned, b.tuned)

  def test_dropout_differs_between_steps(self):
    tuned, base = trees.split(params(), SELECT)
    _, step_fn = default_step()  # The rate is data.
    state = steps_lib.init_state(tuned, optimizer(0.0), jax.random.key(0))
    losses = set()
    for _ in range(4):
      state, metrics = step_fn(state, base, tiny.random_batch())
      losses.add(float(metrics['loss']))
    self.assertLen(losses, 4)
    jax.tree.map(np.testing.assert_array_equal, state.tuned, tuned)

  def test_predict_demands_every_example_once(self):
    tuned, base = trees.split(params(), SELECT)
    batch = tiny.random_batch()
    eval_step = steps_lib.make_eval_step(MODEL)
    logits = steps_lib.example_logits(
        eval_step, base, tuned, [(np.array([2, 0, 1]), batch)], 3)
    direct = eval_step(base, tuned, batch)
    np.testing.assert_array_equal(logits[[2, 0, 1]], direct[:3])
    classes = classes_of(
        eval_step, base, tuned, [(np.array([2, 0, 1]), batch)], 3)
    np.testing.assert_array_equal(classes, logits.argmax(-1), strict=True)
    for rows, examples in (([0, 1], 3), ([0, 0, 1], 2)):
      with self.assertRaisesRegex(ValueError, 'exactly once'):
        steps_lib.example_logits(
            eval_step, base, tuned, [(np.array(rows), batch)], examples)

  @parameterized.parameters(np.nan, np.inf)
  def test_outputs_that_are_not_finite_are_no_class(self, value):
    outputs = np.zeros((3, 5, 2), np.float32)
    outputs[2] = value  # A row of filler, whose outputs nobody reads.
    bad = outputs.copy()
    bad[1, 4, 0] = value
    batches = [(np.array([3, 2]), bad), (np.array([0, 1]), outputs)]
    worse = [batches[0], (np.array([0, 1]), bad)]

    def step(base, tuned, batch):
      del base, tuned
      return batch

    def single(base, tuned, batch):
      return step(base, tuned, batch)[:, 4]

    for predict, model in ((steps_lib.example_logits, single),
                           (classes_of, single),
                           (steps_lib.predict_ragged, step)):
      for given, row in ((batches, 2), (worse, 1)):
        with self.assertRaisesRegex(
            errors.UserError, f'^example {row}: the outputs .*finite') as found:
          predict(model, {}, {}, given, 4)
        self.assertEqual(pickle.loads(pickle.dumps(found.exception)).row, row)
      self.assertLen(predict(model, {}, {}, batches[1:], 2), 2)

  def test_fit_keeps_the_best_and_survives_donation(self):
    tuned, base = trees.split(params(), SELECT)
    tx, step_fn = default_step()
    seen, scores = [], iter([0.2, 0.9, 0.4])

    def evaluate(tree, step):
      seen.append((step, jax.device_get(tree)))
      return next(scores)

    progress = loop.fit(
        step_fn,
        loop.init_progress(
            steps_lib.init_state(tuned, tx, jax.random.key(0))),
        base, lambda step: tiny.random_batch(seed=step),
        loop.Hooks(evaluate), steps=8, eval_every=3)
    self.assertEqual([step for step, _ in seen], [3, 6, 8])
    self.assertEqual(int(progress.best_step), 6)
    self.assertAlmostEqual(float(progress.best_score), 0.9, places=6)
    jax.tree.map(np.testing.assert_array_equal, progress.best, seen[1][1])

  def test_the_first_of_equal_scores_stays_the_best(self):
    tuned, _ = trees.split(params(), SELECT)
    tx, _ = default_step()
    progress = loop.init_progress(
        steps_lib.init_state(tuned, tx, jax.random.key(0)))
    # As float32, 0.7 is below and 0.9 above its float64.
    for score in (0.7, 0.9):
      first = loop.keep_best(progress, score, 3)
      self.assertEqual(int(first.best_step), 3)
      self.assertIs(loop.keep_best(first, score, 6), first)
      self.assertEqual(
          int(loop.keep_best(first, score + 1e-6, 9).best_step), 9)

  def test_training_another_task_leaves_the_first_ones_logits(self):
    tuned, base = trees.split(params(), SELECT)
    eval_step = steps_lib.make_eval_step(MODEL)
    batch = tiny.random_batch(seed=8)
    first, _ = train(tuned, base, 3)
    before = np.asarray(eval_step(base, first.tuned, batch))
    second, _ = train(tuned, base, 6)
    after = np.asarray(eval_step(base, first.tuned, batch))
    np.testing.assert_array_equal(before, after)
    self.assertFalse(np.array_equal(
        after, eval_step(base, second.tuned, batch)))


class OptimizersTest(parameterized.TestCase):

  def test_schedule(self):
    shape = optimizers.warmup_linear(100, 10)
    values = [float(shape(step)) for step in range(101)]
    self.assertAlmostEqual(values[0], 0.1, places=6)
    self.assertAlmostEqual(max(values), 1.0, places=6)
    self.assertEqual(int(np.argmax(values)), 9)
    self.assertAlmostEqual(values[55], 0.5, places=6)
    self.assertEqual(values[100], 0.0)
    self.assertEqual(float(optimizers.warmup_linear(
        4, optimizers.rising_steps('adam', 4, 0.0))(0)), 1.0)

  def test_the_norm_of_the_gradient_is_that_of_the_trained_leaves(self):
    grads = {'adapter_ffn_output_0': {
        'up': jnp.full(1, 3.0), 'scale': jnp.full(1, 4.0),
        'running_mean': jnp.full(1, 99.0), 'fixed_a': jnp.full(1, 99.0)}}
    np.testing.assert_allclose(steps_lib.gradient_norm(grads), 5, rtol=1e-6)

  def test_clip_sees_trained_leaves_only(self):
    tree = {'encoder': {'layer_0': {'ffn_output': {'kernel': jnp.ones(4)}}},
            'head': {'bias': jnp.ones(3)}}
    small = jax.tree.map(lambda leaf: 0.1 * leaf, tree)
    huge = trees.overlay(
        small, {'encoder': {'layer_0': {'ffn_output': {
            'kernel': jnp.full(4, 1e6)}}}})
    tx = optimizers.make_optimizer(
        selections.TUNE['head'](1), learning_rate=1.0, steps=10)
    first, _ = tx.update(small, tx.init(tree), tree)
    second, _ = tx.update(huge, tx.init(tree), tree)
    np.testing.assert_array_equal(first['head']['bias'], second['head']['bias'])
    np.testing.assert_array_equal(
        second['encoder']['layer_0']['ffn_output']['kernel'], 0.0)

  @parameterized.parameters(
      ('encoder/layer_0/ffn_output/kernel', True),
      ('encoder/layer_0/adapter_ffn_output_0/up/kernel', True),
      ('encoder/layer_0/adapter_ffn_output_0/up/bias', False),
      ('encoder/layer_0/adapter_ffn_output_0/scaling', False),
      ('encoder/layer_0/adapter_intermediate_0/scale', False),
      ('encoder/layer_0/attention/adapter_query_0/magnitude', False),
      # Held near the identity by the loss, not near 0.
      ('encoder/layer_0/adapter_fusion_ffn_output_0/value/kernel', False),
      ('encoder/layer_0/adapter_fusion_ffn_output_0/key/kernel', True),
      ('encoder/layer_0/ffn_norm/scale', False),
      ('head/bias', False))
  def test_decay_spares_biases_norms_and_scales(self, path, wanted):
    self.assertEqual(optimizers.decays(path), wanted)

  @parameterized.parameters(
      ('adapters', {}, {'adapter', 'norm', 'head'}),
      ('adapters', {'tune_norms': False}, {'adapter', 'head'}),
      ('full', {}, {'adapter', 'norm', 'head', 'encoder'}),
      ('norms', {}, {'norm', 'head'}),
      ('head', {}, {'head'}))
  def test_roles_of_a_preset(self, tune, options_, wanted):
    select = selections.TUNE[tune](3, **options_)
    selected, _ = trees.split(params(), select)
    roles = {trees.role(path) for path in trees.flatten(selected)}
    self.assertEqual(roles, wanted)

  def test_layers_of_a_preset(self):
    def layers(select):
      return {trees.layer_of(path) for path in trees.flatten(params())
              if select(path)}
    self.assertEqual(layers(selections.TUNE['top_k'](2, top_k=1)), {1, None})
    top = trees.split(params(), selections.TUNE['top_k'](2, top_k=1))[0]
    self.assertEqual(set(top), {'encoder', 'pooler', 'head'})
    same = selections.select_adapters(2, norm_layers=(1,))
    norms = {path for path in trees.flatten(params())
             if same(path) and trees.role(path) == 'norm'}
    self.assertEqual({trees.layer_of(path) for path in norms}, {1})
