"""Tests that need eight devices; `sharding_test` runs them in a process."""

import dataclasses
import functools
import re
import tempfile

from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

import adapters_jax as aj
from adapters_jax.layers import dropout
from adapters_jax.methods import bottleneck
from adapters_jax.model import heads
from adapters_jax.runs import models
from adapters_jax.training import loop
from adapters_jax.training import optimizers
from adapters_jax.training import resume as resume_lib
from adapters_jax.training import selections
from adapters_jax.training import sharding
from adapters_jax.training import steps as steps_lib
from adapters_jax import trees
from tests import tiny

BATCH = 16
SHAPE = dataclasses.replace(
    tiny.CONFIG, dim=16, ffn_dim=24, adapters=(bottleneck.Bottleneck(3),))
SHAPES = {
    'bert': SHAPE,
    'mpnet': dataclasses.replace(
        SHAPE, family='mpnet', segments=0, first_position=2,
        relative_bias=True),
    'deberta': dataclasses.replace(
        SHAPE, family='deberta-v2', segments=0, distance_buckets=4),
    # The layer is cut into blocks of two tokens.
    'modernbert': dataclasses.replace(
        SHAPE, family='modernbert', segments=0, pre_norm=True,
        rotary=(1e4, 1e3), local_layers=(0,), window=2, attention_bias=False,
        ffn_bias=False, norm_bias=False)}
SELECT = selections.select_adapters(1)
COLLECTIVES = re.compile(
    r'\b(all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter)\b')


@functools.cache
def whole_batch():
  return tiny.random_batch(SHAPE, BATCH, 6)


@functools.cache
def parameters(family='bert'):
  # As small as initial values: the bias of keys has no gradient but rounding,
  # which Adam would magnify.
  return trees.map_with_path(
      lambda path, leaf: np.zeros_like(leaf) if path.endswith('/bias')
      else leaf if path.endswith('/scale') else 0.1 * leaf,
      tiny.drawn(heads.Classifier(SHAPES[family], 2)))


@functools.cache
def compiled_step(text, tune, family='bert'):
  """Returns the step compiled for a mesh; other shardings would be errors."""
  step, *arguments = prepared(text, tune, family)
  return step.lower(*arguments[:1], *arguments[2:]).compile()


def prepared(text, tune, family='bert'):
  """Returns (train step, state, progress, base, batch) on a mesh."""
  mesh = mesh_of(text)
  select = selections.TUNE[tune](1)
  tuned, base = trees.split(parameters(family), select)
  tx = optimizers.make_optimizer(select, learning_rate=1e-2, steps=9)

  def begin(tuned):
    return loop.init_progress(
        steps_lib.init_state(tuned, tx, jax.random.key(3)))

  progress = sharding.create(mesh, begin, sharding.distribute(mesh, tuned))
  model = models.on_mesh(heads.Classifier(SHAPES[family], 2), mesh)
  step = steps_lib.make_train_step(
      model, tx, heads.cross_entropy,
      shardings=(sharding.shardings(mesh, progress.state),
                 sharding.replicated(mesh)))
  batch = sharding.place_batch(mesh, whole_batch(), BATCH)
  return step, progress.state, progress, sharding.distribute(mesh, base), batch


def trained(text, tune, family='bert'):
  """Returns (tuned after 3 steps, last metrics) on a mesh, as numpy."""
  _, state, _, base, batch = prepared(text, tune, family)
  step = compiled_step(text, tune, family)
  for _ in range(3):
    state, metrics = step(state, base, batch)
  return sharding.gather(mesh_of(text), state.tuned), jax.device_get(metrics)


def mesh_of(text):
  devices = jax.devices()[:1] if text == 'data:1' else None
  return sharding.make_mesh(text, BATCH, devices)


