"""Tests of points and cells: which runs a number is made of, and its errors."""

import collections
import dataclasses
import math
from unittest import mock

from absl.testing import parameterized
import jax
import numpy as np

from adapters_jax import errors
from adapters_jax.analysis import points as points_lib
from adapters_jax.model import precision as precision_lib
from adapters_jax.runs import compact
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import identity
from adapters_jax.runs import records as records_lib
from adapters_jax.runs import version
from tests.sweeps import grid_test

CONFIG = config_lib.Config(task='cola')
LABELS = np.arange(200) % 5 // 3  # 60 % are of class 0.


def record(dev, seed=0, **changed):
  config = dataclasses.replace(CONFIG, seed=seed, **changed)
  return grid_test.make_record(config, metrics={'dev': {'matthews': dev}})


def predicted(right, seed=0, labels=LABELS, **changed):
  """Returns a record with predictions, the share `right` of them correct."""
  config = dataclasses.replace(CONFIG, seed=seed, **changed)
  order = np.random.default_rng(seed).permutation(len(labels))
  wrong = order[round(right * len(labels)):]
  predictions = labels.copy()
  predictions[wrong] = 1 - predictions[wrong]
  return grid_test.make_record(
      config, metrics={'dev': {'accuracy': right}}, predictions={'dev': {
          'labels': compact.to_text(labels),
          'predictions': compact.to_text(predictions)}})


