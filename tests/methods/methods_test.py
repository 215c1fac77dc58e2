"""What holds of every method: training, saving, padding, rows, texts."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import folding
from adapters_jax.adapters import merge_rules
from adapters_jax.adapters import merging
from adapters_jax.adapters import storage
from adapters_jax.adapters import switching
from adapters_jax import errors
from adapters_jax import methods
from adapters_jax.methods import changes
from adapters_jax.methods import strings
from adapters_jax.model import encoder
from adapters_jax.model import heads
from adapters_jax.model import pretrained
from adapters_jax.training import optimizers
from adapters_jax.training import selections
from adapters_jax.training import steps as steps_lib
from adapters_jax import trees
from tests import tiny

SHAPE = encoder.BertConfig(
    vocab_size=13, dim=8, layers=2, heads=2, ffn_dim=20, positions=30)

# A small text for every name in CONFIGS; equal sizes share compiled operations.
TEXTS = {
    'bottleneck': 'bottleneck[size=2]',
    **{name: f'{name}[reduction_factor=4]' for name in (
        'seq_bn', 'pfeiffer', 'double_seq_bn', 'houlsby', 'par_bn', 'parallel',
        'scaled_par_bn', 'scaled_parallel', 'adapter_plus', 'seq_bn_inv',
        'pfeiffer+inv', 'double_seq_bn_inv', 'houlsby+inv')},
    **{name: f'{name}[reduction_factor=2, phm_dim=2]'
       for name in ('compacter', 'compacter++')},
    **{name: f'{name}[prefix_length=4, bottleneck_size=2]'
       for name in ('prefix_tuning', 'prefix_tuning_flat')},
    'prompt_tuning': 'prompt_tuning[prompt_length=4]',
    **{name: f'{name}[r=2]' for name in (
        'lora', 'rslora', 'dora', 'vera', 'loreft', 'noreft', 'direft')},
    **{name: name for name in ('ia3', 'ia3_inputs', 'invertible')},
    'mam': 'mam[prefix_length=4, bottleneck_size=2]',
    'unipelt': 'unipelt[prefix_length=4, bottleneck_size=2, r=2, '
               'reduction_factor=4]',
}
# The bottlenecks of the paper's section 3.6 that have no name of their own.
VARIANTS = {
    'depth': 'bottleneck[size=2, depth=3]',
    'inner layer norm': 'bottleneck[size=2, inner_norm=layer]',
    'inner batch norm': 'bottleneck[size=2, inner_norm=batch]',
    'multiplicative':
        'bottleneck[size=2, is_parallel=true, multiplicative=true]',
}
ALL = TEXTS | VARIANTS
# One name of each config: the others are aliases.
DISTINCT = sorted({strings.parse(text): name
                   for name, text in reversed(ALL.items())}.values())
# Trained by the slow tests alone, as others are much like them or as
# `families_test` trains them; together, as a program of five methods compiles
# much faster than five.
_ALIKE = (
    ('double_seq_bn', 'dora', 'prefix_tuning', 'invertible', 'noreft'),
    ('compacter++', 'ia3', 'prefix_tuning_flat', 'direft', 'depth'),
    ('par_bn', 'vera', 'inner layer norm', 'rslora', 'scaled_par_bn'),
    ('multiplicative', 'ia3_inputs', 'inner batch norm', 'seq_bn'),
    ('double_seq_bn_inv', 'mam'), ('unipelt', 'adapter_plus'), ('seq_bn_inv',))
_TOGETHER = {name for names in _ALIKE for name in names}
TRAINED = (
    *((name,) for name in DISTINCT if name not in _TOGETHER),
    *(pytest.param(names, marks=pytest.mark.slow) for names in _ALIKE))
# Their `neutral` returns None, as their modules always change something.
_NEVER_NEUTRAL = {'dora'}
# Starts that differ from those of `ALL`.
STARTS = {'dense vera': 'vera[r=2, dense=True, vera_b=0.5]',
          'gate': 'ia3[use_gating=True]'}


@functools.cache
def base():
  shapes = tiny.hugging_face_shapes(8, 2, 20, 13, 30)
  return pretrained.from_hugging_face(
      {name: value for name, value in tiny.random_tensors(
          shapes, scale=0.3).items() if 'pooler' not in name})


def make(text, layers=SHAPE.layers):
  """Returns (model, tuned tree, all but the norms) of a config."""
  configs = strings.parse(text)
  model = heads.Classifier(
      dataclasses.replace(SHAPE, adapters=configs, dropout=0.0, layers=layers,
                          attention_dropout=0.0), 2)
  params = encoder.init(model, jax.random.key(1), base())
  tuned, _ = trees.split(
      params, selections.select_adapters(SHAPE.layers, tune_norms=False))
  return model, tuned


def logits(model, tuned, batch, **changed):
  batch = {**batch, **changed}
  # Not jitted: all methods share the operations, which compile once.
  return np.asarray(model.apply(
      {'params': trees.overlay(base(), tuned)}, batch['tokens'],
      batch['segments'], batch['mask']))


def perturbed(tuned, seed=0):
  rng = np.random.default_rng(seed)
  return jax.tree.map(
      # On numpy arrays: JAX would compile an addition for each shape.
      lambda leaf: np.asarray(leaf) + np.float32(0.3) * rng.standard_normal(
          leaf.shape, np.float32), tuned)


def train(model, tuned, base, batch, steps):
  """Trains an adapter for some steps, which must leave the base alone.

  Returns:
    (tuned tree, {path: whether it has moved}, loss of each step)
  """
  tx = optimizers.make_optimizer(
      selections.select_adapters(2, tune_norms=False), learning_rate=0.02,
      steps=100, weight_decay=0.1)
  step = steps_lib.make_train_step(model, tx, heads.cross_entropy)
  before, frozen = jax.device_get((tuned, base))
  state, losses = steps_lib.init_state(tuned, tx, jax.random.key(2)), []
  for _ in range(steps):
    state, metrics = step(state, base, batch)
    losses.append(float(metrics['loss']))
  jax.tree.map(np.testing.assert_array_equal, frozen, base)
  after = jax.device_get(state.tuned)
  return after, trees.flatten(jax.tree.map(
      lambda a, b: not np.array_equal(a, b), before, after)), losses


def check_saved(folder, model, tuned, text):
  """Checks that a saved adapter is read as it was: its method, every bit."""
  storage.save_tuned(str(folder), tuned, {'method': text})
  loaded, settings = storage.load_tuned(str(folder))
  assert strings.parse(settings['method']) == model.config.adapters
  jax.tree.map(np.testing.assert_array_equal, loaded, tuned)


def test_every_name_has_a_text():
  # A new name needs a row of TEXTS, with which the tests below cover it.
  assert set(TEXTS) == set(methods.CONFIGS)
  assert _TOGETHER < set(DISTINCT)


@pytest.mark.parametrize('names', TRAINED, ids='+'.join)
def test_training_moves_the_adapter_alone_and_saves(names, tmp_path):
  text = '|'.join(ALL[name] for name in names)
  model, tuned = make(text, layers=1)
  after, moved, losses = train(
      model, tuned, base(), tiny.random_batch(SHAPE, 3, 5), steps=8)
  assert losses[-1] < losses[0]
  for path, value in moved.items():
    # The second unit of a product whose first is zero moves one step later,
    # the third later still; what is drawn once never does.
    assert value == (trees.role(path) != 'fixed'), path
  check_saved(tmp_path, model, after, text)


@pytest.mark.parametrize('name', [
    *DISTINCT, 'loreft[r=2, prefix_positions=1, suffix_positions=2]',
    'loreft[r=2, prefix_positions=0, suffix_positions=4]'])
def test_padding_and_uncomputed_rows_change_nothing(name):
  model, tuned = make(ALL.get(name, name))
  tuned = trees.map_with_path(  # Variances stay positive.
      lambda path, leaf: np.abs(leaf) if 'running' in path else leaf,
      perturbed(tuned))
  batch = tiny.random_batch(SHAPE, 3, 5)
  found = logits(model, tuned, batch)
  plain = logits(
      heads.Classifier(SHAPE, 2), {'head': tuned['head']}, batch)
  assert np.abs(found - plain).max() > 1e-4  # It acts.
  padded = {
      key: np.pad(batch[key], ((0, 0), (0, 4)), constant_values=fill)
      for key, fill in (('tokens', 7), ('segments', 1), ('mask', False))}
  np.testing.assert_allclose(
      logits(model, tuned, padded), found, atol=3e-6, rtol=1e-5,
      err_msg='the update depends on padding, which `mask` excludes')
  whole = encoder.Bert(model.config).apply(
      {'params': trees.overlay(base(), tuned)}, batch['tokens'],
      batch['segments'], batch['mask'])[-1]
  head = tuned['head']
  np.testing.assert_allclose(
      whole[:, 0] @ head['kernel'] + head['bias'], found, atol=3e-6,
      rtol=1e-5, err_msg='the update of a position depends on others: the '
      'method needs `needs_all_rows`')


@pytest.mark.parametrize('name', ['lora', 'rslora', 'dora', 'ia3', 'vera'])
def test_a_fresh_update_of_weights_is_none(name):
  model, tuned = make(TEXTS[name])
  plain = heads.Classifier(SHAPE, 2)
  batch = tiny.random_batch(SHAPE, 3, 5)
  np.testing.assert_allclose(
      logits(model, tuned, batch),
      logits(plain, {'head': tuned['head']}, batch), atol=2e-6)


def adapter(text, seed=0):
  """Returns an adapter whose leaves all act."""
  model, tuned = make(text)
  return adapter_lib.Adapter(model.config.adapters, perturbed(tuned, seed))


def outputs(made, tuned):
  """Returns the logits of an adapter's methods with other leaves."""
  model = heads.Classifier(
      dataclasses.replace(SHAPE, adapters=made.methods), 2)
  return logits(model, tuned, tiny.random_batch(SHAPE, 3, 5))


