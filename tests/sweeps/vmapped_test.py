"""Tests of groups of runs, trained for real on a tiny checkpoint."""

import dataclasses
import os
import re
import signal
from unittest import mock

import jax
import numpy as np
import pytest

from adapters_jax.adapters import storage
from adapters_jax import errors
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import group_training
from adapters_jax.runs import records
from adapters_jax.runs import results
from adapters_jax.runs import run
from adapters_jax.runs import session
from adapters_jax.runs.kinds import classification
from adapters_jax.runs import compiled
from adapters_jax.runs import group as group_lib
from adapters_jax.sweeps import forecast
from adapters_jax.sweeps import grid
from adapters_jax.sweeps import vmapped
from adapters_jax.training import loop
from adapters_jax.training import sharding
from adapters_jax import trees
from tests import tiny
from tests.runs import trackers_test

# Of different seeds, rates, init scales, warm-up, decay and sizes; the third
# diverges.
CHANGES = (
    {'seed': 0, 'adapter_size': 5, 'learning_rate': 2e-2, 'init_scale': 0.1},
    {'seed': 1, 'adapter_size': 3, 'learning_rate': 4e-2, 'warmup': 0.4,
     'weight_decay': 0.2},
    {'seed': 2, 'adapter_size': 3, 'learning_rate': 1e30},
)


def configs_in(root, checkpoint, own_files, changes=CHANGES):
  """Returns runs of eight steps over two lengths, with folders in `root`."""
  shared = config_lib.Config(
      checkpoint=checkpoint, **own_files, batch_size=16, buckets=1,
      max_length=12, max_steps=8, eval_every=4)
  return grid.placed(
      [dataclasses.replace(shared, **change) for change in changes], str(root))


def tuned_of(config):
  return storage.load_tuned(f'{config.workdir}/adapter')[0]


def assert_same_runs(found, wanted, there, here):
  """Checks that two groups' records and adapters are bit-equal."""
  for a, b, config_a, config_b in zip(found, wanted, there, here):
    if isinstance(b, str):
      assert a == b
      continue
    assert (a.history, a.metrics, a.best_step) == (
        b.history, b.metrics, b.best_step)
    jax.tree.map(
        np.testing.assert_array_equal, tuned_of(config_a), tuned_of(config_b))


@dataclasses.dataclass
class Trained:
  """A group that ran undisturbed, and what its training ended with."""
  configs: list[config_lib.Config]
  found: list[records.Record | str]
  group: group_lib.Group
  progress: loop.Progress


@pytest.fixture(scope='module')
def trained(checkpoint, own_files, tmp_path_factory):
  """Trains a group of CHANGES, and tracks its runs."""
  configs = configs_in(
      tmp_path_factory.mktemp('group'), checkpoint, own_files,
      [{**change, 'track': 'jsonl'} for change in CHANGES])
  train, seen = group_training.train_group, []

  def watched(group, *rest, **more):
    progress, log = train(group, *rest, **more)
    seen.extend((group, progress))
    return progress, log

  with mock.patch.object(session, 'enable_compilation_cache', lambda: None):
    with mock.patch.object(group_training, 'train_group', watched):
      found = vmapped.run_unit(configs, 'glue', classification.KIND)
  return Trained(configs, found, *seen)


def test_a_group_equals_single_runs(trained, tmp_path):
  # The second: its seed, rate and size are not those of the group's first.
  config, record = trained.configs[1], trained.found[1]
  alone = dataclasses.replace(config, workdir=str(tmp_path / 'alone'))
  single = run.run(alone, 'glue')
  assert record.config == single.config
  assert (record.metrics, record.last, record.predictions, record.data) == (
      single.metrics, single.last, single.predictions, single.data)
  assert (record.best_step, record.roles, record.total_params) == (
      single.best_step, single.roles, single.total_params)
  assert (record.padded_tokens, record.real_tokens) == (
      single.padded_tokens, single.real_tokens)
  np.testing.assert_allclose(
      [entry['loss'] for entry in record.history],
      [entry['loss'] for entry in single.history], rtol=1e-4)
  jax.tree.map(  # Of the true size: narrow adapters are cut back.
      lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4),
      tuned_of(config), tuned_of(alone))
  assert 'one of 3 runs of one program' in record.notes[0]
  assert record.notes[1:] == single.notes
  other = trained.found[0]
  assert record.history != other.history


