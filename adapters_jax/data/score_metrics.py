"""Metrics of scores, computed by scipy and scikit-learn.

Each takes labels [examples] and predictions [examples], and returns a float.
"""

from collections.abc import Callable
import functools

import numpy as np


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
  if np.ptp(labels) == 0 or np.ptp(predictions) == 0:  # Also of one example.
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
  if np.ptp(labels) == 0:
    return 0.0
  return float(metrics.r2_score(labels, predictions))


def rmse(labels: np.ndarray, predictions: np.ndarray) -> float:
  """Returns the root of the mean squared error.

  Args:
    labels: [examples] True scores.
    predictions: [examples] Predicted scores.
  """
  from sklearn import metrics
  return float(metrics.root_mean_squared_error(labels, predictions))


def mae(labels: np.ndarray, predictions: np.ndarray) -> float:
  """Returns the mean absolute error.

  Args:
    labels: [examples] True scores.
    predictions: [examples] Predicted scores.
  """
  from sklearn import metrics
  return float(metrics.mean_absolute_error(labels, predictions))


OF_SCORES: dict[str, Callable[..., float]] = {
    'pearson': pearson,
    'r2': r2,
    'spearman': spearman,
}
# Lower is better.
OF_ERRORS: dict[str, Callable[..., float]] = {'mae': mae, 'rmse': rmse}
