"""Tests of adapters_jax.grid with a run that trains nothing."""

import contextlib
import dataclasses
import io
import os
from unittest import mock

from absl.testing import parameterized
import pytest

from adapters_jax import errors
from adapters_jax.analysis import predictions
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import identity
from adapters_jax.runs import records as records_lib
from adapters_jax.runs import workdirs
from adapters_jax.runs import run as run_lib
from adapters_jax.sweeps import engine
from adapters_jax.sweeps import forecast
from adapters_jax.sweeps import grid
from adapters_jax.sweeps import store
from adapters_jax.sweeps import vmapped

CONFIG = config_lib.Config(task='cola', epochs=2.0)


def make_record(config, dev=0.5, seconds=40.0, steps=20, **changed):
  return records_lib.Record(**{**dict(
      experiment='glue', config=identity.portable(config),
      metrics={'dev': {'matthews': dev, 'accuracy': 0.9}}, trained_params=7,
      total_params=100, roles={'head': 7}, seconds=seconds, cpu_seconds=1.0,
      steps=steps, best_step=1, padded_tokens=9, real_tokens=8, history=[],
      notes=[], device='', versions={}, commit=''), **changed})


class FakeRuns:
  """Stands in for vmapped.run_unit and run.run: scores by the learning rate.

  Leaves records, trains nothing.
  """

  def __init__(self, fail_at=(), failure=errors.diverged('the loss is nan')):
    self.done, self.fail_at, self.failure = [], fail_at, failure

  def run(self, config, experiment, kind):
    if config.learning_rate in self.fail_at:
      raise self.failure
    self.done.append(config)
    record = make_record(config, dev=1 - abs(config.learning_rate - 0.01))
    folder = workdirs.path_of(config, experiment)
    records_lib.write(os.path.join(folder, records_lib.RECORD), record)
    return record

  def run_unit(self, configs, experiment, kind, pause=0.0):
    config, = configs
    try:
      return [self.run(config, experiment, kind)]
    except errors.UserError as error:
      return [str(error)]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)


def go(grid_text='', seeds='', pick='', records='', runs=None, said=None,
       pick_seeds='1000', pick_examples=0, config=CONFIG,
       measure=lambda config: forecast.Cost(1.0, 10.0)):
  runs = runs or FakeRuns()
  many = grid.Options(grid=grid_text, seeds=seeds, pick=pick, records=records,
                      pick_seeds=pick_seeds, pick_examples=pick_examples)
  text = io.StringIO()
  with mock.patch.object(vmapped, 'run_unit', runs.run_unit), mock.patch.object(
      run_lib, 'run', runs.run), contextlib.redirect_stdout(text):
    outcome = engine.go([config], 'glue', many, measure=measure)
  if said is not None:
    said += text.getvalue().splitlines()
  return outcome, runs