def test_runs_of_a_group_are_tracked_in_files_of_their_own(trained):
  one, other = (
      trackers_test.lines_of(config.workdir) for config in trained.configs[:2])
  for lines, record in zip((one, other), trained.found):
    assert lines[-1]['best/dev/accuracy'] == record.metrics['dev']['accuracy']
    assert [line['dev/accuracy'] for line in lines if 'dev/accuracy' in line
            ] == [entry['dev']['accuracy'] for entry in record.history]
  assert one != other


def test_what_pads_an_adapter_stays_zero(trained):
  wide, narrow = (trees.flatten(trees.take(trained.progress.state.tuned, i))
                  for i in (0, 1))
  name = 'encoder/layer_0/adapter_ffn_output_0'
  for path, axis in ((f'{name}/down/kernel', 1), (f'{name}/down/bias', 0),
                     (f'{name}/up/kernel', 0)):
    assert narrow[path].shape[axis] == 5
    np.testing.assert_array_equal(np.take(narrow[path], [3, 4], axis), 0)
    assert np.any(np.take(narrow[path], range(3), axis))
    assert np.all(np.take(wide[path], [3, 4], axis))


def test_a_narrow_run_starts_as_it_would_alone(trained):
  alone = classification.KIND.prepare(trained.configs[1]).tuned
  padded = group_lib.widen(alone, trained.group.setup.tuned)
  for tree in (trained.group.members[1].tuned, group_lib.narrow(padded, alone)):
    jax.tree.map(np.testing.assert_array_equal, tree, alone)
  start = trees.take(group_lib.initial(trained.group).state.tuned, 1)
  jax.tree.map(np.testing.assert_array_equal, start, padded)


def test_kept_lower_layers_are_shared(own_files, tmp_path):
  checkpoint = tiny.write_checkpoint(str(tmp_path / 'two_layers'), layers=2)
  configs = [
      dataclasses.replace(config, cache_frozen=True, adapter_layers='1',
                          norm_layers='same', buckets=0)
      for config in configs_in(tmp_path, checkpoint, own_files)]
  group = group_lib.make_group(configs[:2], classification.KIND)
  alone = classification.KIND.prepare(configs[1])
  jax.tree.map(
      np.testing.assert_array_equal, group.members[1].tuned, alone.tuned)
  assert group_lib.group_batch(group, 0)['hidden'].shape == (2, 16, 12, 12)
  assert jax.tree.structure(group.setup.base) == jax.tree.structure(alone.base)


def test_a_diverged_run_fails_alone(trained):
  found = trained.found
  assert 'try a lower `learning_rate`' in found[2] and '1e+30' in found[2]
  assert not os.path.exists(f'{trained.configs[2].workdir}/record.json')
  for config, record in zip(trained.configs[:2], found):
    assert records.read(f'{config.workdir}/record.json') == record
    assert len(record.history) == 2
    assert sorted(os.listdir(config.workdir)) == [
        '.lock', 'adapter', 'metrics.jsonl', 'record.json', 'run.json']
  assert not os.path.exists(vmapped.group_folder(trained.configs))


@pytest.mark.slow
def test_a_run_whose_outputs_diverge_fails_alone(trained, tmp_path):
  # Its only loss is finite: that of the weights before the step.
  configs = [
      dataclasses.replace(config, max_steps=1, workdir=str(tmp_path / str(i)))
      for i, config in enumerate(trained.configs)]
  found = vmapped.run_unit(configs, 'glue', classification.KIND)
  wanted = ('^diverged: dev example 0: the outputs are not finite, .*; '
            'after step 1: try a lower `learning_rate`')
  assert re.match(wanted, found[2])
  for config, record in zip(configs[:2], found):
    assert records.read(f'{config.workdir}/record.json') == record
  alone = dataclasses.replace(configs[2], workdir=str(tmp_path / 'alone'))
  with pytest.raises(errors.UserError, match=wanted):
    run.run(alone, 'glue')


