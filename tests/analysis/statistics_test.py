"""Tests of intervals against scipy, closed forms and draws made one by one."""

import math

from absl.testing import parameterized
import numpy as np
from scipy import stats

from adapters_jax.analysis import resampling
from adapters_jax.analysis import statistics
from adapters_jax.data import label_metrics
from adapters_jax.data import metrics
from adapters_jax.data import tags


def made_up(seeds=3, examples=400, classes=3, right=0.7, seed=0):
  """Returns labels and predictions that are right by chance."""
  rng = np.random.default_rng(seed)
  labels = rng.integers(0, classes, examples)
  noise = rng.integers(0, classes, (seeds, examples))
  return labels, np.where(
      rng.random((seeds, examples)) < right, labels, noise)


class IntervalsTest(parameterized.TestCase):

  def test_student_as_in_scipy(self):
    values = np.array([0.2, 0.5, 0.3, 0.9])
    wanted = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    np.testing.assert_allclose(
        statistics.t_interval(values), (wanted.low, wanted.high))
    self.assertTrue(np.isnan(statistics.t_interval(values[:1])).all())

  def test_student_covers_as_often_as_it_says(self):
    rng = np.random.default_rng(0)
    covered = [low < 0 < high for low, high in (
        statistics.t_interval(rng.normal(size=3)) for _ in range(2000))]
    self.assertAlmostEqual(np.mean(covered), 0.95, delta=0.015)

  def test_bootstrap_of_one_seed_has_the_binomial_error(self):
    labels, predictions = made_up(seeds=1)
    accuracy = np.mean(labels == predictions[0])
    found = statistics.mean_estimate(
        [accuracy], resampling.resample('accuracy', labels, predictions))
    half = 1.96 * math.sqrt(accuracy * (1 - accuracy) / len(labels))
    np.testing.assert_allclose(
        found.bootstrap, (accuracy - half, accuracy + half), atol=0.005)
    self.assertTrue(math.isnan(found.low))  # One seed tells nothing.

  def test_counts_of_entities_as_drawn_one_by_one(self):
    rng = np.random.default_rng(0)
    true = rng.integers(0, 4, (2, 30))
    predicted = rng.integers(0, 4, (2, 30))
    correct = np.minimum(true, predicted) // 2
    drawn = np.random.default_rng(0).integers(30, size=(100, 30))[7]
    for metric, at in (('entity_precision', 0), ('entity_recall', 1),
                       ('entity_f1', 2)):
      found = resampling.resample_counts(metric, correct, predicted, true)
      wanted = [tags.precision_recall_f1(*(
          int(one[seed][drawn].sum()) for one in (correct, predicted, true)))
                for seed in range(2)]
      np.testing.assert_allclose(found[:, 7], [row[at] for row in wanted])
      self.assertEqual(found.shape, (2, resampling.RESAMPLES))

  def test_the_wider_end_of_both(self):
    found = statistics.Estimate(0.5, (0.3, 0.6), (0.4, 0.7), 3)
    self.assertEqual((found.low, found.high), (0.3, 0.7))
    twice = found.times(-2)
    self.assertEqual((twice.mean, twice.low, twice.high), (-1, -1.4, -0.6))
    found = statistics.Estimate(0.5, (0.3, 0.6), (math.nan, math.nan), 3)
    self.assertEqual((found.low, found.high), (0.3, 0.6))

  def test_sets_of_labels(self):
    rng = np.random.default_rng(0)
    labels = rng.random((60, 3)) < 0.4
    found = np.where(rng.random((60, 3)) < 0.8, labels, ~labels)
    bits = 1 << np.arange(3)
    draws = np.random.default_rng(resampling.SEED).integers(
        60, size=(resampling._CHUNK, 60))[:4]
    for name in ('micro_f1', 'macro_f1', 'subset_accuracy'):
      self.assertIn(f'sets_{name}', resampling.OF_SETS)
      resampled = resampling.resample(
          f'sets_{name}', labels @ bits, (found @ bits)[None], 3)
      np.testing.assert_allclose(resampled[0, :4], [
          label_metrics.compute_at_threshold(
              [name], labels[rows], found[rows] * 1.0, 0.5)[name]
          for rows in draws])

  def test_labels_that_never_occur_count(self):
    labels = np.array([1, 2, 3] * 10)  # Of 4 labels, the first two.
    found = resampling.resample('sets_macro_f1', labels, labels[None], 4)
    np.testing.assert_allclose(found, 0.5, atol=0.01)

  def test_seeds_that_differ_widen_the_bootstrap(self):
    labels = np.zeros(1000, np.int64)
    predictions = (np.arange(1000) < 100 * np.arange(5)[:, None]) * 1
    found = statistics.mean_estimate(
        np.mean(labels == predictions, 1),
        resampling.resample('accuracy', labels, predictions))
    # The variance of a mean of 5 draws from the 5 scores, and little beside.
    half = 1.96 * np.std(0.1 * np.arange(5)) / math.sqrt(5)
    self.assertAlmostEqual(found.bootstrap[0], 0.8 - half, delta=0.02)
    self.assertAlmostEqual(found.bootstrap[1], 0.8 + half, delta=0.02)


