"""Trials that pick settings of a grid, on runs that train nothing."""

import dataclasses
import shutil
import types

from absl.testing import parameterized

from adapters_jax import errors
from adapters_jax.sweeps import forecast
from adapters_jax.sweeps import picking
from tests.sweeps import grid_test

# Runs write into a folder of their own in every test.
in_a_folder_of_its_own = grid_test.in_a_folder_of_its_own


class PickTest(parameterized.TestCase):

  def test_pick_runs_the_seeds_at_the_best_alone(self):
    outcome, runs = grid_test.go(
        'adapter_size=8,64 learning_rate=1e-4,1e-2,1e-1', '0-1',
        pick='learning_rate', pick_seeds='1000-1001')
    self.assertLen(outcome.trials, 12)
    self.assertEqual({r.seed for r in runs.done[:12]}, {1000, 1001})
    self.assertTrue(all(record.picks for record in outcome.trials))
    later = runs.done[12:]
    self.assertEqual({r.learning_rate for r in later}, {1e-2})
    self.assertEqual([(r.adapter_size, r.seed) for r in later],
                     [(8, 0), (8, 1), (64, 0), (64, 1)])
    self.assertLen(outcome.records, 4)  # No seed that picked is reported.
    self.assertFalse(any(record.picks for record in outcome.records))

  @parameterized.parameters(
      ('learning_rate=1e-3,1e-2', '0,2024,1234', 'seeds 1234, 2024'),
      ('seed=999,1000', '', 'seed 1000'), ('', '7000', 'seed 7000'))
  def test_seeds_that_no_mean_has_are_named(self, text, seeds, named):
    with self.assertLogs('adapters_jax.sweeps.picking', 'WARNING') as logs:
      outcome, _ = grid_test.go(text, seeds)
    self.assertEqual([one.getMessage() for one in logs.records], [
        f'{named}: from 1000 on, runs count as trials and are in no mean; give '
        'seeds below 1000'])
    self.assertTrue(any(record.picks for record in outcome.records))

  def test_seeds_of_means_and_trials_are_not_named(self):
    with self.assertNoLogs('adapters_jax.sweeps.picking', 'WARNING'):
      grid_test.go('seed=999', '')
      grid_test.go('learning_rate=1e-4,1e-2', '0', pick='learning_rate')

  def test_scores_in_memory_pick(self):
    # As on a host that does not see the files of the first one yet.
    made = []

    def run_unit(configs, experiment, kind, pause=0.0):
      made.extend(configs)
      return [grid_test.make_record(
          config, dev=1 - abs(config.learning_rate - 0.01))
              for config in configs]

    outcome, _ = grid_test.go(
        'learning_rate=1e-4,1e-2,1e-1', '0-1', pick='learning_rate',
        runs=types.SimpleNamespace(run_unit=run_unit, run=None))
    self.assertEqual(
        [(run.learning_rate, run.seed) for run in made[3:]],
        [(1e-2, 0), (1e-2, 1)])
    self.assertLen(outcome.records, 2)

  def test_fewer_examples_pick(self):
    _, runs = grid_test.go(
        'adapter_size=8,64 learning_rate=1e-4,1e-2', '0-1',
        pick='learning_rate', pick_examples=7)
    self.assertEqual(
        [(r.train_examples, r.seed) for r in runs.done],
        [(7, 1000)] * 4 + [(0, 0), (0, 1)] * 2)
    self.assertEqual({r.learning_rate for r in runs.done[4:]}, {1e-2})

  def test_several_fields_are_picked_together(self):
    outcome, runs = grid_test.go(
        'learning_rate=1e-2,1e-1 epochs=2,3', '0-2',
        pick='learning_rate,epochs')
    self.assertLen(outcome.trials, 4)
    self.assertEqual([(r.learning_rate, r.epochs) for r in runs.done[4:]],
                     [(1e-2, 2.0)] * 3)

  def test_the_mean_over_seeds_picks_and_failures_do_not(self):
    configs = [
        dataclasses.replace(grid_test.CONFIG, learning_rate=rate, seed=seed)
        for rate in (0.1, 0.2, 0.3) for seed in (1000, 1001)]
    scores = (0.9, 0.2, 0.6, 0.7, 0.95, None)
    records = [
        None if score is None else grid_test.make_record(config, dev=score)
        for config, score in zip(configs, scores)]
    best, = picking.pick_best(configs, records, ['learning_rate'])
    self.assertEqual(best.learning_rate, 0.2)
    self.assertEqual(
        picking.pick_best(configs, [None] * 6, ['learning_rate']), [])
    self.assertLen(picking.pick_best(
        configs, [None] * 6, ['learning_rate'], stand_in=True), 1)

  @parameterized.parameters(
      ('', '0-2', '3', '`pick_seeds=3`: give seeds from 1000'),
      ('', '0,1000', '1000', '1000 is to be reported, but seeds from 1000 on'),
      (' seed=1001', '', '1000', '1001 is to be reported'))
  def test_no_seed_picks_and_reports(self, more, seeds, pick_seeds, message):
    with self.assertRaisesRegex(errors.UserError, message):
      grid_test.go(f'learning_rate=1e-4,1e-2{more}', seeds,
                   pick='learning_rate', pick_seeds=pick_seeds)

  def test_a_trial_that_diverged_is_a_result_and_other_failures_are_none(self):
    crossed = 'learning_rate=1e-4,1e-2,1e-1', '0', 'learning_rate'
    _, runs = grid_test.go(*crossed, runs=grid_test.FakeRuns(fail_at=(1e-2,)))
    self.assertEqual(runs.done[-1].learning_rate, 1e-4)
    shutil.rmtree('runs')
    runs = grid_test.FakeRuns((1e-2,), errors.UserError('the disk is full'))
    with self.assertRaisesRegex(
        errors.UserError, '1 of the trials.*rate=0.01: the disk is full'):
      grid_test.go(*crossed, runs=runs)
    self.assertEqual({run.seed for run in runs.done}, {1000})
    self.assertLen(runs.done, 2)
    _, runs = grid_test.go(*crossed)  # The failed trial, then the picked run.
    self.assertEqual([(run.learning_rate, run.seed) for run in runs.done],
                     [(1e-2, 1000), (1e-2, 0)])

  def test_pick_must_be_in_the_grid(self):
    with self.assertRaisesRegex(errors.UserError, '`pick`: epochs is not in'):
      grid_test.go('learning_rate=1e-4,1e-2', pick='epochs')

  @parameterized.parameters(
      ({'pick_examples': 50}, '`pick_examples` goes with `pick`'),
      ({'pick_examples': -1}, '`pick_examples` goes with `pick`'),
      ({'pick_seeds': '1000-1004'}, '`pick_seeds` goes with `pick`'),
      ({'pick_seeds': '7,abc'}, '`pick_seeds` goes with `pick`'),
      ({'pick': 'seed'}, '`pick`: a seed is no setting to pick'),
      ({'pick': 'epochs', 'pick_examples': -1}, '`pick_examples=-1`: give 0'),
      ({'pick': 'epochs,train_examples', 'pick_examples': 50},
       '`pick_examples=50`: all trials would have these'))
  def test_settings_that_trials_would_ignore_are_refused(
      self, changed, message):
    with self.assertRaisesRegex(errors.UserError, message):
      grid_test.go('train_examples=7,9 epochs=2,3 seed=0-1', **changed)

  def test_numbers_of_examples_are_picked(self):
    outcome, runs = grid_test.go('train_examples=7,9', pick='train_examples')
    self.assertEqual([r.train_examples for r in runs.done], [7, 9, 7])
    self.assertLen(outcome.records, 1)

  def test_later_seeds_of_a_pick_are_in_the_estimate(self):
    said = []
    grid_test.go('learning_rate=1e-4,1e-2', '0-2', pick='learning_rate',
                 said=said, measure=lambda config: forecast.Cost(36.0, 10.0))
    # Two that pick, three that are reported.
    self.assertStartsWith(said[1], 'about 1.00 hours for the other 5')

  def test_finished_later_seeds_of_a_pick_are_not_in_the_estimate(self):
    grid_test.go('learning_rate=1e-4,1e-2', '0-1', pick='learning_rate')
    said = []
    grid_test.go(
        'learning_rate=1e-4,1e-2', '0-2', pick='learning_rate', said=said)
    self.assertEqual(said[0], '5 runs, 4 of them finished')
    self.assertIn('hours for the other 1,', said[1])
