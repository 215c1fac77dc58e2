import itertools
import warnings

from absl.testing import parameterized
import numpy as np
from sklearn import metrics as sklearn_metrics

from adapters_jax.data import class_metrics

# 3 true positives, 1 false negative, 2 false positives, 4 true negatives.
LABELS = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
ANSWERS = np.array([1, 1, 1, 0, 1, 1, 0, 0, 0, 0])


class ClassMetricsTest(parameterized.TestCase):

  @parameterized.parameters(
      ('accuracy', 0.7),
      ('f1', 6 / 9),  # 2 tp / (2 tp + fp + fn)
      ('precision', 3 / 5),
      ('recall', 3 / 4),
      ('macro_precision', (3 / 5 + 4 / 5) / 2),
      ('macro_recall', (3 / 4 + 4 / 6) / 2),
      ('macro_f1', (6 / 9 + 8 / 11) / 2),
      ('weighted_f1', (4 * 6 / 9 + 6 * 8 / 11) / 10),
      ('balanced_accuracy', (3 / 4 + 4 / 6) / 2),
      # Agreement 0.7; by chance 0.5 * 0.4 + 0.5 * 0.6.
      ('kappa', (0.7 - 0.5) / (1 - 0.5)),
      ('matthews', (3 * 4 - 2 * 1) / np.sqrt(5 * 4 * 6 * 5)))
  def test_classification_by_hand(self, name, wanted):
    self.assertAlmostEqual(
        class_metrics.OF_CLASSES[name](LABELS, ANSWERS), wanted)

  @parameterized.product(
      part=('f1', 'precision', 'recall'), classes=(2, 4), seed=(0, 1))
  def test_equal_to_sklearn(self, part, classes, seed):
    rng = np.random.default_rng(seed)
    labels, answers = rng.integers(classes, size=(2, 12))
    score = getattr(sklearn_metrics, f'{part}_score')
    self.assertEqual(
        class_metrics.OF_CLASSES[f'macro_{part}'](labels, answers),
        score(labels, answers, average='macro', zero_division=0))
    if classes == 2:
      self.assertEqual(class_metrics.OF_CLASSES[part](labels, answers),
                       score(labels, answers, zero_division=0))

  def test_balanced_accuracy_of_classes_that_do_not_occur(self):
    with warnings.catch_warnings():
      warnings.simplefilter('error')
      self.assertAlmostEqual(class_metrics.balanced_accuracy(
          np.array([0, 0, 2, 2]), np.array([0, 1, 2, 2])), 0.75)

  def test_constant_answers_score_zero(self):
    constant = np.zeros(10, int)
    self.assertEqual(class_metrics.kappa(constant, constant), 0.0)
    for name in ('matthews', 'f1', 'precision', 'recall'):
      score = class_metrics.OF_CLASSES[name]
      self.assertEqual(score(LABELS, constant), 0.0)

  def test_one_class_is_scored_without_a_warning(self):
    for labels, answers in itertools.product(
        (np.zeros(10, int), np.ones(10, int), LABELS), repeat=2):
      with warnings.catch_warnings():
        warnings.simplefilter('error')
        found = {name: score(labels, answers)
                 for name, score in class_metrics.OF_CLASSES.items()}
      self.assertTrue(np.isfinite([*found.values()]).all())
      with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        self.assertEqual(found['matthews'], sklearn_metrics.matthews_corrcoef(
            labels, answers))
