"""AdapterDrop: adapters without the lowest layers, and steps without them."""

import dataclasses
import re

import jax
import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import dropping
from adapters_jax.analysis import dropped_layers
from adapters_jax.methods import strings
from adapters_jax.model import heads
from adapters_jax.runs import group
from adapters_jax.runs import run
from adapters_jax.training import adapter_drop
from adapters_jax.training import optimizers
from adapters_jax.training import selections
from adapters_jax.training import steps
from tests import tiny
from tests import tiny_families
from tests.adapters import bank_test
from tests.model import families_test

BATCH = tiny.random_batch(batch=3, length=7)
ALL = ('houlsby[size=3]', 'lora[r=2]|compacter[size=4]',
       'prefix_tuning[prefix_length=2, bottleneck_size=3]|ia3',
       'prefix_tuning_flat[prefix_length=2]')


make = bank_test.make_two_layers


@pytest.fixture(scope='module')
def checkpoint(two_layers):
  """Two layers, as the lowest is dropped."""
  return two_layers


@pytest.fixture(scope='module')
def base(two_layers_base):
  """Two layers, as the lowest is dropped."""
  return two_layers_base


def params_of(base, tuned):
  return {part: leaves for part, leaves in trees.overlay(
      base.params, tuned).items() if part != 'pooler'}


def logits(base, methods, tuned, **changed):
  """Returns [batch, 2] logits."""
  model = heads.make(
      dataclasses.replace(base.config, **changed), methods, 2, 'cls')
  return np.asarray(tiny.apply(
      model, params_of(base, tuned), BATCH['tokens'], BATCH['segments'],
      BATCH['mask']))


@pytest.mark.parametrize('text', ALL)
def test_dropped_adapters(base, text):
  adapter = make(text)
  found = dropping.drop_layers(base, adapter, 1)
  assert all(method.leave_out == (0,) for method in found.methods)
  assert {trees.layer_of(path) for path in trees.flatten(found.tuned)} <= {
      None, 1}
  assert not any(path.startswith('embeddings') for path
                 in trees.flatten(found.tuned))
  kept, _ = trees.split(
      adapter.tuned, lambda path: adapter_drop.survives(path, 1))
  np.testing.assert_allclose(
      logits(base, found.methods, found.tuned),
      logits(base, adapter.methods, kept, adapted_from=1), atol=1e-6)
  none = dropping.drop_layers(base, adapter, 2)
  np.testing.assert_array_equal(
      logits(base, none.methods, none.tuned),
      logits(base, (), {'head': adapter.tuned['head']}))
  assert dropping.drop_layers(base, adapter, 0).methods == adapter.methods


@pytest.mark.parametrize('case', ('deberta', 'modernbert'))
def test_the_lowest_layers_are_those_of_the_base(case):
  params = {part: families_test.base(case)[part]
            for part in ('embeddings', 'encoder')}
  tuned, _ = trees.split(trees.map_with_path(
      lambda path, leaf: leaf + 0.5, params), selections.TUNE['norms'](3))
  kept, dropped = trees.split(
      tuned, lambda path: adapter_drop.survives(path, 1))
  assert any('encoder/layer_1/' in path for path in trees.flatten(kept))
  assert {path.rpartition('/')[0] for path in trees.flatten(dropped)
          if trees.layer_of(path) is None} == {
              'deberta': {'embeddings/norm', 'encoder/relative_norm'},
              'modernbert': {'embeddings/norm'}}[case]
  batch = tiny_families.batch(case)
  first, *others = families_test.hidden_of(case, batch)
  lowest, *above = families_test.hidden_of(
      case, batch, params=trees.overlay(params, kept))
  np.testing.assert_array_equal(lowest, first)
  assert not np.allclose(above[-1], others[-1], atol=1e-2)


def test_layers_that_cannot_be_dropped(base):
  adapter = make('prompt_tuning[prompt_length=2]')
  with pytest.raises(errors.UserError, match='acts on the embeddings'):
    dropping.drop_layers(base, adapter, 1)
  with pytest.raises(errors.UserError, match='the base has 2 layers'):
    dropping.drop_layers(base, adapter, 3)
  shifted = make(
      'prefix_tuning_flat[prefix_length=2, shift_positions=True]')
  with pytest.raises(errors.UserError, match=(
      '`layers=1`: PrefixTuning shifts the positions of texts')):
    dropping.drop_layers(base, shifted, 1)
  assert dropping.drop_layers(base, shifted, 0).methods == shifted.methods
  assert not dropping.drop_layers(base, shifted, 2).methods


