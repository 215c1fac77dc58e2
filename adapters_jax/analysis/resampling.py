"""Scores on resamples of the examples, many at a time, for the bootstrap.

A resample is a weight for each example, the number of times that it was drawn.
Metrics of weighted examples score a chunk of resamples by matrix products.
"""

from collections.abc import Callable, Iterator
import functools

import numpy as np

from adapters_jax.data import metrics

RESAMPLES = 2000
SEED = 0
_PARTS = ('f1', 'precision', 'recall')
_CHUNK = 100  # Resamples at a time: [examples, chunk] of weights in memory.


def resample(
    metric: str, labels: np.ndarray, predictions: np.ndarray,
    label_count: int = 0,
) -> np.ndarray:
  """Returns the score of every seed on every draw of the examples.

  The draws depend only on the number of examples, so that calls with the same
  labels are paired.

  Args:
    metric: Key of `metrics.METRICS`; 'mean' for the mean of `predictions`; or
      one of OF_SETS for sets of labels, integers whose bit n is the label n.
    labels: [examples]
    predictions: [seeds, examples]
    label_count: Number of labels of which sets consist, those that never occur
      included; 0 for the other metrics.

  Returns:
    [seeds, RESAMPLES]
  """
  score = _WEIGHTED.get(metric)
  if metric in OF_SETS:
    score = functools.partial(_OF_SETS[metric], label_count)
  parts = []
  for drawn in _draws(len(labels)):
    if score is None:
      parts.append(np.array([
          [metrics.METRICS[metric](labels[rows], one[rows]) for rows in drawn]
          for one in predictions]))
      continue
    weights = _weights(drawn)
    parts.append(np.array(
        [score(labels, one, weights) for one in predictions]))
  return np.concatenate(parts, axis=1)


