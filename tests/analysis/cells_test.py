"""Tests of cells: scores with intervals, differences, and power."""

import dataclasses
import math

from absl.testing import parameterized
import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.analysis import cells
from adapters_jax.runs import compact
from tests.analysis import points_test
from tests.sweeps import grid_test

CONFIG = points_test.CONFIG
LABELS = points_test.LABELS
predicted = points_test.predicted
record = points_test.record


class CellsTest(parameterized.TestCase):

  def test_estimates(self):
    found = cells.estimate(
        [predicted(0.7, 0), predicted(0.8, 1)], 'dev', 'accuracy')
    self.assertAlmostEqual(found.mean, 0.75)
    self.assertBetween(found.bootstrap[0], 0.62, 0.72)
    self.assertBetween(found.bootstrap[1], 0.78, 0.87)
    self.assertLess(found.low, 0.15)  # 12.7 * 0.05 below the mean.

  def test_records_without_predictions_have_no_bootstrap(self):
    found = cells.estimate([record(0.5), record(0.7, 1)], 'dev', 'matthews')
    self.assertTrue(math.isnan(found.bootstrap[0]))
    self.assertAlmostEqual(found.mean, 0.6)

  def test_classes_alone_give_no_bootstrap_of_areas(self):
    made = grid_test.make_record(
        CONFIG, metrics={'dev': {'roc_auc': 0.7}}, predictions={'dev': {
            name: compact.to_text(LABELS) for name in (
                'labels', 'predictions')}})
    found = cells.estimate([made], 'dev', 'roc_auc')
    self.assertTrue(math.isnan(found.bootstrap[0]))
    self.assertIsNone(cells.above_majority([made], 'dev', 'roc_auc'))

  def test_scores_of_examples_are_averaged(self):
    made = grid_test.make_record(
        CONFIG, metrics={'dev': {'f1': 0.5}}, predictions={
            'dev': {'f1': compact.to_text(np.array([0.25, 0.75] * 50))}})
    low, high = cells.estimate([made], 'dev', 'f1').bootstrap
    # 1.96 * 0.25 / sqrt(100).
    np.testing.assert_allclose((low, high), (0.451, 0.549), atol=0.01)

  def test_other_labels_are_not_compared(self):
    a, b = predicted(0.7), predicted(0.7, labels=1 - LABELS)
    with self.assertRaisesRegex(errors.UserError, 'dev examples of runs'):
      cells.difference([a], [b], 'dev', 'accuracy')
    with self.assertRaisesRegex(errors.UserError, 'dev examples of runs'):
      cells.estimate([a, dataclasses.replace(
          b, config={**b.config, 'seed': 1})], 'dev', 'accuracy')

  def test_a_seed_is_in_a_mean_once(self):
    a, b = predicted(0.7), predicted(0.8, learning_rate=1e-4)
    with self.assertRaisesRegex(errors.UserError, (
        r'seed 0 is there twice.*learning_rate \(0.001 and 0.0001\)')):
      cells.estimate([a, b], 'dev', 'accuracy')
    with self.assertRaisesRegex(errors.UserError, 'differ in nothing; keep'):
      cells.difference([predicted(0.7, 1)], [a, a], 'dev', 'accuracy')
    # No seed changes the base as it is.
    base = [predicted(0.7, seed, tune='none') for seed in (0, 0, 1)]
    self.assertEqual(cells.estimate(base, 'dev', 'accuracy').seeds, 1)

  @parameterized.parameters('f1', 'entity_f1')
  def test_other_examples_of_other_kinds_are_not_compared(self, metric):
    ones = compact.to_text(np.ones(9))
    a, b = (grid_test.make_record(
        CONFIG, metrics={'dev': {metric: 0.5}}, predictions={'dev': {
            'f1': ones, 'correct': ones, 'predicted': ones, 'true': ones}},
        data={'dev': {'examples': 9, 'sha256': sha}}) for sha in 'ab')
    with self.assertRaisesRegex(errors.UserError, 'dev examples of runs'):
      cells.difference([a], [b], 'dev', metric)

  def test_above_the_majority(self):
    runs = [predicted(0.9, seed) for seed in range(3)]
    found = cells.above_majority(runs, 'dev', 'accuracy')
    self.assertAlmostEqual(found.mean, 0.3)
    self.assertGreater(found.low, 0.2)
    self.assertIsNone(cells.above_majority([record(0.5)], 'dev', 'matthews'))
    # The same where most examples are of class 1.
    found = cells.above_majority([
        predicted(0.9, seed, 1 - LABELS) for seed in range(3)],
                                 'dev', 'accuracy')
    self.assertAlmostEqual(found.mean, 0.3)

  def test_a_constant_has_no_correlation_with_scores(self):
    scores = np.linspace(0, 5, 50)
    runs = [grid_test.make_record(
        dataclasses.replace(CONFIG, seed=seed),
        metrics={'dev': {'pearson': 0.8 + seed / 10}}, predictions={'dev': {
            'labels': compact.to_text(scores),
            'predictions': compact.to_text(scores + np.sin(seed + scores))}})
            for seed in range(2)]
    self.assertEqual(cells.above_majority(runs, 'dev', 'pearson'),
                     cells.estimate(runs, 'dev', 'pearson'))

  @parameterized.parameters(
      (0.9, 0.7, True),  # Clearly above both.
      (0.9, 0.89, False),  # Hardly above the head.
      (0.62, 0.4, False))  # Hardly above the majority, 60 %.
  def test_a_task_tells_if_full_fine_tuning_beats_both_floors(
      self, full, head, wanted):
    found = cells.power(
        [predicted(full, seed) for seed in range(3)],
        {'head': [predicted(head, seed) for seed in range(3)]},
        'dev', 'accuracy')
    self.assertEqual(found.tells, wanted)
    self.assertStartsWith(
        str(found), 'yes: full' if wanted else 'no: full fine-tuning is')
    self.assertEqual(
        str(found).endswith('not clearly more than 1 point'), not wanted)

  def test_an_effect_of_the_size_of_the_margin_tells_nothing(self):
    # Of 10,000 examples, so that the interval is narrow.
    labels = np.arange(10_000) % 5 // 3
    full, near, far = (
        [predicted(right, seed, labels) for seed in (0, 1)]
        for right in (0.90, 0.89, 0.87))
    for floor, tells in ((near, False), (far, True)):
      found = cells.power(full, {'head': floor}, 'dev', 'accuracy')
      self.assertGreater(found.floors['the head alone'].low, 0)
      self.assertEqual(found.tells, tells)

  @pytest.mark.filterwarnings('error')
  def test_one_seed_tells_nothing(self):
    found = cells.power(
        [predicted(0.9)], {'head': [predicted(0.7)]}, 'dev', 'accuracy')
    self.assertFalse(found.tells)
    self.assertIn('one seed gives no interval', str(found))
    self.assertFalse(cells.power(
        [], {'head': [record(0.5)]}, 'dev', 'accuracy').tells)

  def test_the_base_as_it_is_is_the_floor_without_heads(self):
    full = [predicted(right, seed) for seed, right in enumerate(
        (0.90, 0.91, 0.92))]
    base = [predicted(0.7, tune='none')]
    found = cells.power(full, {'none': base}, 'dev', 'accuracy')
    self.assertTrue(found.tells)
    # No seed changes the base's score: t over the three seeds of the other.
    floor = found.floors['the base as it is']
    self.assertAlmostEqual(floor.mean, 0.21)
    self.assertEqual(floor.seeds, 3)
    np.testing.assert_allclose(floor.t, (0.185159, 0.234841), atol=1e-6)
    below = cells.difference(base, full, 'dev', 'accuracy')
    np.testing.assert_allclose(below.t, (-0.234841, -0.185159), atol=1e-6)
    both = cells.power(full, {
        'none': base, 'head': [predicted(0.9, seed) for seed in range(3)]},
                       'dev', 'accuracy')
    self.assertFalse(both.tells)
    self.assertIn('above the head alone and', str(both))
