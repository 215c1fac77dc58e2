"""Tests of units and sweeps, with units that train nothing."""

import contextlib
import dataclasses
import io
import os
from unittest import mock

from absl.testing import parameterized
import jax
import pytest

from adapters_jax import errors
from adapters_jax.downloads import file_hash
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import records as records_lib
from adapters_jax.sweeps import differences
from adapters_jax.sweeps import engine
from adapters_jax.sweeps import execution
from adapters_jax.sweeps import grid
from adapters_jax.sweeps import forecast
from adapters_jax.sweeps import store
from adapters_jax.sweeps import vmapped
from tests.sweeps import grid_test


class FakeUnits:
  """Stands in for vmapped.run_unit: leaves records, trains nothing."""

  def __init__(self, fail_at=()):
    self.made, self.fail_at = [], fail_at

  def __call__(self, configs, experiment, kind, pause=0.0):
    self.made.append([*map(differences.line_of(configs), configs)])
    found = []
    for config in configs:
      if config.learning_rate in self.fail_at:
        found.append('the loss is nan')
        continue
      found.append(grid_test.make_record(config, dev=config.learning_rate))
      records_lib.write(f'{config.workdir}/record.json', found[-1])
    return found


def begun(runs, step=1):
  """Begins a group, with the traces of a save; returns its folder."""
  folder = vmapped.begin_group(runs)
  os.makedirs(os.path.join(folder, 'resume', str(step)))
  return folder