@pytest.mark.parametrize('prefix', (
    'prefix_tuning[prefix_length=2, bottleneck_size=3, leave_out=[1]]',
    'prefix_tuning_flat[prefix_length=2, leave_out=[1]]'))
def test_the_last_layer_of_a_prefix_is_dropped(prefix, base, tmp_path):
  adapter = make(f'{prefix}|lora[r=2]')
  found = dropping.drop_layers(base, adapter, 1)
  assert not any('adapter_shared' in path
                 for path in trees.flatten(found.tuned))
  lora = make('lora[r=2, leave_out=[0]]')
  tuned = trees.rename(
      found.tuned, lambda path: re.sub(r'(adapter_[a-z]+)_1/', r'\1_0/', path))
  np.testing.assert_array_equal(
      logits(base, found.methods, found.tuned),
      logits(base, lora.methods, tuned))
  found.save(str(tmp_path))
  assert adapter_lib.load(str(tmp_path)) == found
  # Earlier versions kept the leaf of a flat prefix, without numbers.
  old = dataclasses.replace(found, tuned=trees.overlay(
      found.tuned, {'encoder': {'adapter_shared_0': {
          'prefix': np.zeros((2, 0), np.float32)}}}))
  old.save(str(tmp_path / 'old'))
  assert adapter_lib.load(str(tmp_path / 'old')) == found


def test_layers_of_records_stay():
  # Of the steps of every run: other draws would be other numbers.
  assert [adapter_drop.number_at((0, 1, 2), step) for step in range(12)] == [
      2, 0, 2, 1, 1, 2, 1, 0, 1, 2, 2, 2]


def test_a_step_without_the_lowest_layer(base):
  methods = strings.parse('houlsby[size=3]')
  adapter = make('houlsby[size=3]')
  select = selections.TUNE['adapters'](2)
  tx = optimizers.make_optimizer(
      select, learning_rate=1e-2, steps=4, weight_decay=0.0)
  costs = {}
  for number in (0, 1):
    model = heads.make(dataclasses.replace(
        base.config, adapted_from=number, dropout=0.0, attention_dropout=0.0),
                       methods, 2, 'cls')
    step = steps.make_train_step(
        model, tx, heads.cross_entropy, layers_without=number)
    state = steps.init_state(adapter.tuned, tx, jax.random.key(0))
    frozen = {part: leaves for part, leaves in base.params.items()
              if part != 'pooler'}
    costs[number] = step.lower(state, frozen, BATCH).compile().cost_analysis()[
        'flops']
    new, metrics = step(state, frozen, BATCH)
    before, after = trees.flatten(adapter.tuned), trees.flatten(new.tuned)
    moved = {path for path in before
             if not np.array_equal(before[path], after[path])}
    assert moved <= {path for path in before
                     if adapter_drop.survives(path, number)}
    assert 'encoder/layer_1/adapter_ffn_output_0/up/kernel' in moved
    # Its own, not those of the base that is below.
    assert 'encoder/layer_1/ffn_norm/scale' in moved
    assert np.isfinite(metrics['loss'])
  # No backward pass below: half the layers, and more than a fifth of the work.
  assert costs[1] < 0.8 * costs[0]


@pytest.mark.slow
def test_a_run(checkpoint, own_files, tmp_path, monkeypatch):
  seen = []
  real = group.group_batch

  def watched(runs, step):
    batch = real(runs, step)
    seen.append(len(batch['dropped']))
    return batch

  monkeypatch.setattr(group, 'group_batch', watched)
  record = run.run(tiny.run_config(
      checkpoint, own_files, str(tmp_path), buckets=0, adapter_drop='0-2'),
      'glue')
  assert seen == [adapter_drop.number_at((0, 1, 2), step) for step in range(8)]
  assert set(seen) == {0, 1, 2}
  assert record.config['adapter_drop'] == '0-2'
  assert record.history[-1]['loss'] < 0.75
  scores = dropped_layers.scores(record, str(tmp_path), tiny.run_config(
      checkpoint, own_files, str(tmp_path), buckets=0))
  assert list(scores) == ['0', '1', '2']
  assert scores['0'] == next(iter(record.metrics['dev'].values()))
  for changed, message in (
      ({'adapter_drop': '0-3'}, 'the model has 2 layers'),
      ({'adapter_drop': '0-1', 'tune': 'full'}, 'goes with `tune=adapters`'),
      ({'adapter_drop': 'x'}, 'not of the form')):
    with pytest.raises(errors.UserError, match=message):
      run.run(tiny.run_config(
          checkpoint, own_files, str(tmp_path / 'other'), **changed), 'glue')
