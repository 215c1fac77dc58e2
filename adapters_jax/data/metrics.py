"""Task metrics on numpy arrays, computed by scipy and scikit-learn.

Every metric takes (labels [n], predictions [n]) and returns a float; those of
classification read class numbers, those of regression read scores.
"""

import collections
from collections.abc import Sequence
import re
import string

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


def normalize_answer(text: str) -> str:
  """Returns an answer without case, punctuation, articles and extra spaces."""
  text = ''.join(c for c in text.lower() if c not in string.punctuation)
  return ' '.join(re.sub(r'\b(a|an|the)\b', ' ', text).split())


def answer_f1(right: str, found: str) -> float:
  """Returns the F1 of the words of an answer, as SQuAD's script has it."""
  right, found = (normalize_answer(t).split() for t in (right, found))
  same = sum((collections.Counter(right) & collections.Counter(found)).values())
  return 2 * same / (len(right) + len(found)) if same else 0.0


def squad(
    right: Sequence[Sequence[str]], found: Sequence[str]
) -> dict[str, float]:
  """Returns {'f1', 'exact_match'} in [0, 1] (Rajpurkar et al., 2016, 6.1).

  Args:
    right: The right answers to each question; the one nearest counts.
    found: An answer to each question.
  """
  f1 = [max(answer_f1(r, one) for r in texts)
        for texts, one in zip(right, found, strict=True)]
  exact = [any(normalize_answer(r) == normalize_answer(one) for r in texts)
           for texts, one in zip(right, found, strict=True)]
  return {'f1': float(np.mean(f1)), 'exact_match': float(np.mean(exact))}
