"""Tests of groups, of units and of sweeps, on a tiny checkpoint."""

import dataclasses
import os
import signal
from unittest import mock

from absl.testing import parameterized
import jax
import numpy as np
import pytest

from adapters_jax import campaign
from adapters_jax import checkpoints
from adapters_jax import config as config_lib
from adapters_jax import grid
from adapters_jax import groups
from adapters_jax import options
from adapters_jax import results
from adapters_jax import run
from adapters_jax import sweeps
from adapters_jax import timing
from adapters_jax import training
from adapters_jax import trees
from adapters_jax import units
from adapters_jax.data import batching
from tests import grid_test

# Of different seeds, rates, init scales and sizes; the third diverges.
CHANGES = (
    {'seed': 0, 'adapter_size': 5, 'learning_rate': 2e-2, 'init_scale': 0.1},
    {'seed': 1, 'adapter_size': 3, 'learning_rate': 4e-2},
    {'seed': 2, 'adapter_size': 3, 'learning_rate': 1e30},
)


def configs_in(root, checkpoint, own_files, changes=CHANGES):
  """Returns runs of eight steps over two lengths, with folders in `root`."""
  shared = config_lib.Config(
      checkpoint=checkpoint, **own_files, batch_size=16, buckets=2,
      max_length=12, max_steps=8, eval_every=4)
  return grid.placed(
      [dataclasses.replace(shared, **change) for change in changes], str(root))


def tuned_of(config):
  return checkpoints.load_tuned(f'{config.workdir}/adapter')[0]


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
  found: list[results.Record | str]
  group: groups.Group
  progress: training.Progress


@pytest.fixture(scope='module')
def trained(checkpoint, own_files, tmp_path_factory):
  """Trains a group of CHANGES."""
  configs = configs_in(
      tmp_path_factory.mktemp('group'), checkpoint, own_files)
  train, seen = groups._train, []

  def watched(group, *rest):
    progress, log = train(group, *rest)
    seen.extend((group, progress))
    return progress, log

  with mock.patch.object(run, 'enable_compilation_cache', lambda: None):
    with mock.patch.object(groups, '_train', watched):
      found = groups.run_group(configs, 'glue')
  return Trained(configs, found, *seen)


def in_the_order_of_groups(config, mesh):
  """Prepares a single run whose lengths come as a group's do."""
  setup = run.CLASSIFICATION.prepare(config, mesh)
  return dataclasses.replace(setup, schedule=dataclasses.replace(
      setup.schedule, order_seed=groups.ORDER_SEED))


def test_a_group_equals_single_runs_of_its_order(trained, tmp_path):
  # The second: its seed, rate and size are not those of the group's first.
  config, record = trained.configs[1], trained.found[1]
  alone = dataclasses.replace(config, workdir=str(tmp_path / 'alone'))
  single = run.run(alone, 'glue', dataclasses.replace(
      run.CLASSIFICATION, prepare=in_the_order_of_groups))
  assert record.config == single.config
  assert record.metrics == single.metrics
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
  alone = run.CLASSIFICATION.prepare(trained.configs[1]).tuned
  padded = groups.widen(alone, trained.group.setup.tuned)
  for tree in (trained.group.members[1].tuned, groups.narrow(padded, alone)):
    jax.tree.map(np.testing.assert_array_equal, tree, alone)
  start = trees.take(groups.initial(trained.group).state.tuned, 1)
  jax.tree.map(np.testing.assert_array_equal, start, padded)


def test_a_diverged_run_fails_alone(trained):
  found = trained.found
  assert 'try a lower --learning_rate' in found[2] and '1e+30' in found[2]
  assert not os.path.exists(f'{trained.configs[2].workdir}/record.json')
  for config, record in zip(trained.configs[:2], found):
    assert results.read(f'{config.workdir}/record.json') == record
    assert len(record.history) == 2
    assert sorted(os.listdir(config.workdir)) == [
        '.lock', 'adapter', 'record.json', 'run.json']
  assert not os.path.exists(units.folder_of(trained.configs, 'glue'))