class ExpandTest(parameterized.TestCase):

  @parameterized.parameters(
      ('0-4', (0, 1, 2, 3, 4)), ('3', (3,)), ('0,7-8,0', (0, 7, 8)))
  def test_seeds(self, text, wanted):
    self.assertEqual(grid.parse_seeds(text), wanted)

  @parameterized.parameters('4-0', 'a', '1-', '-1', '1,,2')
  def test_wrong_seeds(self, text):
    with self.assertRaisesRegex(errors.UserError, '`seeds`'):
      grid.parse_seeds(text)

  def test_product_in_order(self):
    points = grid.parse_grid('adapter_size=8,64 learning_rate=1e-4,3e-4')
    self.assertEqual(
        [(p['adapter_size'], p['learning_rate']) for p in points],
        [(8, 1e-4), (8, 3e-4), (64, 1e-4), (64, 3e-4)])

  def test_bars_booleans_and_several_grids(self):
    points = grid.parse_grid(
        '--adapter_layers=0-1,3|all; tune=full tune_norms=false,true')
    self.assertEqual(points, [
        {'adapter_layers': '0-1,3'}, {'adapter_layers': 'all'},
        {'tune': 'full', 'tune_norms': False},
        {'tune': 'full', 'tune_norms': True}])

  @parameterized.parameters(
      ('adapter_config', 'par_bn|prefix_tuning', ['par_bn|prefix_tuning']),
      ('adapter_config', 'par_bn|prefix_tuning,lora[r=8,alpha=16]',
       ['par_bn|prefix_tuning', 'lora[r=8,alpha=16]']),
      ('adapter_config', 'lora[attn_matrices=["q","k"]],seq_bn',
       ['lora[attn_matrices=["q","k"]]', 'seq_bn']),
      ('class_weights', 'spam:5,ham:1', ['spam:5,ham:1']),
      ('class_weights', 'balanced|spam:5,ham:1', ['balanced', 'spam:5,ham:1']),
      ('setup', 'stack(a,b)|fuse(a,b)', ['stack(a,b)', 'fuse(a,b)']),
      ('setup', 'stack(a,b)', ['stack(a,b)']),
      ('text_columns', 'a|b,c', ['a', 'b,c']),
      ('learning_rate', '1e-3,1e-2', [1e-3, 1e-2]))
  def test_values_with_separators(self, name, text, wanted):
    self.assertEqual(grid.parse_grid(f'{name}={text}'),
                     [{name: value} for value in wanted])

  @parameterized.parameters(
      ('seed=0-2', [0, 1, 2]), ('seed=0,2-3', [0, 2, 3]), ('seed=4|1', [1, 4]))
  def test_ranges_of_seeds(self, text, wanted):
    self.assertEqual([p['seed'] for p in grid.parse_grid(text)], wanted)

  @parameterized.parameters(
      ('seed=2-0', 'seed.*of the form'),
      ('adapter_sise=8', 'did you mean adapter_size'),
      ('epochs', 'of the form'),
      ('adapter_size=eight', 'not of type int'),
      ('tune_norms=maybe', 'not of type bool'),
      ('workdir=a', 'unknown'))
  def test_wrong_grids(self, text, message):
    with self.assertRaisesRegex(errors.UserError, f'`grid`.*{message}'):
      grid.parse_grid(text)

  def test_the_papers_grids(self):
    self.assertLen(grid.expand(
        [CONFIG], grid.Options(grid='paper', seeds='0-4')), 3 * 2 * 3 * 5)
    self.assertLen(grid.parse_grid('paper_additional'), 12 * (6 + 1 + 8))
    self.assertLen(grid.parse_grid('paper_squad'), 4 * 3 * 2 + 3 * 3)

  def test_a_semicolon_may_end_a_grid(self):
    self.assertLen(grid.parse_grid('adapter_size=8,16; '), 2)
    self.assertEqual(grid.parse_grid(' ; '), [{}])

  @parameterized.parameters(
      ('full', 'adapter_size=8,64 epochs=3,20 top_k=1,2', 2),
      ('head', 'adapter_layers=0-1|all init_scale=1,2', 1),
      ('top_k', 'top_k=1,2 activation=relu,tanh', 2),
      ('adapters', 'adapter_size=8,64 top_k=1,2', 2),
      ('adapters', 'adapter_size=8 tune_norms=true,false', 2),
      *((tune, 'tune_norms=false,true norm_layers=same,all', 1)
        for tune in ('full', 'top_k', 'norms', 'bias', 'head', 'none')),
      ('norms', 'norm_layers=same adapter_layers=0-1|2-3', 1))
  def test_settings_that_a_method_does_not_read_make_no_runs(
      self, tune, text, count):
    config = dataclasses.replace(CONFIG, tune=tune)
    found = grid.expand([config], grid.Options(grid=text))
    self.assertLen(found, count)
    self.assertEqual(found[0].adapter_size, 8 if tune == 'adapters' else 64)

  def test_norms_that_fusion_reads_stay(self):
    config = dataclasses.replace(CONFIG, tune='fusion', adapters='DIR')
    for text in ('norm_layers=same adapter_layers=0-1|2-3',
                 'tune_norms=false,true'):
      self.assertLen(grid.expand([config], grid.Options(grid=text)), 2)

  def test_unread_norms_rename_no_run(self):
    plain = dataclasses.replace(CONFIG, tune='head')
    for given in ({}, {'tune_norms': False},
                  {'norm_layers': 'same', 'adapter_layers': '0-1'}):
      config = dataclasses.replace(plain, **given)
      self.assertEqual(grid.expand([config], grid.Options()), [config])
      found, = grid.expand(
          [config], grid.Options(grid='tune_norms=false,true'))
      self.assertEqual(grid.run_name(found), grid.run_name(config))

  def test_a_run_is_there_once(self):
    self.assertLen(grid.expand(
        [CONFIG], grid.Options(grid='seed=0,0; seed=0')), 1)

  def test_a_workdir_holds_many_runs(self):
    config = dataclasses.replace(CONFIG, workdir='here')
    runs = grid.expand([config], grid.Options(seeds='0-1'))
    self.assertLen({run.workdir for run in runs}, 2)
    self.assertTrue(all(run.workdir.startswith('here/cola/') for run in runs))


