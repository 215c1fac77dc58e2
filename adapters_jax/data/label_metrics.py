"""Metrics of tasks with several labels a text, computed by scikit-learn.

Each metric takes labels [examples, labels] of 0 and 1, predictions of the same
form, and probabilities [examples, labels], and returns a float.
"""

from collections.abc import Callable, Sequence
import functools

import numpy as np


def _f1(average: str, labels, predictions, shares) -> float:
  """Returns an average of F1 over the labels; 0 where it is not defined."""
  del shares
  from sklearn import metrics  # Slow to import, as below.
  if labels.shape[1] == 1:
    # A column is two classes to sklearn, and both would be averaged.
    labels, predictions, average = labels[:, 0], predictions[:, 0], 'binary'
  return float(metrics.f1_score(
      labels, predictions, average=average, zero_division=0))


def _mean_average_precision(labels, predictions, shares) -> float:
  """Returns the mean of average precision over the labels that occur."""
  del predictions  # No threshold matters.
  from sklearn import metrics
  occur = labels.any(0)  # Others have no precision.
  if not occur.any():
    return 0.0
  return float(metrics.average_precision_score(
      labels[:, occur], shares[:, occur], average='macro'))


def _subset_accuracy(labels, predictions, shares) -> float:
  """Returns the share of examples all of whose labels are right."""
  del shares
  return float(np.mean((labels == predictions).all(-1)))


METRICS: dict[str, Callable[..., float]] = {
    # All decisions together; and the mean over the labels.
    'micro_f1': functools.partial(_f1, 'micro'),
    'macro_f1': functools.partial(_f1, 'macro'),
    'mean_average_precision': _mean_average_precision,
    'subset_accuracy': _subset_accuracy,
}


def compute_at_threshold(
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
