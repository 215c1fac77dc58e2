"""Thresholds: probabilities from which on a label is predicted."""

from collections.abc import Callable
import hashlib

import numpy as np

from adapters_jax.data import label_metrics

DEV = 'dev'  # The setting that picks a threshold on dev.
HALF = 0.5
# Near one half first, so that it wins a tie: all predictions may be alike.
_CANDIDATES = sorted(
    (number / 100 for number in range(1, 100)), key=lambda t: abs(t - HALF))


def pick(
    score: Callable[[np.ndarray], float],
    predicted_at: Callable[[float], np.ndarray],
) -> float:
  """Returns the threshold of the highest score, in steps of 0.01.

  Args:
    score: (predictions) -> score; larger is better. Equal predictions are
      scored once, as some metrics are slow to compute.
    predicted_at: (threshold) -> predictions.
  """
  scores: dict[bytes, float] = {}

  def score_at(threshold):
    predicted = predicted_at(threshold)
    # Not the predictions, which take much memory for many labels.
    key = hashlib.sha256(np.ascontiguousarray(predicted)).digest()
    if key not in scores:
      scores[key] = score(predicted)
    return scores[key]

  return max(_CANDIDATES, key=score_at)  # The first of equal ones.


def pick_for_labels(
    name: str, labels: np.ndarray, shares: np.ndarray
) -> float:
  """Returns the threshold of several labels with the highest score.

  Args:
    name: Metric, one of `label_metrics` that a threshold changes.
    labels: [examples, labels] 0 or 1.
    shares: [examples, labels] Probabilities.
  """
  if name in label_metrics.OF_COUNTS:
    ascending = sorted(_CANDIDATES)
    scores = dict(zip(ascending, label_metrics.at_thresholds(
        name, labels, shares, ascending), strict=True))
    return max(_CANDIDATES, key=lambda threshold: scores[threshold])
  return pick(
      lambda predicted: label_metrics.METRICS[name](labels, predicted, shares),
      lambda threshold: given(shares, threshold))


def given(shares: np.ndarray, threshold: float | None) -> np.ndarray:
  """Returns [..., labels] bool, whether each of several labels is given.

  Args:
    shares: [..., labels] Probabilities.
    threshold: Probability from which on a label is given; None for one half.
  """
  return shares >= (HALF if threshold is None else threshold)


def predicted_class(shares: np.ndarray, threshold: float | None) -> np.ndarray:
  """Returns [...] the predicted class of probabilities.

  Args:
    shares: [..., classes] Probabilities.
    threshold: Probability from which on the second of two classes is predicted;
      None for the most probable class.
  """
  if threshold is None:
    return shares.argmax(-1)
  return (shares[..., 1] >= threshold).astype(np.int64)
