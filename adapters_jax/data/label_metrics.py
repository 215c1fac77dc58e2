"""Metrics of tasks with several labels a text, computed by scikit-learn.

Each metric takes labels [examples, labels] of 0 and 1, predictions of the same
form, and probabilities [examples, labels], and returns a float.
"""

from collections.abc import Sequence

import numpy as np


def _f1(average: str, labels: np.ndarray, predictions: np.ndarray) -> float:
  """Returns an average of F1 over the labels; 0 where it is not defined."""
  from sklearn import metrics  # Slow to import, as below.
  return float(metrics.f1_score(
      labels, predictions, average=average, zero_division=0))


def micro_f1(
    labels: np.ndarray, predictions: np.ndarray, shares: np.ndarray
) -> float:
  """Returns F1 of all decisions together, whatever their label.

  Args:
    labels: [examples, labels] 0 or 1.
    predictions: [examples, labels] 0 or 1.
    shares: [examples, labels] Probabilities, not used.
  """
  del shares
  return _f1('micro', labels, predictions)


def macro_f1(
    labels: np.ndarray, predictions: np.ndarray, shares: np.ndarray
) -> float:
  """Returns the mean of F1 over the labels, each with the same weight.

  Args:
    labels: [examples, labels] 0 or 1.
    predictions: [examples, labels] 0 or 1.
    shares: [examples, labels] Probabilities, not used.
  """
  del shares
  return _f1('macro', labels, predictions)


def subset_accuracy(
    labels: np.ndarray, predictions: np.ndarray, shares: np.ndarray
) -> float:
  """Returns the share of examples all of whose labels are right.

  Args:
    labels: [examples, labels] 0 or 1.
    predictions: [examples, labels] 0 or 1.
    shares: [examples, labels] Probabilities, not used.
  """
  del shares
  return float(np.mean((labels == predictions).all(-1)))


def mean_average_precision(
    labels: np.ndarray, predictions: np.ndarray, shares: np.ndarray
) -> float:
  """Returns the mean of average precision over the labels that occur.

  Args:
    labels: [examples, labels] 0 or 1.
    predictions: [examples, labels] Not used: no threshold matters.
    shares: [examples, labels] Probabilities.
  """
  del predictions
  from sklearn import metrics
  occur = labels.any(0)  # Others have no precision.
  if not occur.any():
    return 0.0
  return float(metrics.average_precision_score(
      labels[:, occur], shares[:, occur], average='macro'))


METRICS = {
    'micro_f1': micro_f1,
    'macro_f1': macro_f1,
    'mean_average_precision': mean_average_precision,
    'subset_accuracy': subset_accuracy,
}


def compute(
    names: Sequence[str], labels: np.ndarray, shares: np.ndarray,
    threshold: float,
) -> dict[str, float]:
  """Computes several metrics.

  Args:
    names: Keys of METRICS.
    labels: [examples, labels] 0 or 1.
    shares: [examples, labels] Probabilities.
    threshold: Probability from which on a label is given.

  Returns:
    {name: value}, in the order of `names`.
  """
  labels, predictions = labels.astype(np.int8), shares >= threshold
  return {name: METRICS[name](labels, predictions, shares) for name in names}


def decided_by(names: Sequence[str]) -> str:
  """Returns the first metric that a threshold changes, to pick one by.

  Args:
    names: Keys of METRICS.
  """
  return next((name for name in names if name != 'mean_average_precision'),
              'micro_f1')