class ResampleTest(parameterized.TestCase):

  def drawn(self, count, number):
    """Returns the rows of some draw, as `resample` makes them."""
    rng = np.random.default_rng(0)
    for _ in range(number // 100 + 1):
      rows = rng.integers(count, size=(100, count))
    return rows[number % 100]

  @parameterized.product(
      metric=('accuracy', 'matthews', *(
          f'{start}{part}' for start in ('', 'macro_')
          for part in ('f1', 'precision', 'recall'))), classes=(2, 4))
  def test_classes_as_one_by_one(self, metric, classes):
    self.assertIn(metric, resampling._WEIGHTED)
    if metric in ('f1', 'precision', 'recall') and classes > 2:
      self.skipTest('of two classes')
    labels, predictions = made_up(2, 30, classes)
    found = resampling.resample(metric, labels, predictions)
    self.assertEqual(found.shape, (2, resampling.RESAMPLES))
    for seed, number in ((0, 0), (1, 3), (0, 250)):
      rows = self.drawn(30, number)
      self.assertAlmostEqual(found[seed, number], metrics.METRICS[metric](
          labels[rows], predictions[seed, rows]))

  def test_a_class_that_a_draw_lacks_counts_for_nothing(self):
    labels, predictions = np.array([0, 0, 1]), np.array([0, 1, 1])
    # The first draw has no example of class 1 and none that is taken for it.
    weights = np.array([[3, 1], [0, 1], [0, 1]])
    np.testing.assert_allclose(
        resampling._macro('f1', labels, predictions, weights), [1, 2 / 3])

  @parameterized.parameters('pearson', 'spearman')
  def test_scores_as_one_by_one(self, metric):
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 6, 40) / 2.0  # With ties.
    predictions = np.round(labels + rng.normal(size=(2, 40)), 1)
    found = resampling.resample(metric, labels, predictions)
    for seed, number in ((0, 0), (1, 120)):
      rows = self.drawn(40, number)
      self.assertAlmostEqual(found[seed, number], metrics.METRICS[metric](
          labels[rows], predictions[seed, rows]))

  @parameterized.parameters('matthews', 'f1', 'pearson', 'spearman')
  def test_constant_predictions_score_zero(self, metric):
    labels = np.arange(20) % 2
    found = resampling.resample(metric, labels, np.zeros((1, 20), np.int64))
    np.testing.assert_array_equal(found, 0)

  def test_means_of_scores(self):
    values = np.random.default_rng(2).random((2, 25))
    found = resampling.resample('mean', np.zeros(25), values)
    rows = self.drawn(25, 7)
    np.testing.assert_allclose(found[:, 7], values[:, rows].mean(1))

  def test_other_metrics_are_computed_draw_by_draw(self):
    labels, predictions = made_up(2, 10)
    metrics.METRICS['share'] = lambda a, b: float(np.mean(a == b))
    try:
      np.testing.assert_allclose(
          resampling.resample('share', labels, predictions),
          resampling.resample('accuracy', labels, predictions))
    finally:
      del metrics.METRICS['share']


