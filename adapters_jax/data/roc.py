"""Areas under ROC curves, computed by scikit-learn.

The area is the share of pairs of an example with a label and one without it
that are ranked correctly, which no threshold changes.
"""

import numpy as np

# Of constant scores. It is also the area where all examples have one value,
# which defines none: scikit-learn warns and returns NaN, which no comparison
# picks.
CHANCE = 0.5


def of_labels(labels: np.ndarray, scores: np.ndarray) -> float:
  """Returns the mean area over the labels that have both values.

  Args:
    labels: [examples, labels] 0 or 1.
    scores: [examples, labels] Any increasing function of the probabilities.
  """
  from sklearn import metrics  # Slow to import.
  labels = np.asarray(labels) > 0
  both = labels.any(0) & ~labels.all(0)
  areas = [metrics.roc_auc_score(labels[:, one], scores[:, one])
           for one in np.flatnonzero(both)]
  return float(np.mean(areas)) if areas else CHANCE


def of_classes(labels: np.ndarray, logits: np.ndarray) -> float:
  """Returns the area of the second of two classes, or a mean over the classes.

  The mean is that of each class against the others, over those that occur.

  Args:
    labels: [examples] True classes.
    logits: [examples, classes]
  """
  from scipy import special  # Slow to import, too.
  logits = np.asarray(logits, np.float64)
  if logits.shape[1] == 2:
    # Probabilities near 1 would round to ties.
    return of_labels(labels[:, None] == 1, logits[:, 1:] - logits[:, :1])
  return of_labels(labels[:, None] == np.arange(logits.shape[1]),
                   special.softmax(logits, axis=-1))
