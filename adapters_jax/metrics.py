"""Task metrics on numpy arrays, computed by scipy and scikit-learn.

Every metric takes (labels [n], predictions [n]) and returns a float; those of
classification read class numbers, those of regression read scores.
"""

from collections.abc import Sequence

import numpy as np


def accuracy(labels: np.ndarray, predictions: np.ndarray) -> float:
  """Returns the share of right answers."""
  return float(np.mean(labels == predictions))


def f1(labels: np.ndarray, predictions: np.ndarray) -> float:
  """Returns F1 of class 1, as GLUE scores MRPC and QQP."""
  from sklearn import metrics
  return float(metrics.f1_score(labels, predictions, zero_division=0))


def macro_f1(labels: np.ndarray, predictions: np.ndarray) -> float:
  """Returns the unweighted mean of the classes' F1."""
  from sklearn import metrics
  return float(
      metrics.f1_score(labels, predictions, average='macro', zero_division=0))


def matthews(labels: np.ndarray, predictions: np.ndarray) -> float:
  """Returns Matthews' correlation, which is 0 for a constant prediction."""
  from sklearn import metrics
  return float(metrics.matthews_corrcoef(labels, predictions))


def _correlation(
    name: str, labels: np.ndarray, predictions: np.ndarray
) -> float:
  from scipy import stats
  if len(labels) < 2 or np.ptp(labels) == 0 or np.ptp(predictions) == 0:
    return 0.0  # A constant correlates with nothing.
  return float(getattr(stats, name)(labels, predictions).statistic)


def pearson(labels: np.ndarray, predictions: np.ndarray) -> float:
  """Returns Pearson's correlation, 0 where one side is constant."""
  return _correlation('pearsonr', labels, predictions)


def spearman(labels: np.ndarray, predictions: np.ndarray) -> float:
  """Returns Spearman's rank correlation, 0 where one side is constant."""
  return _correlation('spearmanr', labels, predictions)


METRICS = {
    'accuracy': accuracy,
    'f1': f1,
    'macro_f1': macro_f1,
    'matthews': matthews,
    'pearson': pearson,
    'spearman': spearman,
}


def compute(
    names: Sequence[str], labels: np.ndarray, predictions: np.ndarray
) -> dict[str, float]:
  """Returns {name: value} of the named metrics."""
  return {name: METRICS[name](labels, predictions) for name in names}
