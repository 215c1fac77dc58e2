"""Training on kept hidden states is training on the whole model."""

import dataclasses
import types

from absl.testing import parameterized
import flax.linen as nn
import jax
import numpy as np
import pytest

from adapters_jax.adapters import prediction
from adapters_jax.data import batching
from adapters_jax.data import progress
from adapters_jax import errors
from adapters_jax.methods import bottleneck
from adapters_jax.methods import strings
from adapters_jax.model import heads
from adapters_jax.model import shapes
from adapters_jax.runs import config as config_lib
from adapters_jax.runs.kinds import question_answering
from adapters_jax.runs import identity
from adapters_jax.runs import models
from adapters_jax.runs import run
from adapters_jax.runs import setup as setup_lib
from adapters_jax.runs import compiled
from adapters_jax.runs import task_checks
from adapters_jax.training import frozen_cache
from adapters_jax.training import selections
from adapters_jax.training import steps as steps_lib
from adapters_jax import trees
from tests import outputs
from tests import tiny

TOP_ADAPTERS = {'adapter_layers': '1', 'norm_layers': 'same'}


@pytest.fixture(scope='module')
def checkpoint(two_layers):
  """Two layers, as the lower one is kept."""
  return two_layers


class FirstLayerTest(parameterized.TestCase):

  @parameterized.parameters(
      ('adapters', {'norm_layers': (3, 4)}, (3, 4), 3),
      ('adapters', {'norm_layers': (3, 4)}, (1, 4), 1),
      ('adapters', {'norm_layers': (2,)}, (3, 4), 2),
      ('adapters', {'tune_norms': False}, (4,), 4),
      ('adapters', {'norm_layers': ()}, (), 5),
      ('adapters', {}, (3, 4), 0),
      ('top_k', {'top_k': 2}, (), 3),
      ('top_k', {'top_k': 5}, (), 0),
      ('head', {}, (), 5),
      ('norms', {}, (), 0),
      ('bias', {}, (), 0),
      ('full', {}, (), 0),
  )
  def test_first_layer(self, tune, settings, adapter_layers, expected):
    methods = ((bottleneck.Bottleneck(size=3, layers=adapter_layers),)
               if adapter_layers else ())
    select = selections.TUNE[tune](5, **settings)
    self.assertEqual(frozen_cache.first_layer(select, methods, 5), expected)

  @parameterized.parameters(
      ('prefix_tuning', 0), ('prompt_tuning', 0), ('seq_bn_inv', 0),
      ('lora', 0), ('compacter', 0), ('loreft[layers=(3,)]', 3))
  def test_methods_act_where_they_apply(self, text, expected):
    select = selections.select_adapters(5, tune_norms=False)
    self.assertEqual(
        frozen_cache.first_layer(select, strings.parse(text), 5), expected)

  def test_it_is_the_lowest_layer_with_a_trained_leaf(self):
    """Every leaf of real trees, not a few by their kind."""
    for tune in selections.TUNE:
      select = selections.TUNE[tune](2, top_k=1)
      model = heads.Classifier(tiny.TWO_LAYERS, 2, 'pooler')
      paths = trees.flatten(shapes.of(model))
      trained = [path for path in paths if select(path)]
      lowest = min((trees.layer_of(path) for path in trained
                    if trees.layer_of(path) is not None), default=2)
      if any(path.startswith('embeddings/') for path in trained):
        lowest = 0
      self.assertEqual(frozen_cache.first_layer(select, (), 2), lowest, tune)


@pytest.fixture
def config(checkpoint, own_files, tmp_path) -> config_lib.Config:
  return tiny.run_config(
      checkpoint, own_files, str(tmp_path / 'work'), buckets=0, dropout=0.0,
      init_scale=0.1, cache_frozen=True)


def whole(config):
  return dataclasses.replace(config, cache_frozen=False)


def logits_of(setup):
  step = compiled.make_eval(setup, 16)
  batches = [*batching.eval_batches(
      setup.splits['dev'], setup.schedule.buckets, 16)]
  return steps_lib.example_logits(
      step, setup.base, setup.tuned, batches, len(setup.splits['dev'])), batches


@pytest.mark.parametrize('settings', [
    TOP_ADAPTERS,
    {'tune': 'head', 'head_input': 'pooler'}, *(
        pytest.param(other, marks=pytest.mark.slow) for other in (
            {'tune': 'top_k', 'top_k': 1},
            {'tune': 'head', 'head_input': 'mean_norm'})),
], ids=str)
def test_logits_are_those_of_the_whole_model(
    config, settings, monkeypatch, caplog):
  config = dataclasses.replace(config, **settings)
  monkeypatch.setattr(progress, '_SECONDS', 0.0)
  caplog.set_level('INFO', 'adapters_jax')
  setup = setup_lib.prepare(config)
  for examples in setup.splits.values():
    count = len(examples)
    assert f'kept {count} of {count} examples' in caplog.messages
    # Without the padding of a batch; those that the head reads.
    rows = ([1] * count if settings.get('head_input') == 'pooler'
            else examples.lengths)
    assert [len(states) for states in examples.hidden] == list(rows)
  kept, batches = logits_of(setup)
  expected, _ = logits_of(setup_lib.prepare(whole(config)))
  assert np.ptp(expected, axis=0).min() > 1e-3
  np.testing.assert_allclose(kept, expected, atol=1e-6)
  assert set(batches[0][1]) == {'hidden', 'mask', 'labels', 'weights'}