class SweepTest(parameterized.TestCase):

  @pytest.fixture(autouse=True)
  def in_a_folder_of_its_own(self, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

  def runs(self, text):
    runs = grid.expand([config_lib.Config(task='cola')],
                       grid.Options(grid=text))
    return [engine.with_absolute_paths(run, 'glue') for run in runs]

  def go(self, text, group='2', records='', fake=None):
    many = grid.Options(grid=text, records=records)
    text, fake = io.StringIO(), fake or FakeUnits()
    with mock.patch.object(vmapped, 'run_unit', fake):
      with contextlib.redirect_stdout(text):
        outcome = engine.go([config_lib.Config(task='cola')], 'glue', many,
                            execution.HowToRun(group=group))
    return outcome, fake, text.getvalue().splitlines()

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
    self.assertLen(list(records_lib.read_all('kept')), 3)
    self.assertEqual(self.go('learning_rate=0.1')[1].made, [])

  def test_records_of_processors_that_computed_otherwise_are_told_of(self):
    kinds = iter(('float32', 'float32, products of bfloat16', 'float32'))

    def unit(configs, *_):
      return [dataclasses.replace(
          grid_test.make_record(config), computation=next(kinds))
              for config in configs]

    with self.assertLogs('adapters_jax.sweeps.outcome', 'WARNING') as said:
      self.go('seed=0-2', fake=unit)
    self.assertStartsWith(
        said.records[0].getMessage(), 'the processors computed 1 in '
        'bfloat16_products and 2 in float32: tables keep these apart')
    with self.assertNoLogs('adapters_jax.sweeps.outcome', 'WARNING'):
      self.go('precision=float32,bfloat16_products adapter_size=8')

  def test_records_of_other_devices_are_told_of(self):
    devices = iter(('1 x cpu (cpu)', '1 x gpu (NVIDIA H200)'))

    def unit(configs, *_):
      return [dataclasses.replace(
          grid_test.make_record(config), device=next(devices))
              for config in configs]

    with self.assertLogs('adapters_jax.sweeps.outcome', 'WARNING') as said:
      self.go('precision=float32 seed=0-1', fake=unit)
    self.assertEqual(
        said.records[0].getMessage(), 'the processors computed 1 in float32 '
        'and 1 in float32, gpu: tables keep these apart; runs on one kind of '
        'device compute alike')

  def test_a_failed_run_is_told_of_and_does_not_end_the_others(self):
    outcome, _, said = self.go(
        'learning_rate=0.1,0.2 seed=0-1', fake=FakeUnits(fail_at=(0.1,)))
    self.assertLen(outcome.records, 2)
    self.assertEqual(outcome.failures[0], (
        'cola --learning_rate=0.1 --seed=0', 'the loss is nan'))
    self.assertIn('failed: the loss is nan', '\n'.join(said))

  def test_auto_takes_the_fastest_a_run(self):
    with mock.patch.object(
        forecast, 'measure_groups',
        lambda runs, kind, sizes: {1: 0.5, 2: 0.25, 4: 0.3}) as _:
      _, fake, said = self.go('seed=0-4', group='auto')
    self.assertEqual([len(made) for made in fake.made], [2, 2, 1])
    self.assertIn('1: 500 ms, 2: 250 ms, 4: 300 ms; groups of 2', said[1])

  @parameterized.parameters((0, 9, [4, 2, 1]), (2, 2, [4, 2]), (9, 1, [4]))
  def test_sizes_that_fit_the_memory(self, trees, runs, wanted):
    full = jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: memory')
    made = []

    @contextlib.contextmanager
    def assembled(configs, kind):
      del kind
      made.append(len(configs))
      if len(configs) > trees:
        raise full
      yield mock.MagicMock(first=lambda size: size)

    def make_group_step(size, *rest):
      del rest
      if size > runs:
        raise full
      return None, None

    with mock.patch.multiple(
        forecast, assembled=assembled, make_group_step=make_group_step,
        _median_step=mock.Mock(), _times=lambda step, batch: [1.0]):
      found = forecast.measure_groups(self.runs('seed=0-3'), None, (1, 2, 4))
      self.assertEqual(made, wanted)
      self.assertEqual(list(found), [
          size for size in (1, 2, 4) if size <= min(trees, runs)])

  @parameterized.parameters(
      errors.UserError('no column wrong'), OSError(5, 'Input/output error'),
      jax.errors.JaxRuntimeError('INTERNAL: no device'))
  def test_a_setting_that_cannot_be_measured_fails_alone(self, error):

    def measure_groups(runs, kind, sizes):
      if runs[0].epochs == 1:
        raise error
      return {1: 0.5, 2: 0.25}

    with mock.patch.object(forecast, 'measure_groups', measure_groups):
      outcome, fake, said = self.go(
          'epochs=1,2 seed=0,1', group='auto', fake=FakeUnits())
    self.assertEqual([len(made) for made in fake.made], [1, 1, 2])
    self.assertLen(outcome.records, 4)
    self.assertIn(f'could not be measured ({error}); groups of 1',
                  '\n'.join(said))

  def test_a_failure_on_a_worker_is_no_end_of_the_sweep(self):
    # As Ray reports it.
    size_of = forecast.make_size_of(
        lambda *_: iter([(0, 'RayError: the worker died')]), 4, None)
    self.assertEqual(size_of(self.runs('seed=0,1')), 1)

  def test_runs_that_cannot_be_set_up_have_no_hours(self):
    runs = self.runs('max_length=8,16 epochs=1,2')

    def measure(config):
      if config.max_length == 8:
        raise errors.UserError('no column wrong')
      return forecast.Cost(1200.0, 1.0)

    self.assertAlmostEqual(forecast.hours(runs, [], measure), 1)
    with self.assertRaisesRegex(errors.UserError, 'no column wrong'):
      forecast.hours(runs[:2], [], measure)

  def test_a_run_that_fits_no_memory_is_tried_alone(self):
    with mock.patch.object(
        forecast, 'measure_groups', lambda runs, kind, sizes: {}):
      _, fake, _ = self.go('seed=0-1', group='auto')
    self.assertEqual([len(made) for made in fake.made], [1, 1])

  def test_a_run_begun_alone_goes_on_alone(self):
    runs = self.runs('seed=0-2')
    os.makedirs(f'{runs[1].workdir}/resume/8')
    os.makedirs(f'{runs[2].workdir}/resume')  # Opened, and never saved in.
    self.assertEqual(
        vmapped.make_units(runs, runs, 'glue', len),
        [(runs[1],), (runs[0], runs[2])])

  def test_groups_begun_of_other_sweeps_and_finished_ones(self):
    runs = self.runs('seed=0-3')
    other = begun(runs[:2])
    self.assertEqual(
        vmapped.make_units(runs[1:], runs[1:], 'glue', len), [tuple(runs[1:])])
    self.assertTrue(os.path.exists(other))
    # Runs that wait at a rung are neither in `todo` nor finished.
    for done in (0, 1, 2):
      for run in runs[:done]:
        records_lib.write(f'{run.workdir}/record.json',
                          grid_test.make_record(run))
      self.assertEqual(
          vmapped.make_units(runs, runs[2:], 'glue', len), [tuple(runs[2:])])
      self.assertEqual(os.path.exists(other), done < 2)

  def test_a_damaged_group_is_left_out_and_found_by_its_runs(self):
    runs = self.runs('seed=0-1')
    folder = vmapped.begin_group(runs)
    path = os.path.join(folder, 'group.json')
    for content in (b'', b'{"members": 3}', b'[]', b'\xff', b'{"membrs": []}'):
      with open(path, 'wb') as file:
        file.write(content)
      with self.assertLogs('adapters_jax', 'WARNING') as said:
        units = vmapped.make_units(runs, runs, 'glue', len)
      self.assertIn(folder, said.output[0])
      self.assertEqual(units, [tuple(runs)])
      self.assertEqual(vmapped.begin_group(units[0]), folder)

  def test_a_damaged_record_is_named(self):
    self.go('learning_rate=0.1,0.2')
    path = self.runs('learning_rate=0.1,0.2')[1].workdir + '/record.json'
    os.truncate(path, 50)
    with self.assertRaisesRegex(errors.UserError, f'{path}.*delete it'):
      self.go('learning_rate=0.1,0.2')

  @parameterized.parameters(
      (OSError(28, 'No space left on device', '/x'), 'No space left.*/x'),
      (jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: memory\nmore'),
       '^JaxRuntimeError: RESOURCE_EXHAUSTED: memory$'),
      (jax.errors.JaxRuntimeError(), '^JaxRuntimeError: no message$'))
  def test_a_full_disk_or_memory_fails_a_unit_alone(self, error, message):
    runs = self.runs('seed=0-1')
    with mock.patch('adapters_jax.runs.run.run_group', side_effect=error):
      found = vmapped.run_unit(runs[:1], 'glue', None)
    self.assertRegex(found[0], message)

  @parameterized.parameters(
      ({'launcher': 'slurm'}, '`launcher`: unknown'),
      ({'group': '0'}, '`group=0'), ({'group': 'two'}, '`group=two'),
      ({'launcher': 'ray', 'workers': -1}, '`workers=-1'),
      ({'launcher': 'ray', 'address': 'ray://here'},
       '`address=ray://here'),
      ({'workers': 2}, '`workers` goes with `launcher=ray`'),
      ({'retries': 9}, '`retries` goes with `launcher=ray`'),
      ({'halving_factor': 5}, '`halving_factor` goes with `stop=halving`'),
      ({'halving_first': 2.0}, '`halving_first` goes with `stop=halving`'))
  def test_wrong_options(self, how, message):
    with self.assertRaisesRegex(errors.UserError, message):
      execution.check(execution.HowToRun(**how))

  def test_paths_hold_in_another_process(self):
    config = config_lib.Config(
        train_file='a.tsv', dev_file='b.tsv', workdir='w')
    with mock.patch.object(file_hash, 'kept_sha256', lambda path: 'x'):
      placed = engine.with_absolute_paths(config, 'glue')
    self.assertTrue(os.path.isabs(placed.train_file))
    self.assertTrue(os.path.isabs(placed.workdir))
    self.assertEqual(placed.test_file, '')

  def test_an_embedded_base_wins_over_a_folder_of_its_name(self):
    os.makedirs('minilm-l6')
    config = config_lib.Config(task='cola', workdir='minilm-l6')
    placed = engine.with_absolute_paths(config, 'glue')
    self.assertEqual(placed.checkpoint, 'minilm-l6')
    self.assertEqual(grid.run_name(placed), grid.run_name(config))

  def test_a_record_of_a_group_counts_for_its_settings(self):
    outcome, _, _ = self.go('seed=0-1')
    config = config_lib.Config(task='cola', seed=1)
    self.assertEqual(store.Store('glue').find(config), outcome.records[1])
