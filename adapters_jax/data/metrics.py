"""Metrics of tasks on numpy arrays, computed by scipy and scikit-learn.

Each metric takes labels [examples] and predictions [examples] and returns a
float. Both are class numbers in classification, scores in regression. Answers
to questions are scored as in SQuAD.
"""

import collections
from collections.abc import Callable, Sequence
import dataclasses
import functools
import itertools
import re
import string

import numpy as np

from adapters_jax import errors
from adapters_jax.data import label_metrics
from adapters_jax.data import retrieval
from adapters_jax.data import tags
from adapters_jax.data import tasks


def accuracy(labels: np.ndarray, predictions: np.ndarray) -> float:
  """Returns the share of correct predictions.

  Args:
    labels: [examples] True classes.
    predictions: [examples] Predicted classes.
  """
  return float(np.mean(labels == predictions))


def f1(
    labels: np.ndarray, predictions: np.ndarray, average: str = 'binary'
) -> float:
  """Returns F1 of class 1, GLUE's score for MRPC and QQP, or a mean of F1.

  Args:
    labels: [examples] True classes.
    predictions: [examples] Predicted classes.
    average: 'binary' for class 1; for a mean over the classes 'macro', where
      each has the same weight, or 'weighted', by their examples.
  """
  from sklearn import metrics  # Slow to import, as below.
  # No predicted positives: 0, without sklearn's warning.
  return float(metrics.f1_score(
      labels, predictions, average=average, zero_division=0))


macro_f1 = functools.partial(f1, average='macro')
weighted_f1 = functools.partial(f1, average='weighted')


def balanced_accuracy(labels: np.ndarray, predictions: np.ndarray) -> float:
  """Returns the mean of the recall over the classes that occur.

  Args:
    labels: [examples] True classes.
    predictions: [examples] Predicted classes.
  """
  from sklearn import metrics
  # `balanced_accuracy_score` warns of predicted classes that do not occur.
  return float(metrics.recall_score(
      labels, predictions, labels=np.unique(labels), average='macro'))


def kappa(labels: np.ndarray, predictions: np.ndarray) -> float:
  """Returns Cohen's kappa; 0 where all labels and predictions are equal.

  Args:
    labels: [examples] True classes.
    predictions: [examples] Predicted classes.
  """
  from sklearn import metrics
  if np.ptp(labels) == 0 and np.ptp(predictions) == 0:
    return 0.0  # sklearn divides by zero.
  return float(metrics.cohen_kappa_score(labels, predictions))


def matthews(labels: np.ndarray, predictions: np.ndarray) -> float:
  """Returns Matthews' correlation; 0 where either side is constant.

  Args:
    labels: [examples] True classes.
    predictions: [examples] Predicted classes.
  """
  from sklearn import metrics
  if np.ptp(labels) == 0 or np.ptp(predictions) == 0:
    return 0.0  # sklearn's result, without its warning.
  return float(metrics.matthews_corrcoef(labels, predictions))


def _correlation(
    name: str, labels: np.ndarray, predictions: np.ndarray
) -> float:
  """Returns a correlation, or 0 where either side is constant.

  Args:
    name: Function of scipy.stats.
    labels: [examples] scores.
    predictions: [examples] scores.
  """
  from scipy import stats
  if len(labels) < 2 or np.ptp(labels) == 0 or np.ptp(predictions) == 0:
    return 0.0  # scipy warns and returns NaN, which no comparison picks.
  return float(getattr(stats, name)(labels, predictions).statistic)


pearson = functools.partial(_correlation, 'pearsonr')
spearman = functools.partial(_correlation, 'spearmanr')  # Of the ranks.


def r2(labels: np.ndarray, predictions: np.ndarray) -> float:
  """Returns the share of the variance explained; 0 for constant labels.

  Args:
    labels: [examples] True scores.
    predictions: [examples] Predicted scores.
  """
  from sklearn import metrics
  if len(labels) < 2 or np.ptp(labels) == 0:
    return 0.0
  return float(metrics.r2_score(labels, predictions))


OF_CLASSES: dict[str, Callable[..., float]] = {
    'accuracy': accuracy,
    'balanced_accuracy': balanced_accuracy,
    'f1': f1,
    'kappa': kappa,
    'macro_f1': macro_f1,
    'matthews': matthews,
    'weighted_f1': weighted_f1,
}
OF_SCORES: dict[str, Callable[..., float]] = {
    'pearson': pearson,
    'r2': r2,
    'spearman': spearman,
}
METRICS = {**OF_CLASSES, **OF_SCORES}
OF_ANSWERS = ('f1', 'exact_match')  # Computed together, by `squad`.
# Computed together, by `runs.kinds.language_modeling`; the first is the inverse
# of the perplexity.
OF_LANGUAGE = ('token_probability', 'perplexity', 'accuracy')
# Tuples of metrics that one function computes together.
_TOGETHER = (OF_ANSWERS, retrieval.METRICS, OF_LANGUAGE, tags.OF_ENTITIES,
             tags.OF_TAGS)
