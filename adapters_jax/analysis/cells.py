"""Scores with intervals, their differences, and the power of a task.

All numbers are in the metric's own unit, up to 1.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import functools
import math

import numpy as np

from adapters_jax import errors
from adapters_jax.analysis import mixing
from adapters_jax.analysis import resampling
from adapters_jax.analysis import statistics
from adapters_jax.data import metrics
from adapters_jax.runs import compact
from adapters_jax.runs import records as records_lib

Records = Sequence[records_lib.Record]
_COUNTS = ('correct', 'predicted', 'true')  # See `data.tags.counts`.
# Largest difference between scores that count as equal, a point. Full
# fine-tuning has to beat the floors by more: if all of its effect lies within
# the margin, the floors come within a point of it too, and 'within a point'
# says nothing of a method.
MARGIN = 0.01
# {value of `Config.tune`: baseline that full fine-tuning has to beat}. The
# first with records counts, as sentence embeddings have no head.
FLOORS = {'head': 'the head alone', 'none': 'the base as it is'}


@functools.lru_cache(maxsize=512)
def _resampled(
    metric: str, labels: str, predictions: tuple[str, ...],
    label_count: int = 0,
) -> np.ndarray:
  """Returns `resampling.resample` of packed arrays; '' labels for a mean."""
  found = np.stack([compact.to_array(text) for text in predictions])
  return resampling.resample(
      metric, compact.to_array(labels) if labels else np.zeros(found.shape[1]),
      found, label_count)


@functools.lru_cache(maxsize=512)
def _resampled_counts(
    metric: str, *columns: tuple[str, ...]
) -> np.ndarray:
  """Returns `resampling.resample_counts` of packed arrays."""
  return resampling.resample_counts(metric, *(
      np.stack([compact.to_array(text) for text in column])
      for column in columns))


def _check_same_examples(records: Records, split: str) -> None:
  """Raises UserError if the records differ in the examples of a split."""
  found = {record.data.get(split, {}).get('sha256', '') for record in records}
  labels = {one[name] for record in records
            for one in [record.predictions.get(split, {})]
            for name in ('labels', 'label_sets') if name in one}
  if max(len(found), len(labels)) > 1:
    raise errors.UserError(
        f'records: the {split} examples of runs to compare differ; keep the '
        'records of one data set')


def _draws(
    records: Records, split: str, metric: str
) -> tuple[np.ndarray | None, str]:
  """Returns ([seeds, resamples] or None without predictions, packed labels).

  The labels are those of classes and scores, '' for other kinds.
  """
  kept = [record.predictions.get(split, {}) for record in records]
  if metric in metrics.METRICS and all('predictions' in one for one in kept):
    text = kept[0]['labels']
    return _resampled(
        metric, text, tuple(one['predictions'] for one in kept)), text
  if (f'sets_{metric}' in resampling.OF_SETS
      and all('label_count' in one for one in kept)):
    count, = compact.to_array(kept[0]['label_count'])
    return _resampled(f'sets_{metric}', kept[0]['label_sets'], tuple(
        one['predicted_sets'] for one in kept), int(count)), ''
  if all(metric in one for one in kept):  # A score for each example.
    return _resampled('mean', '', tuple(one[metric] for one in kept)), ''
  # Counts of a tagger: entities, or words in a task without entities.
  if all(set(_COUNTS) <= one.keys() for one in kept) and (
      metric.startswith('entity_') or metric == 'tag_accuracy'
      and 'entity_f1' not in records[0].metrics[split]):
    return _resampled_counts(metric, *(
        tuple(one[name] for one in kept) for name in _COUNTS)), ''
  return None, ''


def _scores(records: Records, split: str, metric: str) -> dict[int, float]:
  """Returns {seed: score}, {CONSTANT: score} of the base as it is.

  Raises:
    errors.UserError: two runs have one seed.
  """
  found: dict[int, records_lib.Record] = {}
  for record in records:
    # Without training, every seed has the same score.
    trained = record.config['tune'] != 'none'
    seed = record.config['seed'] if trained else statistics.CONSTANT
    if trained and seed in found:
      raise mixing.repeated(found[seed], record)
    found[seed] = record
  return {seed: record.metrics[split][metric]
          for seed, record in found.items()}


def estimate(records: Records, split: str, metric: str) -> statistics.Estimate:
  """Returns the mean score of runs that differ in their seed alone.

  Args:
    records: Records of the runs.
    split: Name of the split.
    metric: Name of the metric.

  Raises:
    errors.UserError: the runs have other examples.
  """
  _check_same_examples(records, split)
  scores = list(_scores(records, split, metric).values())
  return statistics.mean_estimate(
      np.array(scores), _draws(records, split, metric)[0])


def difference(
    a: Records, b: Records, split: str, metric: str
) -> statistics.Estimate:
  """Returns the mean score of a minus that of b, paired on the examples.

  Args:
    a: Records of runs that differ in their seed alone.
    b: The same of another method, on the same examples.
    split: Name of the split.
    metric: Name of the metric.

  Raises:
    errors.UserError: a and b have other examples.
  """
  _check_same_examples([*a, *b], split)
  (draws_a, _), (draws_b, _) = (
      _draws(records, split, metric) for records in (a, b))
  return statistics.difference_estimate(
      _scores(a, split, metric), _scores(b, split, metric), draws_a, draws_b)


def above_majority(
    records: Records, split: str, metric: str
) -> statistics.Estimate | None:
  """Returns the mean score minus that of the most frequent class.

  Args:
    records: Records of runs that differ in their seed alone.
    split: Name of the split.
    metric: Name of the metric.

  Returns:
    The difference, on the same draws of examples; the score itself for
    regression, where constant predictions have a correlation of 0. None without
    labels.
  """
  _check_same_examples(records, split)
  draws, labels = _draws(records, split, metric)
  if not labels:
    return None
  values = compact.to_array(labels)
  if values.dtype.kind == 'f':
    return estimate(records, split, metric)
  most = np.full_like(values, np.bincount(values).argmax())
  constant = _resampled(metric, labels, (compact.to_text(most),))
  return statistics.difference_estimate(
      _scores(records, split, metric),
      {statistics.CONSTANT: metrics.METRICS[metric](values, most)}, draws,
      constant)


@dataclasses.dataclass(frozen=True)
class Power:
  """Whether the data of a task suffice to distinguish methods.

  Attributes:
    tells: Whether full fine-tuning is clearly above all floors, by more than
      MARGIN.
    floors: {name of a floor: full fine-tuning minus it}; {} without records.
  """
  tells: bool
  floors: dict[str, statistics.Estimate]

  def __str__(self) -> str:
    if not self.floors:
      return ('no: full fine-tuning, or the head or base to compare it with, '
              'has no records')
    said = ' and '.join(
        f'{_interval(one)} above {name}' for name, one in self.floors.items())
    if self.tells:
      return f'yes: full fine-tuning is {said}'
    if any(math.isnan(one.low) for one in self.floors.values()):
      return f'no: one seed gives no interval; full fine-tuning is {said}'
    return (f'no: full fine-tuning is {said}, not clearly more than '
            f'{100 * MARGIN:g} point')


def _interval(found: statistics.Estimate) -> str:
  if math.isnan(found.low):
    return f'{100 * found.mean:.1f}'.replace('-', '−')
  return f'{100 * found.low:.1f} to {100 * found.high:.1f}'.replace('-', '−')


def power(
    full: Records, floors: Mapping[str, Records], split: str, metric: str
) -> Power:
  """Returns whether a task can distinguish methods.

  If full fine-tuning is not clearly more than MARGIN above the head on frozen
  features (for sentence embeddings, the base as it is), and above a constant,
  methods with scores in between cannot be ranked, and a small difference
  between two of them is no evidence.

  Args:
    full: Records of full fine-tuning, () without.
    floors: {key of FLOORS: records}; () or no key without.
    split: Name of the split.
    metric: Name of the metric.
  """
  floor = next((tune for tune in FLOORS if floors.get(tune)), None)
  if not full or floor is None:
    return Power(False, {})
  found = {FLOORS[floor]: difference(full, floors[floor], split, metric)}
  majority = above_majority(full, split, metric)
  if majority is not None:
    found['the most frequent class'] = majority
  # False for nan, the interval of one seed.
  return Power(all(one.low > MARGIN for one in found.values()), found)
