import dataclasses

from absl.testing import parameterized
import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.data import metrics
from adapters_jax.data import squad
from adapters_jax.data import tasks

LABELS = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
ANSWERS = np.array([1, 1, 1, 0, 1, 1, 0, 0, 0, 0])


class MetricsTest(parameterized.TestCase):

  def test_compute_keeps_the_order(self):
    found = metrics.compute(('f1', 'accuracy'), LABELS, ANSWERS)
    self.assertEqual(list(found), ['f1', 'accuracy'])

  def test_areas_are_computed_from_logits(self):
    logits = np.stack([np.zeros(10), np.arange(10.0)], axis=1)
    self.assertEqual(
        metrics.compute(('roc_auc', 'accuracy'), LABELS, ANSWERS, logits),
        {'roc_auc': 0.0, 'accuracy': 0.7})

  @parameterized.parameters(*metrics.METRICS, *metrics.OF_LOGITS)
  def test_a_value_is_a_float_of_python(self, name):
    # After the training, a record could not hold another type.
    logits = np.stack([np.zeros(10), np.arange(10.0)], axis=1)
    value, = metrics.compute((name,), LABELS, ANSWERS, logits).values()
    self.assertIs(type(value), float)

  def test_a_threshold_is_picked_by_a_metric_that_it_changes(self):
    self.assertEqual(metrics.decided_by(('roc_auc', 'recall')), 'recall')
    self.assertEqual(metrics.decided_by(('roc_auc',)), 'macro_f1')

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
      ('rmse', 'give r2, which ranks the steps alike'), ('mae', 'give r2'))
  def test_an_error_of_scores_is_reported_but_picks_nothing(self, name, way):
    task = tasks.find('stsb')
    with self.assertRaisesRegex(
        errors.UserError, f'`metric={name}`: picks no step, .* {way}$'):
      metrics.with_first(task, name)
    self.assertEqual(metrics.to_report(task, name).metrics,
                     (name, 'spearman', 'pearson'))
    for other in ('sst2', 'mnli'):
      with self.assertRaisesRegex(
          errors.UserError, f'`metric={name}`: is not for this task'):
        metrics.to_report(tasks.find(other), name)
    with self.assertRaisesRegex(
        errors.UserError, f'the task stsb: {name} is for `evaluate` alone'):
      metrics.check(dataclasses.replace(task, metrics=('spearman', name)))

  @parameterized.parameters(
      ('sst2', True), ('mnli', False))
  def test_metrics_of_one_class_are_for_two_classes(self, name, two):
    possible = metrics.possible(tasks.find(name))
    for one in ('f1', 'precision', 'recall'):
      self.assertEqual(one in possible, two)
      self.assertIn(f'macro_{one}', possible)
    self.assertIn('roc_auc', possible)

  @parameterized.parameters(
      ('sst2', 'pearson'), ('stsb', 'accuracy'), ('mnli', 'f1'),
      ('mnli', 'recall'), ('stsb', 'roc_auc'))
  def test_a_metric_of_other_tasks_is_refused(self, name, metric):
    with self.assertRaisesRegex(
        errors.UserError, f'`metric={metric}`: is not for this task'):
      metrics.with_first(tasks.find(name), metric)


@pytest.mark.parametrize('changed, message', [
    ({'metrics': ('pearson',)}, '`metrics` of the task sst2: pearson is not '
     'for 2 classes; give one of accuracy'),
    ({'metrics': ('accuracy',), 'labels': ()}, 'accuracy is not for scores'),
    ({'metrics': ('f1',), 'labels': ('a', 'b', 'c')}, 'not for 3 classes'),
    ({'metrics': ('acuracy',)}, 'did you mean accuracy'),
    ({'metrics': ()}, 'name one')])
def test_wrong_metrics_of_a_row_are_named(changed, message):
  task = dataclasses.replace(tasks.find('sst2'), **changed)
  with pytest.raises(errors.UserError, match=message):
    metrics.check(task)