def _draws(count: int) -> Iterator[np.ndarray]:
  """Yields [chunk, examples] int, the examples of some resamples."""
  rng = np.random.default_rng(SEED)
  for _ in range(RESAMPLES // _CHUNK):
    yield rng.integers(count, size=(_CHUNK, count))


def _weights(drawn: np.ndarray) -> np.ndarray:
  """Returns [examples, chunk] how often each example was drawn."""
  chunk, count = drawn.shape
  offsets = count * np.arange(chunk)[:, None]
  weights = np.bincount((drawn + offsets).ravel(), minlength=chunk * count)
  return weights.reshape(chunk, count).T.astype(np.float64)


def resample_counts(
    metric: str, correct: np.ndarray, predicted: np.ndarray, true: np.ndarray
) -> np.ndarray:
  """Returns the score of entities of every seed on every draw of sentences.

  Args:
    metric: 'entity_precision' or 'entity_recall'; F1 for other names, which for
      one tag a word is the accuracy.
    correct: [seeds, sentences] Entities that are predicted and right.
    predicted: [seeds, sentences] Predicted entities.
    true: [seeds, sentences] Entities.

  Returns:
    [seeds, RESAMPLES], 0 where not defined.
  """
  below = {'entity_precision': predicted, 'entity_recall': true}.get(
      metric, (predicted + true) / 2)
  parts = []
  for drawn in _draws(correct.shape[1]):
    weights = _weights(drawn)
    hits, total = correct @ weights, below @ weights  # [seeds, chunk] each
    parts.append(hits / np.where(total > 0, total, 1))
  return np.concatenate(parts, axis=1)


def _one_hot(values: np.ndarray, classes: int) -> np.ndarray:
  """Returns [classes, examples] of 0 and 1 in float64."""
  return (np.arange(classes)[:, None] == values).astype(np.float64)


def _counts(
    labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Returns the margins and the diagonal of every confusion table.

  Args:
    labels: [examples]
    predictions: [examples]
    weights: [examples, resamples]

  Returns:
    (labels, predictions, hits) of each class, [classes, resamples] each.
  """
  classes = int(max(labels.max(), predictions.max(), 1)) + 1
  true, said = _one_hot(labels, classes), _one_hot(predictions, classes)
  return true @ weights, said @ weights, (true * said) @ weights


def _accuracy(labels, predictions, weights):
  return (labels == predictions) @ weights / len(labels)


def _mean(labels, predictions, weights):
  return predictions @ weights / len(labels)


def _of_classes(part, labels, predictions, weights):
  """Returns (score of each class, whether it occurs), [classes, resamples].

  Args:
    part: 'f1', 'precision' or 'recall'.
    labels: [examples]
    predictions: [examples]
    weights: [examples, resamples]
  """
  true, said, hits = _counts(labels, predictions, weights)
  below = {'precision': said, 'recall': true}.get(part, (true + said) / 2)
  # As in scikit-learn with zero_division=0; 0 / 1 where a class is absent.
  return hits / np.where(below > 0, below, 1), true + said > 0


def _binary(part, labels, predictions, weights):
  return _of_classes(part, labels, predictions, weights)[0][1]


def _macro(part, labels, predictions, weights):
  # The mean over the classes that occur in a resample.
  scores, there = _of_classes(part, labels, predictions, weights)
  return scores.sum(0) / there.sum(0)


def _counts_of_labels(count, labels, predictions):
  """Returns (hits, labels plus predictions), [count, examples] each.

  A set of labels is an integer, whose bit n is the label n.
  """
  bits = np.arange(count)[:, None]
  true, said = ((sets >> bits & 1).astype(np.float64)
                for sets in (labels, predictions))
  return true * said, true + said


def _sets_micro_f1(count, labels, predictions, weights):
  # Summed over the labels first: integers, so that no bit depends on the order.
  hits, total = (counts.sum(0) @ weights for counts in _counts_of_labels(
      count, labels, predictions))
  return 2 * hits / np.where(total > 0, total, 1)


def _sets_macro_f1(count, labels, predictions, weights):
  # A label that is absent from a resample counts as 0, as in scikit-learn.
  hits, total = (counts @ weights for counts in _counts_of_labels(
      count, labels, predictions))
  return (2 * hits / np.where(total > 0, total, 1)).mean(0)


def _matthews(labels, predictions, weights):
  # Gorodkin (2004), for any number of classes, from the confusion table.
  true, said, hits = _counts(labels, predictions, weights)
  total = len(labels)
  over = hits.sum(0) * total - (true * said).sum(0)
  under = ((total**2 - (true**2).sum(0)) * (total**2 - (said**2).sum(0)))
  return np.where(under > 0, over / np.sqrt(np.where(under > 0, under, 1)), 0.0)


def _ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
  """Returns [examples, resamples] the mean ranks within each resample."""
  unique, group = np.unique(values, return_inverse=True)
  sizes = np.zeros((len(unique), weights.shape[1]))
  np.add.at(sizes, group, weights)  # Drawn examples of each value.
  return (np.cumsum(sizes, 0) - (sizes - 1) / 2)[group]


def _weighted_correlation(x, y, weights):
  """Returns [resamples] Pearson's correlation, 0 where a side is constant."""
  total = weights.sum(0)
  x = x - (x * weights).sum(0) / total
  y = y - (y * weights).sum(0) / total
  under = (weights * x**2).sum(0) * (weights * y**2).sum(0)
  return np.where(under > 1e-24, (weights * x * y).sum(0)
                  / np.sqrt(np.where(under > 1e-24, under, 1)), 0.0)


def _pearson(labels, predictions, weights):
  return _weighted_correlation(labels[:, None], predictions[:, None], weights)


def _spearman(labels, predictions, weights):
  return _weighted_correlation(
      _ranks(labels, weights), _ranks(predictions, weights), weights)


# {metric: (labels [examples], predictions [examples], weights [examples,
# resamples]) -> [resamples]}. Other metrics are computed draw by draw.
_WEIGHTED: dict[str, Callable[..., np.ndarray]] = {
    'accuracy': _accuracy, 'mean': _mean, 'matthews': _matthews,
    'pearson': _pearson, 'spearman': _spearman,
    **{part: functools.partial(_binary, part) for part in _PARTS},
    **{f'macro_{part}': functools.partial(_macro, part) for part in _PARTS}}
# The same with the number of labels as first argument.
_OF_SETS = {
    'sets_micro_f1': _sets_micro_f1, 'sets_macro_f1': _sets_macro_f1,
    'sets_subset_accuracy': lambda count, *arrays: _accuracy(*arrays)}
OF_SETS = tuple(_OF_SETS)