class GoTest(parameterized.TestCase):

  def test_one_run_is_made_as_it_stands(self):
    outcome, runs = go()
    self.assertEqual(runs.done, [CONFIG])
    self.assertLen(outcome.records, 1)

  def test_a_record_stands_for_the_only_run(self):
    go(records='kept')
    os.rename('runs', 'gone')
    outcome, runs = go(records='kept')
    self.assertEmpty(runs.done)
    self.assertLen(outcome.records, 1)
    _, runs = go()  # Without the folder of records.
    self.assertEqual(runs.done, [CONFIG])

  def test_finished_runs_are_skipped_and_others_resumed(self):
    go('learning_rate=1e-4,1e-2')
    said = []
    outcome, runs = go('learning_rate=1e-4,1e-2,1e-1', said=said)
    self.assertEqual([r.learning_rate for r in runs.done], [1e-1])
    self.assertTrue(runs.done[0].resume)
    self.assertEqual([r.config['learning_rate'] for r in outcome.records],
                     [1e-4, 1e-2, 1e-1])
    self.assertEqual(said[0], '3 runs, 2 of them finished')

  def test_records_stand_for_runs_made_elsewhere(self):
    go('learning_rate=1e-4,1e-2', records='kept')
    os.rename('runs', 'gone')
    outcome, runs = go('learning_rate=1e-4,1e-2', records='kept')
    self.assertEmpty(runs.done)
    self.assertLen(outcome.records, 2)
    self.assertLen(list(records_lib.read_all('kept')), 2)

  def test_a_record_from_before_a_new_flag_still_counts(self):
    go('learning_rate=1e-4,1e-2', records='kept')
    for record in list(records_lib.read_all('kept')):
      config = dict(record.config)
      del config['optimizer']
      path = store.Store('glue', 'kept').path_of(dataclasses.replace(
          CONFIG, learning_rate=record.config['learning_rate']))
      records_lib.write(path, dataclasses.replace(record, config=config))
    os.rename('runs', 'gone')
    _, runs = go('learning_rate=1e-4,1e-2', records='kept')
    self.assertEmpty(runs.done)

  def test_a_failure_does_not_end_the_others(self):
    outcome, runs = go('learning_rate=1e-4,1e-2,1e-1',
                       runs=FakeRuns(fail_at=(1e-2,)))
    self.assertLen(runs.done, 2)
    self.assertEqual(outcome.failures, (
        ('cola --learning_rate=0.01', 'diverged: the loss is nan'),))

  def test_hours_are_said_before_the_first_run(self):
    asked, said = [], []
    def measure(config):
      asked.append(config.tune)
      return forecast.Cost(36.0, 10.0)
    go('tune=full,head warmup=0.1,0.2', '0-2', said=said, measure=measure)
    self.assertEqual(asked, ['full', 'head'])  # Once for each kind of run.
    # 12 runs of 2 epochs of 10 steps of 36 seconds.
    self.assertEqual(said[1], 'about 2.40 hours for the other 12, without '
                     'compiling')


@pytest.mark.parametrize('text, message', [
    ('0-99999999999', 'has seeds above 4,294,967,295'),
    ('9' * 5000, "is not of the form '0-4'"),
    ('0-4000000000', 'names more than 100,000 seeds'),
    ('0-60000,70000-120000', 'names more than 100,000 seeds'),
    ('4-0', "is not of the form '0-4'")])
def test_seeds_are_bounded_before_they_are_made(text, message):
  with pytest.raises(errors.UserError, match=f'`seeds`: .*{message}'):
    grid.parse_seeds(text)


def test_runs_are_bounded_before_they_are_made():
  axes = ' '.join(f'{name}={",".join(map(str, range(1, 60)))}' for name in (
      'batch_size', 'max_steps', 'eval_every'))
  with pytest.raises(errors.UserError, match='makes more than 100,000 runs'):
    grid.parse_grid(axes)
  with pytest.raises(errors.UserError, match='make 150,000 runs'):
    grid.expand([CONFIG], grid.Options(seeds='0-49999', grid='top_k=1,2,3'))


def test_a_setting_twice_in_a_grid_is_refused():
  with pytest.raises(errors.UserError, match='has a setting twice'):
    grid.parse_grid('top_k=1,2 seed=0 top_k=3')


def test_predictions_are_written_with_the_settings_of_each_best_run():
  outcome, _ = go('task=cola,rte text_columns=a learning_rate=0.02;'
                  'task=cola,rte text_columns=b learning_rate=0.01')
  for folder in outcome.folders:
    os.makedirs(os.path.join(folder, 'adapter'))
  with mock.patch.object(
      predictions, '_write_run', side_effect=lambda config, kind, folder, form:
      [(config.task, config.text_columns, folder == config.workdir)]):
    found = predictions.write_best(outcome, None, 'tsv')
  assert found == [('cola', 'b', True), ('rte', 'b', True)]
  failing, _ = go('learning_rate=0.5,0.01', runs=FakeRuns(fail_at=(0.5,)))
  assert [config.learning_rate for _, _, config in failing.runs()] == [0.01]
  assert go()[0].configs == (CONFIG,)
