"""Tests of points and cells: which runs a number is made of, and its errors."""

import dataclasses
import math
from unittest import mock

from absl.testing import parameterized
import jax
import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.analysis import points as points_lib
from adapters_jax.model import precision as precision_lib
from adapters_jax.runs import compact
from adapters_jax.runs import config as config_lib
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

  def test_picked_is_the_best_of_the_trials(self):
    found = points_lib.points([
        *(record(dev, seed, learning_rate=rate) for rate, dev in (
            (1e-4, 0.9), (1e-3, 0.5)) for seed in (0, 1)),
        record(0.3, 1000, learning_rate=1e-4),
        record(0.4, 1000, learning_rate=1e-3)])
    point, = points_lib.picked(found)
    self.assertEqual(point.settings['learning_rate'], 1e-3)

  def test_picked_without_trials_has_the_most_seeds_then_the_best_dev(self):
    found = points_lib.points([
        record(0.4, learning_rate=1e-4), record(0.5, learning_rate=3e-4),
        record(0.3, 0), record(0.5, 1),
        record(0.2, tune='full', learning_rate=1e-4),
        record(0.7, tune='full', learning_rate=3e-4)])
    rates = {p.method: p.settings['learning_rate']
             for p in points_lib.picked(found)}
    self.assertEqual(
        rates, {'adapters, size 64': 1e-3, 'full fine-tuning': 3e-4})

  def test_headline_has_the_default_settings_on_the_most_examples(self):
    found = points_lib.points([
        record(0.1), record(0.2, train_examples=9), record(0.3, adapter_size=4),
        record(0.4, tune='top_k', top_k=2), record(0.5, tune='top_k', top_k=3),
        record(0.6, init_scale=1.0), record(0.7, learning_rate=1e-4),
        record(0.8, task='rte', train_examples=9),
        record(0.9, task='rte', train_examples=5)])
    kept = points_lib.headline(found, sizes=[64], top_k=[2])
    self.assertEqual([p.dev for p in kept], [0.1, 0.4, 0.7, 0.8])

  def test_headline_has_methods_by_name_but_no_variants(self):
    found = points_lib.points([
        record(0.1), record(0.2, adapter_config='lora[r=8]'),
        record(0.3, adapter_config='mam[prefix_length=3, r=2]'),
        record(0.4, adapter_config='bottleneck[depth=2]'),
        record(0.5, adapter_config='lora[r=8]', tune_norms=False)])
    kept = points_lib.headline(found, sizes=[64], top_k=[])
    self.assertEqual(
        {p.method: p.dev for p in kept},
        {'adapters, size 64': 0.1, 'lora[r=8]': 0.2,
         'mam[prefix_length=3, r=2]': 0.3})
    self.assertEqual(
        [p.method for p in found if p.dev in (0.4, 0.5)],
        ['adapters, size 64, adapter_config=bottleneck[depth=2]',
         'lora[r=8], tune_norms=False'])

  def test_headline_has_one_precision_and_any_cache_for_each_base(self):
    mpnet = {'checkpoint': 'mpnet-base'}
    products = {'precision': 'bfloat16_products', **mpnet}
    exact = {'precision': 'float32'}
    found = points_lib.points([
        record(0.1, **exact), record(0.2, **exact, **mpnet),
        record(0.3, **products),
        record(0.4, tune='head', cache_frozen=True, **products)])
    kept = points_lib.headline(found, sizes=[64], top_k=[2])
    self.assertEqual([p.dev for p in kept], [0.1, 0.3, 0.4])
    self.assertEqual(
        {name: [p.dev for p in points]
         for name, points in points_lib.by_base(kept).items()},
        {'minilm-l6 (float32)': [0.1], 'mpnet-base': [0.3, 0.4]})

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

  def test_larger_bases_come_first(self):
    large = dataclasses.replace(
        record(0.5, checkpoint='z'), total_params=10**9)
    self.assertEqual(list(points_lib.by_base(points_lib.points(
        [record(0.5), large]))), ['z', 'minilm-l6'])

  @parameterized.parameters(
      {'max_length': 32}, {'dev_fraction': 0.1}, {'train_file': 'a.tsv@1'})
  def test_headline_is_of_one_data_set(self, **changed):
    made = [record(0.1), record(0.2, tune='full')]
    made += [dataclasses.replace(one, config={**one.config, **changed})
             for one in (record(0.3), record(0.4, 1), record(0.5, 2))]
    for one in made:
      one.config['task'] = 'cola'
    kept = points_lib.headline(
        points_lib.points(made), sizes=[64], top_k=[2])
    self.assertEqual([p.dev for p in kept], [pytest.approx(0.4)])

  def test_bases_of_one_last_name_are_apart(self):
    found = points_lib.points([
        record(0.1, checkpoint='roberta-base'),
        record(0.2, checkpoint='FacebookAI/roberta-base')])
    self.assertEqual(set(points_lib.by_base(points_lib.picked(found))),
                     {'roberta-base', 'FacebookAI/roberta-base'})

  @parameterized.parameters(0, 9)
  def test_one_trial_replaces_no_results(self, examples):
    found = points_lib.points([
        record(0.1, train_examples=7), record(0.3, 1, train_examples=7),
        record(0.9, train_examples=examples, max_steps=2)])
    kept = points_lib.headline(found, sizes=[64], top_k=[2])
    self.assertEqual([p.dev for p in kept], [0.2])

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
    other = dataclasses.replace(
        b, config={**b.config, 'train_examples': 9})
    self.assertLen(points_lib.points([a, other]), 2)

  def test_the_split_that_chose_nothing(self):
    point, = points_lib.points([record(0.5)])
    self.assertEqual(point.split, 'dev')
    tested = dataclasses.replace(record(0.5), metrics={
        'dev': {'matthews': 0.5}, 'test': {'matthews': 0.4}})
    point, = points_lib.points([tested])
    self.assertEqual(point.split, 'test')