def test_killed_groups_go_on_to_bit_equal_results(
    trained, checkpoint, own_files, tmp_path):
  configs = configs_in(tmp_path, checkpoint, own_files)
  make_batch, save = batching.Schedule.batch, run.save

  def at_step_6(act):
    def batch(self, step):
      if step == 6:
        act()
      return make_batch(self, step)
    return mock.patch.object(batching.Schedule, 'batch', batch)

  def die():
    raise RuntimeError('killed')

  with at_step_6(die), pytest.raises(RuntimeError, match='killed'):
    groups.run_group(configs, 'glue')
  planned = units.plan(configs, configs, 'glue', lambda runs: 1)
  assert planned == [tuple(configs)]  # As the group that it was.
  with at_step_6(lambda: signal.raise_signal(signal.SIGTERM)), pytest.raises(
      training.Interrupted, match='7 of 8'):
    groups.run_group(configs, 'glue')

  def save_one(folder, *rest):
    if folder == configs[1].workdir:
      die()
    save(folder, *rest)

  with mock.patch.object(run, 'save', save_one), pytest.raises(RuntimeError):
    groups.run_group(configs, 'glue')
  written = os.stat(f'{configs[0].workdir}/record.json').st_mtime_ns
  planned = units.plan(configs, configs[1:], 'glue', lambda runs: 1)
  assert planned == [tuple(configs)]
  found = groups.run_group(configs, 'glue')
  assert os.stat(f'{configs[0].workdir}/record.json').st_mtime_ns == written
  assert_same_runs(found, trained.found, configs, trained.configs)


def test_group_sizes_are_measured(checkpoint, own_files, tmp_path):
  configs = [dataclasses.replace(config, buckets=1) for config in configs_in(
      tmp_path, checkpoint, own_files)]
  found = timing.measure_groups(configs, run.CLASSIFICATION, [1, 2])
  assert list(found) == [1, 2] and min(found.values()) > 0
  assert not os.listdir(tmp_path)  # Nothing is kept.


def test_only_runs_of_one_shape_are_a_group(checkpoint, own_files, tmp_path):
  configs = configs_in(
      tmp_path, checkpoint, own_files, ({'seed': 1}, {'batch_size': 8}))
  with pytest.raises(ValueError, match='may differ in seed'):
    groups.run_group(configs, 'glue')


class FakeUnits:
  """Stands in for groups.run_unit: leaves records, trains nothing."""

  def __init__(self, fail_at=()):
    self.made, self.fail_at = [], fail_at

  def __call__(self, configs, experiment, kind):
    self.made.append([grid.describe(c, configs) for c in configs])
    found = []
    for config in configs:
      if config.learning_rate in self.fail_at:
        found.append('the loss is nan')
        continue
      found.append(grid_test.make_record(config, dev=config.learning_rate))
      results.write(f'{config.workdir}/record.json', found[-1])
    return found


