"""Tables of the metrics of tasks, and the choice of those of one task.

Answers to questions are scored as in SQuAD.
"""

import collections
from collections.abc import Sequence
import dataclasses
import itertools
import re
import string

import numpy as np

from adapters_jax import errors
from adapters_jax.data import class_metrics
from adapters_jax.data import label_metrics
from adapters_jax.data import retrieval
from adapters_jax.data import score_metrics
from adapters_jax.data import tags
from adapters_jax.data import tasks

OF_CLASSES = class_metrics.OF_CLASSES
OF_LOGITS = class_metrics.OF_LOGITS
OF_SCORES = score_metrics.OF_SCORES
OF_ERRORS = score_metrics.OF_ERRORS
METRICS = {**OF_CLASSES, **OF_SCORES, **OF_ERRORS}
_OF_TWO_CLASSES = ('f1', 'precision', 'recall')
# {metric of which the lowest value is the best: one to pick a step by}
_LOWEST = {
    'mae': 'r2', 'perplexity': 'token_probability, its inverse',
    'rmse': 'r2, which ranks the steps alike'}
OF_ANSWERS = ('f1', 'exact_match')  # Computed together, by `squad`.
# Computed together, by `runs.kinds.language_modeling`; the first is the inverse
# of the perplexity.
OF_LANGUAGE = ('token_probability', 'perplexity', 'accuracy')
# Tuples of metrics that one function computes together.
_TOGETHER = (OF_ANSWERS, retrieval.METRICS, OF_LANGUAGE, tags.OF_ENTITIES,
             tags.OF_TAGS)
NAMES = tuple(dict.fromkeys([
    *METRICS, *OF_LOGITS, *label_metrics.METRICS,
    *itertools.chain(*_TOGETHER)]))


# {name elsewhere: ours}
SAME = {
    'auc': 'roc_auc', 'auroc': 'roc_auc', 'matthews_correlation': 'matthews',
    'mcc': 'matthews', 'mean_absolute_error': 'mae', 'mse': 'rmse',
    'root_mean_squared_error': 'rmse', 'rocauc': 'roc_auc'}


def possible(task: tasks.Task) -> list[str]:
  """Returns the metrics that can pick the best step of a task."""
  if task.form == 'multilabel':
    return list(label_metrics.METRICS)
  if task.form == 'multiple_choice':
    return ['accuracy']
  if task.metrics in _TOGETHER:
    # The highest score wins, so not perplexity, but its inverse may be picked.
    return [one for one in task.metrics if one not in _LOWEST]
  if not task.labels:
    return list(OF_SCORES)
  # Those of class 1 are defined for two classes.
  return [name for name in (*OF_CLASSES, *OF_LOGITS)
          if name not in _OF_TWO_CLASSES or len(task.labels) <= 2]


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
    if name in OF_ERRORS:
      raise errors.UserError(
          f'{where}: {name} is for `evaluate` alone; give {_LOWEST[name]}')
    if name not in possible(task):
      kind = f'{len(task.labels)} classes' if task.labels else 'scores'
      raise errors.UserError(
          f'{where}: {name} is not for {kind}; give one of '
          f'{", ".join(possible(task))}')


def reported(task: tasks.Task) -> list[str]:
  """Returns the metrics of a task, with those that pick no step."""
  errors_of = OF_ERRORS if 'r2' in possible(task) else ()
  return list(dict.fromkeys((*possible(task), *task.metrics, *errors_of)))


def check_name(name: str, task: tasks.Task) -> None:
  """Checks that a metric exists, perhaps for tasks of other kinds.

  Args:
    name: Metric, '' for the default.
    task: Task, whose metrics are suggested.

  Raises:
    errors.UserError: an unknown metric.
  """
  if name and name not in NAMES:
    raise errors.unknown('`metric`', name, reported(task), SAME)


def with_first(task: tasks.Task, name: str) -> tasks.Task:
  """Returns a task with a metric in the first place, which picks the best step.

  Args:
    task: Task; its other metrics follow.
    name: One of `possible`; '' leaves the task as it is.

  Raises:
    errors.UserError: a metric for other tasks, or one of which the lowest
      value is the best.
  """
  if name in _LOWEST and name in reported(task):
    raise errors.UserError(
        f'`metric={name}`: picks no step, as the highest score wins; give '
        f'{_LOWEST[name]}')
  if name and name not in possible(task):
    raise _unfit(name, possible(task))
  return reordered(task, name) if name else task


def to_report(task: tasks.Task, name: str) -> tasks.Task:
  """Returns a task with a metric in the first place, to report it first.

  Args:
    task: Task; its other metrics follow.
    name: One of `reported`.

  Raises:
    errors.UserError: a metric for other tasks.
  """
  if name not in reported(task):
    raise _unfit(name, reported(task))
  return reordered(task, name)


def _unfit(name: str, known: Sequence[str]) -> errors.UserError:
  """Returns the error for a metric of other tasks."""
  return errors.UserError(
      f'`metric={name}`: is not for this task; give one of {", ".join(known)}')


def reordered(task: tasks.Task, name: str) -> tasks.Task:
  """Returns a task with a metric in the first place, without any check."""
  return dataclasses.replace(
      task, metrics=tuple(dict.fromkeys((name, *task.metrics))))


def decided_by(names: Sequence[str]) -> str:
  """Returns the first metric that a threshold changes, to pick one by.

  Args:
    names: Keys of OF_CLASSES or of OF_LOGITS.
  """
  return next((name for name in names if name not in OF_LOGITS), 'macro_f1')


def compute(
    names: Sequence[str], labels: np.ndarray, predictions: np.ndarray,
    logits: np.ndarray | None = None,
) -> dict[str, float]:
  """Computes several metrics.

  Args:
    names: Keys of METRICS or of OF_LOGITS.
    labels: [examples]
    predictions: [examples]
    logits: [examples, classes], for metrics of OF_LOGITS.

  Returns:
    {name: value}, in the order of `names`.
  """
  return {name: OF_LOGITS[name](labels, logits) if name in OF_LOGITS
          else METRICS[name](labels, predictions) for name in names}


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
