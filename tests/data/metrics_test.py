import dataclasses
import itertools
import warnings

from absl.testing import parameterized
import numpy as np
from sklearn import metrics as sklearn_metrics

from adapters_jax import errors
from adapters_jax.data import metrics
from adapters_jax.data import squad
from adapters_jax.data import tasks

# 3 true positives, 1 false negative, 2 false positives, 4 true negatives.
LABELS = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
ANSWERS = np.array([1, 1, 1, 0, 1, 1, 0, 0, 0, 0])


class MetricsTest(parameterized.TestCase):

  @parameterized.parameters(
      ('accuracy', 0.7),
      ('f1', 6 / 9),  # 2 tp / (2 tp + fp + fn)
      ('macro_f1', (6 / 9 + 8 / 11) / 2),
      ('weighted_f1', (4 * 6 / 9 + 6 * 8 / 11) / 10),
      ('balanced_accuracy', (3 / 4 + 4 / 6) / 2),
      # Agreement 0.7; by chance 0.5 * 0.4 + 0.5 * 0.6.
      ('kappa', (0.7 - 0.5) / (1 - 0.5)),
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

  def test_variance_explained_by_hand(self):
    scores, answers = np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 4.0])
    self.assertAlmostEqual(metrics.r2(scores, answers), 1 - 1 / 2)
    self.assertEqual(metrics.r2(np.ones(3), answers), 0.0)

  def test_balanced_accuracy_of_classes_that_do_not_occur(self):
    with warnings.catch_warnings():
      warnings.simplefilter('error')
      self.assertAlmostEqual(metrics.balanced_accuracy(
          np.array([0, 0, 2, 2]), np.array([0, 1, 2, 2])), 0.75)

  def test_constant_answers_score_zero(self):
    constant = np.zeros(10)
    self.assertEqual(metrics.kappa(constant, constant), 0.0)
    self.assertEqual(metrics.matthews(LABELS, constant), 0.0)
    self.assertEqual(metrics.pearson(LABELS, constant), 0.0)
    self.assertEqual(metrics.spearman(LABELS, constant), 0.0)
    self.assertEqual(metrics.f1(LABELS, constant), 0.0)

  def test_one_class_is_scored_without_a_warning(self):
    for labels, answers in itertools.product(
        (np.zeros(10, int), np.ones(10, int), LABELS), repeat=2):
      with warnings.catch_warnings():
        warnings.simplefilter('error')
        found = metrics.compute(tuple(metrics.OF_CLASSES), labels, answers)
      self.assertTrue(np.isfinite([*found.values()]).all())
      with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        self.assertEqual(found['matthews'], sklearn_metrics.matthews_corrcoef(
            labels, answers))

  def test_compute_keeps_the_order(self):
    found = metrics.compute(('f1', 'accuracy'), LABELS, ANSWERS)
    self.assertEqual(list(found), ['f1', 'accuracy'])

  def test_a_chosen_metric_picks_the_best_step(self):
    task = tasks.find('sst2')
    self.assertIs(metrics.with_first(task, ''), task)
    self.assertEqual(metrics.with_first(task, 'macro_f1').metrics,
                     ('macro_f1', 'accuracy'))
    self.assertEqual(metrics.with_first(
        tasks.find('mrpc'), 'accuracy').metrics, ('accuracy', 'f1'))
    self.assertEqual(metrics.with_first(squad.TASK, 'exact_match').metrics,
                     ('exact_match', 'f1'))

  def test_a_metric_that_is_best_at_its_lowest_picks_nothing(self):
    task = dataclasses.replace(
        tasks.find('sst2'), labels=(), metrics=metrics.OF_LANGUAGE)
    with self.assertRaisesRegex(
        errors.UserError, '`metric=perplexity`: picks no step, .* highest '
        'score wins; give token_probability, its inverse'):
      metrics.with_first(task, 'perplexity')
    with self.assertRaisesRegex(
        errors.UserError, '`metric=perplexity`: is not for this task'):
      metrics.with_first(tasks.find('sst2'), 'perplexity')
    self.assertEqual(metrics.reordered(task, 'perplexity').metrics, (
        'perplexity', 'token_probability', 'accuracy'))

  @parameterized.parameters(
      ('sst2', 'pearson'), ('stsb', 'accuracy'), ('mnli', 'f1'))
  def test_a_metric_of_other_tasks_is_refused(self, name, metric):
    with self.assertRaisesRegex(
        errors.UserError, f'`metric={metric}`: is not for this task'):
      metrics.with_first(tasks.find(name), metric)