def having(hook):
  """Returns the names of methods all of which have a property."""
  return [name for name in DISTINCT if all(map(hook, strings.parse(ALL[name])))]


# Modules at the embeddings are in no layer, and are never switched off.
@pytest.mark.parametrize('name', having(
    lambda config: config.kind != 'embedding'
    and type(config).neutral is not changes.Change.neutral))
def test_neutral_leaves_change_nothing(name):
  made = adapter(ALL[name])
  if name in _NEVER_NEUTRAL:
    with pytest.raises(errors.UserError, match='cannot be switched off'):
      switching.neutral(made.tuned, made.methods)
    return
  off = switching.neutral(made.tuned, made.methods)
  assert jax.tree.map(np.shape, off) == jax.tree.map(np.shape, made.tuned)
  bare = dataclasses.replace(made, methods=())
  np.testing.assert_allclose(
      outputs(made, off), outputs(bare, {'head': off['head']}), atol=2e-5)


@pytest.mark.parametrize('name', having(lambda config: config.folds))
def test_a_folded_base_gives_the_same_outputs(name):
  made = adapter(ALL[name])
  folded, _ = folding.fold_tree(base(), made)
  np.testing.assert_allclose(
      outputs(dataclasses.replace(made, methods=()), folded),
      outputs(made, made.tuned), atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize('name', having(lambda config: config.sums))
def test_a_weighted_sum_is_that_of_the_changes(name):
  before = trees.flatten(base())
  bank = {'a': adapter(ALL[name]), 'b': adapter(ALL[name], 1)}
  merged = merging.merge(bank, 'ab', merge_rules.linear([2.0, -0.5]), base())
  one, other, both = (
      {path: folded[path] - leaf for path, leaf in before.items()}
      for folded in (trees.flatten(folding.fold_tree(base(), made)[0])
                     for made in (*bank.values(), merged)))
  for path, found in both.items():
    np.testing.assert_allclose(
        found, 2 * one[path] - 0.5 * other[path], atol=1e-4, err_msg=path)


@pytest.mark.parametrize('name', [*DISTINCT, *STARTS])
def test_a_start_is_what_no_seed_changes(name):
  model, one = make({**ALL, **STARTS}[name])
  two = trees.flatten(encoder.init(model, jax.random.key(3), base()))
  leaves = {path: np.stack([leaf, two[path]])
            for path, leaf in trees.flatten(one).items()}
  found = merging._starts(
      model.config.adapters, leaves, trees.flatten(base()))
  for path, (leaf, other) in leaves.items():
    if trees.role(path) != 'adapter':
      assert path not in found
      continue
    wanted = leaf if np.array_equal(leaf, other) else np.zeros_like(leaf)
    np.testing.assert_allclose(
        found.get(path, 0 * wanted), wanted, rtol=1e-6, err_msg=path)


@pytest.mark.parametrize('name', [
    name if name in ('loreft', 'prompt_tuning', 'vera')
    else pytest.param(name, marks=pytest.mark.slow)
    for name in (*DISTINCT, *STARTS)])
def test_leaves_are_the_same_with_64_bits(name):
  text = {**ALL, **STARTS}[name]
  _, wanted = make(text, layers=1)
  with jax.enable_x64(True):
    _, found = make(text, layers=1)
  jax.tree.map(np.testing.assert_array_equal, found, wanted)
  assert {str(leaf.dtype) for leaf in jax.tree.leaves(found)} == {'float32'}