class PointsTest(parameterized.TestCase):

  def test_a_seed_counts_once(self):
    point, = points_lib.points([record(0.5), record(0.5)])
    self.assertLen(point.records, 1)

  def test_a_run_with_two_results_is_refused(self):
    for first in (0, 1000):  # Trials too.
      a, b = (dataclasses.replace(record(dev, first), date=date)
              for dev, date in ((0.5, '2030'), (0.6, '2031')))
      with self.assertRaisesRegex(errors.UserError, (
          f'cola with seed {first} is there twice, in .*dev matthews')):
        points_lib.points([a, record(0.7, 5), b])

  @parameterized.parameters(
      ({'tune': 'top_k', 'top_k': 2}, 'top 2 layers'),
      ({'tune_norms': False}, 'adapters, size 64, tune_norms=False'),
      ({'precision': 'bfloat16', 'batch_size': 9}, 'adapters, size 64'),
      ({'tune': 'head', 'head_input': 'pooler'},
       'head alone, head_input=pooler'))
  def test_methods_are_named(self, changed, wanted):
    point, = points_lib.points([record(0.5, **changed)])
    self.assertEqual(point.method, wanted)

  def test_seeds_that_pick_count_as_trials_not_in_means(self):
    found = points_lib.points([
        record(0.5, 0), record(0.6, 1),
        *(record(dev, 1000, learning_rate=rate, epochs=epochs)
          for dev, rate, epochs in (
              (0.3, 1e-4, 3.0), (0.9, 1e-3, 3.0), (0.4, 1e-3, 20.0))),
        record(0.9, 1001, learning_rate=1e-3),
        record(0.2, 1000, tune='full')])
    point, = found  # Full fine-tuning has no run that counts.
    self.assertAlmostEqual(point.dev, 0.55)
    self.assertEqual(point.trials, 3)
    self.assertAlmostEqual(point.pick_score, 0.9)
    self.assertLen(points_lib.trial_points(
        [record(0.1, 1000), record(0.1, 1001), record(0.2, 0)]), 1)

  def test_trials_without_all_seeds_rank_last(self):
    def trials(rate, *devs, **changed):
      return [record(dev, seed, learning_rate=rate, **changed)
              for seed, dev in enumerate(devs, 1000)]

    found = [record(0.5), *trials(1e-3, 0.3, 0.5), *trials(1e-4, 0.2, 0.2),
             *trials(1e-2, 0.9),  # The other one diverged.
             *trials(1e-2, 0.9, tune='full')]
    point, = points_lib.points(found)
    self.assertEqual(
        (point.trials, point.pick_score, point.better, point.incomplete),
        (3, 0.4, {}, (({'learning_rate': 1e-2}, (1001,)),)))
    short = dataclasses.replace(
        record(0.6), config={**record(0.6).config, 'learning_rate': 1e-2})
    point = points_lib.points([*found, short])[1]
    self.assertEqual(
        (point.pick_score, point.better['learning_rate']), (-math.inf, 1e-3))
    full, = points_lib.points(  # Without rivals, all seeds are there.
        [record(0.5, tune='full', learning_rate=1e-2), *found[-1:]])
    self.assertEqual((full.pick_score, full.incomplete), (0.9, ()))

  def test_the_work_grows_with_the_records_alone(self):
    def calls(schedules):
      counts = collections.Counter()

      def counted(module, name):
        original = getattr(module, name)

        def call(*args):
          counts[name] += 1
          return original(*args)

        return mock.patch.object(module, name, call)

      found = [record(0.5, seed, learning_rate=rate / 1e4)
               for rate in range(1, schedules + 1) for seed in (0, 1000)]
      with (counted(identity, 'digest'), counted(records_lib, 'mean_sem'),
            counted(points_lib, '_schedule')):
        points = points_lib.points(found)
      self.assertEqual([point.trials for point in points],
                       [schedules] * schedules)
      return counts

    few, many = calls(10), calls(20)
    self.assertLen(few, 3)
    for name, count in few.items():
      self.assertLessEqual(many[name], 2 * count, name)

  def test_trials_that_another_machine_has_repeated_in_part(self):
    products = {'precision': 'bfloat16_products'}
    found = [record(0.5, precision='float32')]
    found += [record(dev, seed, learning_rate=rate, **products)
              for rate, dev in ((1e-3, 0.4), (1e-2, 0.2))
              for seed in (1000, 1001)]
    found.append(record(0.9, 1000, precision='float32'))
    point, = points_lib.points([
        dataclasses.replace(one, computation='products of bfloat16')
        for one in found])
    self.assertEqual((point.pick_score, point.incomplete), (0.4, ()))

  @parameterized.parameters(
      ((400,), 2, 0.4), ((200, 400), 2, 0.4), ((200, 400, 0), 2, 0.8),
      ((), 0, math.nan))
  def test_trials_on_fewer_examples_count(self, amounts, trials, score):
    point, = points_lib.points([
        record(0.5, 0),
        *(record(amount / 1000 if amount else 0.8, 1000, train_examples=amount,
                 learning_rate=rate)
          for amount in amounts for rate in (1e-3, 1e-4))])
    self.assertEqual(point.trials, trials)
    np.testing.assert_equal(point.pick_score, score)  # Equal for nan, too.

  def test_trials_on_as_many_examples_go_before_more(self):
    point, = points_lib.points([
        record(0.5, 0, train_examples=200),
        record(0.6, 1000, train_examples=200),
        record(0.7, 1000, train_examples=400)])
    self.assertEqual((point.trial_examples, point.pick_score), (200, 0.6))

  def test_runs_on_a_cpu_without_bfloat16_are_those_of_float32(self):
    def computed(dev, seed, instructions, asked='bfloat16_products'):
      with mock.patch.object(
          precision_lib, '_cpu_gains_by_bfloat16', lambda: instructions):
        choices = precision_lib.choose(asked, 64, jax.devices('cpu')[0])
      return dataclasses.replace(
          record(dev, seed, precision=asked), computation=str(choices))

    found = points_lib.points([
        computed(0.1, 0, True), computed(0.2, 0, False),
        computed(0.3, 1, True, 'float32')])
    self.assertEqual(
        [(p.base, p.scores('dev')) for p in found],
        [('minilm-l6', [0.1]), ('minilm-l6 (float32)', [0.2, 0.3])])

  def test_trials_of_another_machine_count(self):
    def trial(dev, rate, computation='products of bfloat16'):
      return dataclasses.replace(
          record(dev, 1000, precision='bfloat16_products',
                 learning_rate=rate), computation=computation)

    point, = points_lib.points([
        record(0.5, precision='float32', learning_rate=1e-3),
        trial(0.1, 1e-3), trial(0.3, 3e-3),
        trial(0.4, 1e-3, 'computes in float32')])
    self.assertEqual(
        (point.trials, point.pick_score, point.better), (2, 0.4, {}))

  def test_versions_do_not_mix(self):
    old = record(0.5)
    old.config[version.FIELD] = version.FIRST
    with self.assertRaisesRegex(errors.UserError, 'cannot be compared'):
      points_lib.points([old, record(0.5, 1)])

  def test_data_do_not_mix(self):
    a, b = (dataclasses.replace(
        record(0.5, seed), data={'dev': {'examples': 3, 'sha256': sha}})
            for seed, sha in ((0, 'aa'), (1, 'bb')))
    with self.assertRaisesRegex(
        errors.UserError, 'cola has other dev examples .*aa and bb'):
      points_lib.points([a, b])
    # Dev examples do not depend on the training's.
    for name, value in (('train_examples', 9), ('max_length', 8),
                        ('checkpoint', 'mpnet-base')):
      other = dataclasses.replace(b, config={**b.config, name: value})
      with self.assertRaisesRegex(errors.UserError, 'other dev examples'):
        points_lib.points([a, other])
      trained = [dataclasses.replace(one, data={'train': one.data['dev']})
                 for one in (a, other)]
      self.assertLen(points_lib.points(trained), 2)
    other = dataclasses.replace(b, config={**b.config, 'dev_fraction': 0.2})
    self.assertLen(points_lib.points([a, other]), 2)

  def test_the_split_that_chose_nothing(self):
    point, = points_lib.points([record(0.5)])
    self.assertEqual(point.split, 'dev')
    tested = dataclasses.replace(record(0.5), metrics={
        'dev': {'matthews': 0.5}, 'test': {'matthews': 0.4}})
    point, = points_lib.points([tested])
    self.assertEqual(point.split, 'test')
