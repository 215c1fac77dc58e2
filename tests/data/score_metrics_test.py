import unittest

import numpy as np
from sklearn import metrics as sklearn_metrics

from adapters_jax.data import score_metrics


class ScoreMetricsTest(unittest.TestCase):

  def test_correlations_by_hand(self):
    scores = np.array([1.0, 2.0, 3.0, 4.0])
    answers = np.array([1.0, 4.0, 9.0, 2.0])
    # Ranks 1, 3, 4, 2: 1 - 6 * (0 + 1 + 1 + 4) / (4 * 15).
    self.assertAlmostEqual(score_metrics.spearman(scores, answers), 0.4)
    # Deviations (-1.5, -.5, .5, 1.5) and (-3, 0, 5, -2).
    self.assertAlmostEqual(
        score_metrics.pearson(scores, answers), 4 / np.sqrt(5 * 38))

  def test_variance_explained_by_hand(self):
    scores, answers = np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 4.0])
    self.assertAlmostEqual(score_metrics.r2(scores, answers), 1 - 1 / 2)
    self.assertEqual(score_metrics.r2(np.ones(3), answers), 0.0)

  def test_errors_by_hand(self):
    scores, answers = np.array([1.0, 2.0, 3.0]), np.array([1.0, 4.0, 2.0])
    self.assertAlmostEqual(
        score_metrics.rmse(scores, answers), np.sqrt((4 + 1) / 3))
    self.assertAlmostEqual(score_metrics.mae(scores, answers), (2 + 1) / 3)

  def test_r2_ranks_answers_as_rmse_does(self):
    rng = np.random.default_rng(0)
    scores = rng.normal(size=9)
    answers = [scores + rng.normal(size=9) for _ in range(6)]
    errors = [score_metrics.rmse(scores, one) for one in answers]
    shares = [sklearn_metrics.r2_score(scores, one) for one in answers]
    np.testing.assert_array_equal(np.argsort(errors), np.argsort(shares)[::-1])

  def test_constant_answers_score_zero(self):
    constant, scores = np.zeros(4), np.arange(4.0)
    for metric in (score_metrics.pearson, score_metrics.spearman):
      self.assertEqual(metric(scores, constant), 0.0)
      self.assertEqual(metric(constant, scores), 0.0)
      self.assertEqual(metric(scores[:1], scores[:1]), 0.0)
    self.assertEqual(score_metrics.r2(constant, scores), 0.0)
    self.assertEqual(score_metrics.r2(scores[:1], scores[:1]), 0.0)
