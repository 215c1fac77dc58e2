from absl.testing import parameterized
import numpy as np

from adapters_jax.data import metrics

# 3 true positives, 1 false negative, 2 false positives, 4 true negatives.
LABELS = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
ANSWERS = np.array([1, 1, 1, 0, 1, 1, 0, 0, 0, 0])


class MetricsTest(parameterized.TestCase):

  @parameterized.parameters(
      ('accuracy', 0.7),
      ('f1', 6 / 9),  # 2 tp / (2 tp + fp + fn)
      ('macro_f1', (6 / 9 + 8 / 11) / 2),
      ('matthews', (3 * 4 - 2 * 1) / np.sqrt(5 * 4 * 6 * 5)))
  def test_classification_by_hand(self, name, wanted):
    self.assertAlmostEqual(metrics.METRICS[name](LABELS, ANSWERS), wanted)

  def test_correlations_by_hand(self):
    scores = np.array([1.0, 2.0, 3.0, 4.0])
    answers = np.array([1.0, 4.0, 9.0, 2.0])
    # Ranks 1, 3, 4, 2: 1 - 6 * (0 + 1 + 1 + 4) / (4 * 15).
    self.assertAlmostEqual(metrics.spearman(scores, answers), 0.4)
    # Deviations (-1.5, -.5, .5, 1.5) and (-3, 0, 5, -2).
    self.assertAlmostEqual(
        metrics.pearson(scores, answers), 4 / np.sqrt(5 * 38))

  def test_constant_answers_score_zero(self):
    constant = np.zeros(10)
    self.assertEqual(metrics.matthews(LABELS, constant), 0.0)
    self.assertEqual(metrics.pearson(LABELS, constant), 0.0)
    self.assertEqual(metrics.spearman(LABELS, constant), 0.0)
    self.assertEqual(metrics.f1(LABELS, constant), 0.0)

  def test_compute_keeps_the_order(self):
    found = metrics.compute(('f1', 'accuracy'), LABELS, ANSWERS)
    self.assertEqual(list(found), ['f1', 'accuracy'])