def test_killed_groups_go_on_to_bit_equal_results(
    trained, checkpoint, own_files, tmp_path):
  configs = configs_in(tmp_path, checkpoint, own_files)
  save = results.save

  def die():
    raise RuntimeError('killed')

  with tiny.at_step(6, die), pytest.raises(RuntimeError, match='killed'):
    vmapped.run_unit(configs, 'glue', classification.KIND)
  planned = vmapped.make_units(configs, configs, 'glue', lambda runs: 1)
  assert planned == [tuple(configs)]  # As the group that it was.
  with tiny.at_step(
      6, lambda: signal.raise_signal(signal.SIGTERM)), pytest.raises(
          errors.Interrupted, match='7 of 8'):
    vmapped.run_unit(configs, 'glue', classification.KIND)

  def save_one(folder, *rest):
    if folder == configs[1].workdir:
      die()
    save(folder, *rest)

  with mock.patch.object(results, 'save', save_one), pytest.raises(
      RuntimeError):
    vmapped.run_unit(configs, 'glue', classification.KIND)
  written = os.stat(f'{configs[0].workdir}/record.json').st_mtime_ns
  planned = vmapped.make_units(configs, configs[1:], 'glue', lambda runs: 1)
  assert planned == [tuple(configs)]
  found = vmapped.run_unit(configs, 'glue', classification.KIND)
  assert os.stat(f'{configs[0].workdir}/record.json').st_mtime_ns == written
  assert_same_runs(found, trained.found, configs, trained.configs)


def test_group_sizes_are_measured(checkpoint, own_files, tmp_path):
  # The programs of the tests above, which need not be compiled again.
  configs = configs_in(tmp_path, checkpoint, own_files)
  found = forecast.measure_groups(configs, classification.KIND, [3])
  assert list(found) == [3] and found[3] > 0
  found = forecast.measure_groups(configs[1:2], classification.KIND, [1])
  assert list(found) == [1] and found[1] > 0
  assert not os.listdir(tmp_path)  # Nothing is kept.


def test_runs_with_adapter_drop_are_forecast(checkpoint, own_files, tmp_path):
  config, = configs_in(tmp_path, checkpoint, own_files, [
      {'adapter_size': 3, 'adapter_drop': '0-1'}])
  found = forecast.measure(config)
  assert found.step > 0 and found.evaluation > 0


def test_a_single_run_is_timed_with_one_program(
    checkpoint, own_files, tmp_path):
  config, = configs_in(tmp_path, checkpoint, own_files, CHANGES[1:2])
  compiled._train_step.cache_clear()  # Other tests may have left one.
  with forecast.assembled([config], classification.KIND) as group:
    step, batch = forecast.make_group_step(group, classification.KIND, 0)
    step(batch)
    step(batch)
    _, step = compiled.make_step(
        config, group.setup, classification.KIND.loss_of(config, group.setup))
  assert step._cache_size() == 1


def test_the_forecast_is_measured_on_the_devices_of_a_run(
    checkpoint, own_files, tmp_path):
  config, = configs_in(tmp_path, checkpoint, own_files, (
      {**CHANGES[1], 'mesh': 'data:1,fsdp:1'},))
  with mock.patch.object(
      forecast, '_times', return_value=[1.0] * 3) as timed:
    forecast.measure(config, classification.KIND)
  assert len(timed.call_args_list) == 2
  mesh = sharding.make_mesh(config.mesh, config.batch_size)
  for call in timed.call_args_list:  # Of the training and the evaluation.
    _, batch = call.args
    assert batch['tokens'].sharding == sharding.of_batch(mesh)


def test_only_runs_of_one_shape_are_a_group(checkpoint, own_files, tmp_path):
  configs = configs_in(
      tmp_path, checkpoint, own_files, ({'seed': 1}, {'batch_size': 8}))
  with pytest.raises(ValueError, match='may differ in adapter_size, .*seed'):
    vmapped.run_unit(configs, 'glue', classification.KIND)
