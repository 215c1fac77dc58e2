"""Thresholds: probabilities from which on a label is predicted."""

from collections.abc import Callable, Hashable

import numpy as np

DEV = 'dev'  # The setting that picks a threshold on dev.
HALF = 0.5
# Near one half first, so that it wins a tie: all predictions may be alike.
_CANDIDATES = sorted(
    (number / 100 for number in range(1, 100)), key=lambda t: abs(t - HALF))


def pick(
    score_at: Callable[[float], float],
    predicted_at: Callable[[float], Hashable],
) -> float:
  """Returns the threshold of the highest score, in steps of 0.01.

  Args:
    score_at: (threshold) -> score; larger is better.
    predicted_at: (threshold) -> predictions. Thresholds with equal predictions
      share a score, as a metric over many labels is slow to compute.
  """
  scores: dict[Hashable, float] = {}

  def score(threshold):
    predicted = predicted_at(threshold)
    if predicted not in scores:
      scores[predicted] = score_at(threshold)
    return scores[predicted]

  return max(_CANDIDATES, key=score)  # The first of equal ones.


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
