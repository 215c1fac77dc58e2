"""Metrics of tasks with several labels a text, computed by scikit-learn.

Each metric takes labels [examples, labels] of 0 and 1, predictions of the same
form, and probabilities [examples, labels], and returns a float.
"""

from collections.abc import Callable, Sequence
import functools

import numpy as np

from adapters_jax.data import roc


def _of_counts(
    name: str, average: str, labels, predictions, shares
) -> float:
  """Returns an average over the labels; 0 where it is not defined.

  Args:
    name: Function of scikit-learn.
    average: 'micro' or 'macro'.
    labels: As above, like the rest.
    predictions: As above.
    shares: Not read.
  """
  del shares
  from sklearn import metrics  # Slow to import, as below.
  if labels.shape[1] == 1:
    # A column is two classes to sklearn, and both would be averaged.
    labels, predictions, average = labels[:, 0], predictions[:, 0], 'binary'
  return float(getattr(metrics, name)(
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


def _roc_auc(labels, predictions, shares) -> float:
  """Returns the mean area under the ROC curves; see `roc`."""
  del predictions
  return roc.of_labels(labels, shares)


# {name: (function of scikit-learn, average)}: of all decisions together, or the
# mean over the labels.
OF_COUNTS = {f'{average}_{name}': (f'{name}_score', average)
             for name in ('f1', 'precision', 'recall')
             for average in ('micro', 'macro')}
_counted = {name: functools.partial(_of_counts, *row)
            for name, row in OF_COUNTS.items()}
METRICS: dict[str, Callable[..., float]] = {
    **{name: _counted[name] for name in ('micro_f1', 'macro_f1')},
    'mean_average_precision': _mean_average_precision,
    'subset_accuracy': _subset_accuracy,
    **_counted,
    'roc_auc': _roc_auc,
}
_WITHOUT_THRESHOLD = ('mean_average_precision', 'roc_auc')


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


def at_thresholds(
    name: str, labels: np.ndarray, shares: np.ndarray,
    thresholds: Sequence[float],
) -> list[float]:
  """Computes a metric at many thresholds, in one pass over the probabilities.

  Args:
    name: Key of OF_COUNTS.
    labels: [examples, labels] 0 or 1.
    shares: [examples, labels] Probabilities.
    thresholds: Probabilities from which on a label is given, ascending.

  Returns:
    The value of `compute_at_threshold` at each threshold, to the last bit.
  """
  limits = np.array(thresholds, shares.dtype)  # As `>=` rounds a number.
  # [thresholds, labels] Numbers of examples: given a label, and rightly so.
  given, right = (np.zeros((len(limits), labels.shape[1]), np.int64)
                  for _ in range(2))
  for column in range(labels.shape[1]):
    reached = np.searchsorted(limits, shares[:, column], side='right')
    for counts, some in (
        (given, reached), (right, reached[labels[:, column] > 0])):
      # Examples that reach more thresholds than those up to this one.
      counts[:, column] = len(some) - np.cumsum(
          np.bincount(some, minlength=len(limits) + 1))[:-1]
  true = np.broadcast_to((labels > 0).sum(0), given.shape)
  function, average = OF_COUNTS[name]
  if average == 'micro':
    given, right, true = (
        counts.sum(1, keepdims=True) for counts in (given, right, true))
  above, below = {
      'f1_score': (2 * right, given + true), 'precision_score': (right, given),
      'recall_score': (right, true)}[function]
  # Without positives 0, as `_of_counts` says.
  return [float(row.mean()) for row in above / np.maximum(below, 1)]


def decided_by(names: Sequence[str]) -> str:
  """Returns the first metric that a threshold changes, to pick one by.

  Args:
    names: Keys of METRICS.
  """
  return next((name for name in names if name not in _WITHOUT_THRESHOLD),
              'micro_f1')