class DifferenceTest(parameterized.TestCase):

  def test_pairs_of_seeds_as_in_scipy(self):
    a, b = {0: 0.5, 1: 0.7, 2: 0.6}, {0: 0.4, 1: 0.65, 2: 0.45}
    found = statistics.difference_estimate(a, b)
    wanted = stats.ttest_rel(list(a.values()), list(b.values())
                             ).confidence_interval(0.95)
    np.testing.assert_allclose(found.t, (wanted.low, wanted.high))
    self.assertAlmostEqual(found.mean, 0.1)
    self.assertEqual(found.seeds, 3)

  def test_pairing_on_examples_narrows(self):
    labels, predictions = made_up(seeds=1, examples=1000)
    other = predictions.copy()
    other[0, :20] = (labels[:20] + 1) % 3  # 20 of 1,000 examples differ.
    other[0, 20:40] = labels[20:40]
    a, b = (resampling.resample('accuracy', labels, p)
            for p in (predictions, other))
    scores = [{0: np.mean(labels == p)} for p in (predictions, other)]
    low, high = statistics.difference_estimate(*scores, a, b).bootstrap
    alone = statistics.mean_estimate([0.7], a).bootstrap
    self.assertLess(high - low, 0.7 * (alone[1] - alone[0]))
    self.assertLess(low, scores[0][0] - scores[1][0])
    self.assertGreater(high, scores[0][0] - scores[1][0])

  @parameterized.parameters((3, 3), (3, 5), (4, 1))
  def test_the_other_way_round_is_the_negative(self, seeds, others):
    a, b = (made_up(count, 200, right=right, seed=count)
            for count, right in ((seeds, 0.7), (others, 0.6)))
    draws = [resampling.resample('accuracy', *one) for one in (a, b)]
    scores = [dict(enumerate(np.mean(one[0] == one[1], 1))) for one in (a, b)]
    one, other = (
        statistics.difference_estimate(*scores[::step], *draws[::step])
        for step in (1, -1))
    for name in ('bootstrap', 't'):
      ends = getattr(other, name)
      np.testing.assert_allclose(getattr(one, name), np.negative(ends)[::-1])
    self.assertLess(one.bootstrap[0], one.mean)
    self.assertGreater(one.bootstrap[1], one.mean)

  def test_a_constant_is_subtracted_from_every_seed(self):
    found = statistics.difference_estimate({3: 0.7, 5: 0.9}, {-1: 0.5})
    np.testing.assert_allclose(found.mean, 0.3)
    np.testing.assert_allclose(
        found.t, np.array(statistics.t_interval([0.7, 0.9])) - 0.5)

  def test_other_seeds_as_in_welch(self):
    a, b = {0: 0.5, 1: 0.7, 2: 0.6}, {1: 0.4, 2: 0.65, 3: 0.45, 4: 0.5}
    found = statistics.difference_estimate(a, b)
    wanted = stats.ttest_ind(
        list(a.values()), list(b.values()), equal_var=False
    ).confidence_interval(0.95)
    np.testing.assert_allclose(found.t, (wanted.low, wanted.high))
    self.assertAlmostEqual(found.mean, 0.1)  # Of the scores in a table.
    self.assertEqual(found.seeds, 3)
    constant = statistics.difference_estimate(
        {0: 0.75, 1: 0.75}, {2: 0.5, 3: 0.5})
    np.testing.assert_allclose(constant.t, (0.25, 0.25))

  @parameterized.parameters(0.0, 0.8)
  def test_covers_where_one_method_has_more_seeds(self, correlation):
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(1000):
      common = rng.normal(size=7)
      a, b = (correlation**0.5 * common
              + (1 - correlation)**0.5 * rng.normal(size=7) for _ in range(2))
      low, high = statistics.difference_estimate(
          dict(enumerate(a[:3])), dict(enumerate(b))).t
      covered.append(low < 0 < high)
    self.assertGreater(np.mean(covered), 0.93)

  def test_one_seed_has_no_interval(self):
    found = statistics.difference_estimate({0: 0.7, 1: 0.8}, {0: 0.5})
    self.assertAlmostEqual(found.mean, 0.25)
    self.assertTrue(math.isnan(found.low))