class SweepTest(parameterized.TestCase):

  @pytest.fixture(autouse=True)
  def in_a_folder_of_its_own(self, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

  def go(self, text, group='2', records='', fake=None):
    many = grid.Options(grid=text, records=records)
    runs = sweeps.expand([config_lib.Config(task='cola')], 'glue', many)
    said, fake = [], fake or FakeUnits()
    with mock.patch.object(groups, 'run_unit', fake):
      outcome = sweeps.go(runs, 'glue', records,
                          sweeps.Options(group=group), None, said.append)
    return outcome, fake, said

  def test_groups_are_of_equal_shapes_and_about_one_size(self):
    outcome, fake, said = self.go(
        'adapter_size=8,64,8 epochs=1,2 learning_rate=0.1,0.2')
    self.assertEqual(fake.made, [
        ['cola --learning_rate=0.1', 'cola --learning_rate=0.2']] * 4)
    self.assertLen(outcome.records, 8)
    self.assertEqual(said[:2], [
        '8 runs, 0 of them finished', '4 units for 8 runs, 1 at a time'])
    self.assertIn('8 of 8 runs', said[-1])
    self.assertIn('dev 20.00 (best so far 20.00)', said[-1])

  def test_finished_runs_are_skipped_and_records_kept_once(self):
    self.go('learning_rate=0.1,0.2', records='kept')
    outcome, fake, said = self.go(
        'learning_rate=0.1,0.2,0.3', records='kept')
    self.assertEqual(fake.made, [['cola']])
    self.assertEqual(said[0], '3 runs, 2 of them finished')
    self.assertEqual([r.config['learning_rate'] for r in outcome.records],
                     [0.1, 0.2, 0.3])
    self.assertLen(list(results.read_all('kept')), 3)
    self.assertEqual(self.go('learning_rate=0.1')[1].made, [])

  def test_a_failed_run_is_told_of_and_does_not_end_the_others(self):
    outcome, _, said = self.go(
        'learning_rate=0.1,0.2 seed=0-1', fake=FakeUnits(fail_at=(0.1,)))
    self.assertLen(outcome.records, 2)
    self.assertEqual(outcome.failures[0], (
        'cola --learning_rate=0.1 --seed=0', 'the loss is nan'))
    self.assertIn('failed: the loss is nan', '\n'.join(said))

  def test_auto_takes_the_fastest_a_run(self):
    with mock.patch.object(
        timing, 'measure_groups',
        lambda runs, kind, sizes: {1: 0.5, 2: 0.25, 4: 0.3}) as _:
      _, fake, said = self.go('seed=0-4', group='auto')
    self.assertEqual([len(made) for made in fake.made], [2, 2, 1])
    self.assertIn('1: 500 ms, 2: 250 ms, 4: 300 ms; groups of 2', said[1])

  def test_a_run_begun_alone_goes_on_alone(self):
    runs = sweeps.expand([config_lib.Config(task='cola')], 'glue',
                         grid.Options(grid='seed=0-2'))
    os.makedirs(f'{runs[1].workdir}/resume')
    self.assertEqual(
        units.plan(runs, runs, 'glue', len),
        [(runs[1],), (runs[0], runs[2])])

  def test_groups_begun_of_other_sweeps_and_finished_ones(self):
    runs = sweeps.expand([config_lib.Config(task='cola')], 'glue',
                         grid.Options(grid='seed=0-3'))
    other = units.begin(runs[:2], 'glue')
    self.assertEqual(
        units.plan(runs[1:], runs[1:], 'glue', len), [tuple(runs[1:])])
    self.assertTrue(os.path.exists(other))
    self.assertEqual(units.plan(runs, runs[2:], 'glue', len), [tuple(runs[2:])])
    self.assertFalse(os.path.exists(other))

  @parameterized.parameters(
      ({'launcher': 'slurm'}, {}, '--launcher: unknown'),
      ({'group': '0'}, {}, '--group=0'), ({'group': 'two'}, {}, '--group=two'),
      ({'launcher': 'ray', 'workers': -1}, {}, '--workers=-1'),
      ({'launcher': 'ray', 'address': 'ray://here'}, {}, '--address=ray://here'),
      ({'workers': 2}, {}, '--workers goes with --launcher=ray'),
      ({}, {'pick': 'learning_rate'}, '--pick'))
  def test_wrong_flags(self, how, many, message):
    with self.assertRaisesRegex(options.UserError, message):
      sweeps.check(sweeps.Options(**how), grid.Options(**many))

  def test_paths_hold_in_another_process(self):
    config = config_lib.Config(train_file='a.tsv', workdir='w')
    with mock.patch.object(config_lib, '_content_hash', lambda path: 'x'):
      placed = sweeps.placed(config, 'glue')
    self.assertTrue(os.path.isabs(placed.train_file))
    self.assertTrue(os.path.isabs(placed.workdir))
    self.assertEqual(placed.dev_file, '')

  def test_several_hosts_are_not_for_sweeps(self):
    with self.assertRaisesRegex(options.UserError, '--coordinator'):
      sweeps.expand([config_lib.Config(coordinator='auto')], 'glue',
                    grid.Options())

  def test_a_record_of_a_group_counts_for_its_settings(self):
    outcome, _, _ = self.go('seed=0-1')
    config = config_lib.Config(task='cola', seed=1)
    self.assertEqual(
        campaign.finished(config, 'glue'), outcome.records[1])
