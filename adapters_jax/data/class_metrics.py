"""Metrics of classes, computed by scikit-learn.

Each takes labels [examples] and predictions [examples], and returns a float;
those of OF_LOGITS take logits [examples, classes] in place of predictions.
"""

from collections.abc import Callable
import functools

import numpy as np

from adapters_jax.data import roc


def accuracy(labels: np.ndarray, predictions: np.ndarray) -> float:
  """Returns the share of correct predictions.

  Args:
    labels: [examples] True classes.
    predictions: [examples] Predicted classes.
  """
  return float(np.mean(labels == predictions))


def _of_counts(
    name: str, average: str, labels: np.ndarray, predictions: np.ndarray
) -> float:
  """Returns F1, precision or recall of class 1, or a mean over the classes.

  Args:
    name: Function of scikit-learn.
    average: 'binary' for class 1; for a mean over the classes 'macro', where
      each has the same weight, or 'weighted', by their examples.
    labels: [examples] True classes.
    predictions: [examples] Predicted classes.
  """
  from sklearn import metrics  # Slow to import, as below.
  # No predicted positives, or none at all: 0, without sklearn's warning.
  return float(getattr(metrics, name)(
      labels, predictions, average=average, zero_division=0))


# F1 of class 1 is GLUE's score for MRPC and QQP.
f1 = functools.partial(_of_counts, 'f1_score', 'binary')
macro_f1 = functools.partial(_of_counts, 'f1_score', 'macro')
weighted_f1 = functools.partial(_of_counts, 'f1_score', 'weighted')
precision = functools.partial(_of_counts, 'precision_score', 'binary')
macro_precision = functools.partial(_of_counts, 'precision_score', 'macro')
recall = functools.partial(_of_counts, 'recall_score', 'binary')
macro_recall = functools.partial(_of_counts, 'recall_score', 'macro')


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


OF_CLASSES: dict[str, Callable[..., float]] = {
    'accuracy': accuracy,
    'balanced_accuracy': balanced_accuracy,
    'f1': f1,
    'kappa': kappa,
    'macro_f1': macro_f1,
    'macro_precision': macro_precision,
    'macro_recall': macro_recall,
    'matthews': matthews,
    'precision': precision,
    'recall': recall,
    'weighted_f1': weighted_f1,
}
# Of classes, from the logits: the predictions do not suffice.
OF_LOGITS: dict[str, Callable[..., float]] = {'roc_auc': roc.of_classes}