def losses_of(config, count=3):
  setup = setup_lib.prepare(config)
  tx, step = compiled.make_step(config, setup, heads.cross_entropy)
  state, losses = steps_lib.init_state(setup.tuned, tx, jax.random.key(1)), []
  for number in range(count):
    state, metrics = step(state, setup.base, setup.schedule.batch(number))
    losses.append(float(metrics['loss']))
  return losses, trees.flatten(jax.device_get(state.tuned))


@pytest.mark.slow
def test_steps_without_dropout_are_those_of_the_whole_model(config):
  config = dataclasses.replace(config, **TOP_ADAPTERS)
  losses, tuned = losses_of(config)
  expected_losses, expected = losses_of(whole(config))
  np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)
  assert list(tuned) == list(expected)
  for path, leaf in tuned.items():
    np.testing.assert_allclose(leaf, expected[path], atol=1e-4, err_msg=path)


def test_dropout_stays_on_above_and_off_below(config):
  config = dataclasses.replace(config, dropout=0.3, tune='head')
  setup = setup_lib.prepare(config)
  plain = setup_lib.prepare(dataclasses.replace(config, dropout=0.0))
  for a, b in zip(setup.splits['dev'].hidden, plain.splits['dev'].hidden):
    assert a.shape == (1, 12)  # [CLS] alone, as nothing reads the others.
    np.testing.assert_array_equal(a, b)
  assert losses_of(config)[0] != losses_of(
      dataclasses.replace(config, dropout=0.0))[0]


@pytest.mark.slow
def test_the_adapter_of_a_run_is_an_ordinary_one(config, capsys):
  config = dataclasses.replace(config, **TOP_ADAPTERS, dropout=0.1)
  record = run.run(config, 'glue')
  assert record.config['cache_frozen'] is True
  assert 'below layer 1 of 2 nothing is trained' in capsys.readouterr().out
  loaded = prediction.load(config.workdir, config.checkpoint)
  _, splits, _ = setup_lib.load_data(config)
  answers = outputs.logits(*loaded, splits['dev'].texts).argmax(-1)
  assert np.mean(answers == splits['dev'].labels) == pytest.approx(
      record.metrics['dev']['accuracy'])


@pytest.mark.parametrize('settings', [
    {}, {'adapter_layers': '1'}, {'tune': 'full'}, {'tune': 'norms'},
    {'tune': 'top_k', 'top_k': 2},
    {'adapter_config': 'prompt_tuning', 'tune_norms': False},
], ids=str)
def test_nothing_to_keep_is_a_user_error(config, settings):
  settings = {'init_scale': 0.01, 'adapter_size': 64, **settings}
  with pytest.raises(errors.UserError, match='`cache_frozen`: no layer'):
    task_checks.check_run(dataclasses.replace(config, **settings), 'glue')


def test_norms_of_the_layers_with_a_method_given_by_name(config):
  chosen = dataclasses.replace(
      config, adapter_config='lora[r=2, leave_out=(0,)]', norm_layers='same',
      init_scale=0.01, adapter_size=64)
  task_checks.check_run(chosen, 'glue')
  select = models.selection_of(chosen, 2)
  for layer, wanted in ((0, False), (1, True)):
    assert select(f'encoder/layer_{layer}/ffn_norm/scale') == wanted


def test_spans_are_refused(config):
  with pytest.raises(errors.UserError, match='`cache_frozen`: .* head on'):
    question_answering.prepare(config)


class OfTokens(heads.Model):
  """A head on token ids alone."""
  outputs: int = 2

  @nn.compact
  def __call__(self, tokens, segments, mask, *, train=False):
    hidden = self.text_states(tokens, segments, mask, train)
    return nn.Dense(self.outputs, name='head')(hidden[:, 0])


def test_a_head_on_tokens_alone_is_refused(config, monkeypatch):
  monkeypatch.setitem(heads.HEADS, 'cls', dataclasses.replace(
      heads.HEADS['cls'], make=OfTokens))
  config = dataclasses.replace(config, **TOP_ADAPTERS)
  with pytest.raises(
      errors.UserError, match='`cache_frozen`: OfTokens.__call__ has no'):
    setup_lib.prepare(config)
  setup_lib.prepare(whole(config))


def test_too_much_for_the_memory_is_a_user_error(config, monkeypatch):
  monkeypatch.setattr(frozen_cache.psutil, 'virtual_memory',
                      lambda: types.SimpleNamespace(available=1000))
  with pytest.raises(errors.UserError, match='do not fit the 0.0 GB'):
    setup_lib.prepare(dataclasses.replace(config, tune='head'))


def test_the_memory_of_a_head_on_all_positions(config, monkeypatch):
  config = dataclasses.replace(config, tune='head', head_input='mean_norm')
  splits = setup_lib.prepare(config).splits.values()
  needed = 4 * 12 * sum(int(split.lengths.sum()) for split in splits)
  monkeypatch.setattr(frozen_cache.psutil, 'virtual_memory',
                      lambda: types.SimpleNamespace(available=needed - 1))
  with pytest.raises(errors.UserError, match='`cache_frozen`: .* do not fit'):
    setup_lib.prepare(config)


def test_the_flag_renames_no_run(config):
  values = identity.portable(whole(config))
  before = {k: v for k, v in values.items() if k != 'cache_frozen'}
  assert identity.digest(values) == identity.digest(before)
  assert identity.digest(values) != identity.digest(
      identity.portable(config))