NAMES = tuple(dict.fromkeys([
    *METRICS, *label_metrics.METRICS, *itertools.chain(*_TOGETHER)]))


def possible(task: tasks.Task) -> list[str]:
  """Returns the metrics that can pick the best step of a task."""
  if task.form == 'multilabel':
    return list(label_metrics.METRICS)
  if task.form == 'multiple_choice':
    return ['accuracy']
  if task.metrics in _TOGETHER:
    # The highest score wins, so not perplexity, but its inverse may be picked.
    return [one for one in task.metrics if one != 'perplexity']
  # The F1 of class 1 is defined for two classes.
  return [name for name in (OF_CLASSES if task.labels else OF_SCORES)
          if name != 'f1' or len(task.labels) <= 2]


def check(task: tasks.Task) -> None:
  """Checks the metrics of a row of `tasks.TASKS`.

  Args:
    task: Task.

  Raises:
    errors.UserError: no metric, an unknown one, or one for other tasks.
  """
  where = f'`metrics` of the task {task.name}'
  if not task.metrics:
    raise errors.UserError(f'{where}: name one, which picks the best step')
  for name in task.metrics:
    if name not in NAMES:
      raise errors.unknown(where, name, possible(task))
    if name not in possible(task):
      kind = f'{len(task.labels)} classes' if task.labels else 'scores'
      raise errors.UserError(
          f'{where}: {name} is not for {kind}; give one of '
          f'{", ".join(possible(task))}')


def check_name(name: str, task: tasks.Task) -> None:
  """Checks that a metric exists, perhaps for tasks of other kinds.

  Args:
    name: Metric, '' for the default.
    task: Task, whose metrics are suggested.

  Raises:
    errors.UserError: an unknown metric.
  """
  if name and name not in NAMES:
    raise errors.unknown('`metric`', name, possible(task))


def with_first(task: tasks.Task, name: str) -> tasks.Task:
  """Returns a task with a metric in the first place, which picks the best step.

  Args:
    task: Task; its other metrics follow.
    name: Key of METRICS or of label_metrics.METRICS, or a metric of the task;
      '' leaves the task as it is.

  Raises:
    errors.UserError: a metric for other tasks.
  """
  if name == 'perplexity' and name in task.metrics:
    raise errors.UserError(
        '`metric=perplexity`: picks no step, as the highest score wins; give '
        'token_probability, its inverse')
  if name and name not in possible(task):
    raise errors.UserError(
        f'`metric={name}`: is not for this task; give one of '
        f'{", ".join(possible(task))}')
  return reordered(task, name) if name else task


def reordered(task: tasks.Task, name: str) -> tasks.Task:
  """Returns a task with a metric in the first place, to report it first.

  Args:
    task: Task; its other metrics follow.
    name: Metric.
  """
  return dataclasses.replace(
      task, metrics=tuple(dict.fromkeys((name, *task.metrics))))


def compute(
    names: Sequence[str], labels: np.ndarray, predictions: np.ndarray
) -> dict[str, float]:
  """Computes several metrics.

  Args:
    names: Keys of METRICS.
    labels: [examples]
    predictions: [examples]

  Returns:
    {name: value}, in the order of `names`.
  """
  return {name: METRICS[name](labels, predictions) for name in names}


def normalize_answer(text: str) -> str:
  """Removes case, punctuation, articles and extra spaces from an answer."""
  # In the order of SQuAD's script: 'a.' is an article once its dot is gone.
  text = ''.join(c for c in text.lower() if c not in string.punctuation)
  return ' '.join(re.sub(r'\b(a|an|the)\b', ' ', text).split())


def answer_f1(right: str, found: str) -> float:
  """Returns the F1 of an answer's words, as in SQuAD's evaluation script.

  Args:
    right: A correct answer.
    found: The predicted answer.
  """
  right, found = (normalize_answer(t).split() for t in (right, found))
  same = sum((collections.Counter(right) & collections.Counter(found)).values())
  # The harmonic mean of precision and recall; 0 too for two empty answers.
  return 2 * same / (len(right) + len(found)) if same else 0.0


def squad(
    right: Sequence[Sequence[str]], found: Sequence[str]
) -> dict[str, float]:
  """Scores answers as SQuAD does (Rajpurkar et al., 2016, section 6.1).

  Args:
    right: For each question its correct answers; the best match counts.
    found: For each question the predicted answer.

  Returns:
    {'f1', 'exact_match'}, each in [0, 1].
  """
  f1 = [max(answer_f1(r, one) for r in texts)
        for texts, one in zip(right, found, strict=True)]
  exact = [any(normalize_answer(r) == normalize_answer(one) for r in texts)
           for texts, one in zip(right, found, strict=True)]
  return {'f1': float(np.mean(f1)), 'exact_match': float(np.mean(exact))}