class EightDevicesTest(parameterized.TestCase):

  def test_there_are_eight(self):
    self.assertLen(jax.devices(), 8)

  @parameterized.parameters(
      ('data:8', 'adapters', 'bert'), ('data:4,fsdp:2', 'full', 'bert'),
      ('data:4,fsdp:2', 'full', 'mpnet'),
      ('data:4,fsdp:2', 'full', 'deberta'),
      ('data:4,fsdp:2', 'full', 'modernbert'))
  def test_training_equals_one_device(self, mesh, tune, family):
    wanted, wanted_metrics = trained('data:1', tune, family)
    found, metrics = trained(mesh, tune, family)
    np.testing.assert_allclose(
        metrics['loss'], wanted_metrics['loss'], rtol=1e-5)
    np.testing.assert_allclose(
        metrics['grad_norm'], wanted_metrics['grad_norm'], rtol=1e-4)
    start = trees.flatten(parameters(family))
    wanted = trees.flatten(wanted)
    for path, leaf in trees.flatten(found).items():
      np.testing.assert_allclose(leaf, wanted[path], atol=3e-5, err_msg=path)
      # What is equal was trained, too.
      if path.endswith(('/kernel', '/relative_bias')):
        self.assertGreater(np.abs(leaf - start[path]).max(), 1e-3, path)

  def test_a_group_of_runs_equals_single_runs_on_one_device(self):
    tuned, base = trees.split(parameters(), SELECT)
    tx = optimizers.make_optimizer(SELECT, learning_rate=1e-2, steps=9)
    batches = [whole_batch(), tiny.random_batch(SHAPE, BATCH, 6, seed=1)]

    def begin(tuned):
      return trees.stack(steps_lib.init_state(tuned, tx, jax.random.key(seed))
                         for seed in (3, 4))

    mesh = mesh_of('data:8')
    states = sharding.create(mesh, begin, tuned)
    step = steps_lib.make_train_step(
        heads.Classifier(SHAPE, 2), tx, heads.cross_entropy,
        grouped=True,
        shardings=(sharding.shardings(mesh, states),
                   sharding.replicated(mesh)))
    batch = sharding.place_group(mesh, batches)
    self.assertEqual(
        batch['tokens'].addressable_shards[0].data.shape,
        (2, BATCH // mesh.size, 6))
    states, _ = step(states, sharding.distribute(mesh, base), batch)
    found = sharding.gather(mesh, states.tuned)

    alone = mesh_of('data:1')
    _, state, _, base, _ = prepared('data:1', 'adapters')
    for number, seed in enumerate((3, 4)):
      key = jax.device_put(jax.random.key(seed), state.rng.sharding)
      single, _ = compiled_step('data:1', 'adapters')(
          jax.tree.map(jnp.copy, state.replace(rng=key)), base,
          sharding.place_batch(alone, batches[number], BATCH))
      jax.tree.map(
          lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
          trees.take(found, number), sharding.gather(alone, single.tuned))

  def test_fsdp_slices_what_is_large_and_nothing_else(self):
    mesh = 'data:4,fsdp:2'
    _, state, _, base, batch = prepared(mesh, 'adapters')
    per_device = {
        path: leaf.addressable_shards[0].data.shape
        for path, leaf in trees.flatten(base).items()}
    layer = 'encoder/layer_0'
    self.assertEqual(per_device[f'{layer}/ffn_output/kernel'], (12, 16))
    self.assertEqual(per_device[f'{layer}/ffn_output/bias'], (16,))
    self.assertEqual(per_device['embeddings/words/embedding'], (17, 16))
    for leaf in jax.tree.leaves(state.tuned):
      self.assertTrue(leaf.is_fully_replicated)
    self.assertEqual(batch['tokens'].addressable_shards[0].data.shape, (2, 6))
    _, state, _, _, _ = prepared(mesh, 'full')
    moments = [
        leaf for path, leaf in jax.tree_util.tree_leaves_with_path(
            state.opt_state)
        if "'ffn_output'" in str(path) and 'kernel' in str(path)]
    self.assertNotEmpty(moments)
    for leaf in moments:
      self.assertEqual(
          leaf.addressable_shards[0].data.shape[0], leaf.shape[0] // 2)

  def test_gradients_in_shard_map(self):
    # As `docs/how_it_works.md` says.
    model = heads.Classifier(SHAPE, 2)
    tuned, base = trees.split(parameters(), SELECT)
    mesh = mesh_of('data:8')

    def gradient(tuned, base, batch):
      def mean_loss(tuned):
        logits = model.apply(
            {'params': trees.overlay(base, tuned)}, **steps_lib.inputs(batch))
        return heads.cross_entropy(logits, batch['labels']).mean()

      return jax.grad(mean_loss)(tuned)

    def of_device(tuned, base, batch):
      tuned, base = jax.tree.map(
          lambda leaf: jax.lax.pcast(leaf, 'data', to='varying'), (tuned, base))
      return jax.lax.pmean(gradient(tuned, base, batch), 'data')

    batch = whole_batch()
    everywhere, rows = sharding.P(), sharding.P('data')
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, atol=1e-6),
        jax.jit(jax.shard_map(
            of_device, mesh=mesh, in_specs=(everywhere, everywhere, rows),
            out_specs=everywhere))(tuned, base, batch),
        jax.jit(gradient)(tuned, base, batch))

  def test_data_parallel_talks_about_gradients_alone(self):
    text = compiled_step('data:8', 'adapters').as_text()
    self.assertEqual(set(COLLECTIVES.findall(text)), {'all-reduce'})

  def test_fsdp_gathers_weights_and_leaves_examples_where_they_are(self):
    text = compiled_step('data:4,fsdp:2', 'full').as_text()
    moved = set(re.findall(
        r'= \(?f32\[([\d,]*)\].* (?:all-gather|all-to-all)\(', text))
    self.assertContainsSubset({'16,16', '16,24', '24,16'}, moved)  # Kernels.
    length_6 = [shape for shape in moved if re.search(r'\b6\b', shape)]
    self.assertEmpty(length_6)  # Hidden states, attention weights.

  def test_dropout_needs_no_communication_and_has_the_same_bits(self):
    mesh = mesh_of('data:8')
    x = np.random.default_rng(0).standard_normal((BATCH, 5, 7), np.float32)

    @jax.jit
    def drop(x, key):
      return dropout.dropout(x, key, 0.3)

    key = jax.random.key(4)
    sharded = jax.device_put(x, sharding.of_batch(mesh))
    everywhere = jax.device_put(key, sharding.replicated(mesh))
    text = drop.lower(sharded, everywhere).compile().as_text()
    self.assertEmpty(COLLECTIVES.findall(text))
    out = drop(sharded, everywhere)
    self.assertEqual(out.sharding.spec[0], ('data',) if isinstance(
        out.sharding.spec[0], tuple) else 'data')
    np.testing.assert_array_equal(out, drop(x, key))
    self.assertBetween(float(jnp.mean(out == 0)), 0.2, 0.4)

  def test_parts_of_a_batch_stay_on_their_device(self):
    mesh = mesh_of('data:8')
    split = jax.jit(lambda batch: steps_lib._in_parts(batch, 2))
    batch = sharding.place_batch(mesh, whole_batch(), BATCH)
    text = split.lower(batch).compile().as_text()
    self.assertEmpty(COLLECTIVES.findall(text))
    np.testing.assert_array_equal(
        split(batch)['tokens'][1], whole_batch()['tokens'][1::2])

  @parameterized.parameters(
      ('data:4,fsdp:2', 'data:1'), ('data:1', 'data:4,fsdp:2'))
  def test_a_saved_state_goes_on_with_other_devices(self, before, after):
    _, state, progress, base, batch = prepared(before, 'full')
    state, _ = compiled_step(before, 'full')(state, base, batch)
    folder = self.enter_context(tempfile.TemporaryDirectory())
    resume = resume_lib.Resume(folder)
    progress = progress.replace(
        state=state, best_score=jnp.full_like(progress.best_score, 0.5))
    resume.save(progress, {'history': [1]})
    _, _, like, base, batch = prepared(after, 'full')
    restored, extra = resume.restore(like)
    resume.close()
    self.assertEqual(extra, {'history': [1]})
    raw = functools.partial(jax.tree.map, lambda leaf: (
        jax.random.key_data(leaf)
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf))
    jax.tree.map(
        np.testing.assert_array_equal, jax.device_get(raw(restored)),
        jax.device_get(raw(progress)))
    for leaf, wanted in zip(
        jax.tree.leaves(restored), jax.tree.leaves(like), strict=True):
      self.assertEqual(leaf.sharding, wanted.sharding)
    # Its buffers may be donated.
    state, _ = compiled_step(after, 'full')(restored.state, base, batch)
    self.assertEqual(int(state.step), 2)

  def test_raw_texts_are_scored_on_one_device_as_in_training_on_eight(self):
    base, texts, train = self.training_on_texts()
    adapter = train()
    found = aj.evaluate(base, adapter, texts)
    self.assertEqual(list(found), list(adapter.scores['dev']))
    for name, value in adapter.scores['dev'].items():
      self.assertAlmostEqual(found[name], value, delta=1e-3, msg=name)

  def test_the_callers_mesh_changes_nothing(self):
    base, texts, train = self.training_on_texts()
    adapter = train()
    wanted = aj.evaluate(base, adapter, texts)
    for axes in jax.sharding.AxisType.Auto, jax.sharding.AxisType.Explicit:
      mesh = jax.make_mesh((8,), ('x',), axis_types=(axes,))
      with jax.set_mesh(mesh):
        self.assertEqual(train(), adapter)
        self.assertEqual(aj.evaluate(base, adapter, texts), wanted)
        self.assertEqual(jax.sharding.get_abstract_mesh(), mesh.abstract_mesh)

  def training_on_texts(self):
    """Returns (base, texts, () -> adapter trained on the texts)."""
    folder = self.enter_context(tempfile.TemporaryDirectory())
    base = aj.load_base(tiny.write_checkpoint(folder))
    texts = aj.Texts([' '.join(tiny.WORDS[row:row + 4]) for row in range(8)])
    return base, texts, lambda: aj.train(
        base, texts, 'lora[r=2]', dev=texts, buckets=0, batch_size=8,
        max_steps=1, max_length=8)
