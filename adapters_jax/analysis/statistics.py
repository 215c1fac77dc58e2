"""Intervals of scores and of their differences, over seeds and over examples.

There are two sources of chance: another seed gives another model, and another
sample of examples another score. Two intervals of 95 % account for them:

- Student's t over the seeds, with n - 1 degrees of freedom; Welch's for a
  difference of methods with other seeds. Exact (nearly, for Welch's) for normal
  scores, but blind to the choice of examples.
- A percentile bootstrap that draws examples and seeds with replacement (Efron
  and Tibshirani, 1993, chapter 13). Every method sees the same draws of
  examples, so differences are paired on them. Few seeds make it too narrow.

`Estimate.low` and `high` are the outer ends of both.
"""

from collections.abc import Callable, Sequence
import dataclasses
import math

import numpy as np

from adapters_jax.analysis import resampling

LEVEL = 0.95  # Probability that an interval covers the true mean.
CONSTANT = -1  # Stands for the seed of a score that depends on no seed.


@dataclasses.dataclass(frozen=True)
class Estimate:
  """A mean with its intervals.

  Attributes:
    mean: Mean over seeds.
    t: (low, high) of Student's t; nan for one seed.
    bootstrap: (low, high) of the bootstrap; nan without predictions.
    seeds: Number of seeds; the smaller one for a difference.
  """
  mean: float
  t: tuple[float, float]
  bootstrap: tuple[float, float]
  seeds: int

  @property
  def low(self) -> float:
    """Lower end of the wider interval; nan for one seed."""
    return _outer(min, self.t[0], self.bootstrap[0])

  @property
  def high(self) -> float:
    """Upper end of the wider interval; nan for one seed."""
    return _outer(max, self.t[1], self.bootstrap[1])

  def times(self, factor: float) -> 'Estimate':
    """Returns a multiple; a negative factor swaps the ends."""
    def ends(pair):
      low, high = sorted(factor * end for end in pair)
      return low, high

    return Estimate(factor * self.mean, ends(self.t), ends(self.bootstrap),
                    self.seeds)


def _outer(choose: Callable[..., float], t: float, bootstrap: float) -> float:
  # nan without t, even with a bootstrap: one seed shows no variation.
  return t if math.isnan(t) or math.isnan(bootstrap) else choose(t, bootstrap)


def t_interval(
    values: Sequence[float] | np.ndarray
) -> tuple[float, float]:
  """Returns Student's interval of a mean, (nan, nan) for one value.

  Args:
    values: [n] Independent values.
  """
  from scipy import stats  # Slow to import.
  values = np.asarray(values, np.float64)
  if len(values) < 2:
    return math.nan, math.nan
  half = (stats.t.ppf((1 + LEVEL) / 2, len(values) - 1)
          * values.std(ddof=1) / math.sqrt(len(values)))
  return float(values.mean() - half), float(values.mean() + half)


def _over_seeds(resampled: np.ndarray, stream: int) -> np.ndarray:
  """Returns [resamples] the mean over seeds drawn with replacement."""
  seeds, count = resampled.shape
  rng = np.random.default_rng([resampling.SEED, stream])
  drawn = rng.integers(seeds, size=(seeds, count))
  return np.take_along_axis(resampled, drawn, 0).mean(0)


def _percentiles(values: np.ndarray) -> tuple[float, float]:
  low, high = np.percentile(values, (50 - 50 * LEVEL, 50 + 50 * LEVEL))
  return float(low), float(high)


def mean_estimate(
    scores: Sequence[float] | np.ndarray, resampled: np.ndarray | None = None
) -> Estimate:
  """Returns the mean of a cell of a table.

  Args:
    scores: [seeds]
    resampled: [seeds, resamples] Result of `resampling.resample`; None without
      predictions.
  """
  scores = np.asarray(scores, np.float64)
  bootstrap = (math.nan, math.nan) if resampled is None else _percentiles(
      _over_seeds(resampled, 1))
  return Estimate(
      float(scores.mean()), t_interval(scores), bootstrap, len(scores))


def welch_interval(
    a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray
) -> tuple[float, float]:
  """Returns Welch's interval of mean(a) - mean(b), with unequal variances.

  Args:
    a: [n] Independent values.
    b: [m] Values that are independent of `a`.

  Returns:
    (low, high), (nan, nan) where a or b has one value.
  """
  from scipy import stats  # Slow to import.
  if min(len(a), len(b)) < 2:
    return math.nan, math.nan
  found = stats.ttest_ind(a, b, equal_var=False)
  if math.isnan(found.df):  # Both are constant.
    return (float(np.mean(a) - np.mean(b)),) * 2
  ends = found.confidence_interval(LEVEL)
  return float(ends.low), float(ends.high)


def _order(resampled: np.ndarray) -> tuple[int, bytes]:
  return len(resampled), resampled.tobytes()


def difference_estimate(
    a: dict[int, float], b: dict[int, float],
    resampled_a: np.ndarray | None = None,
    resampled_b: np.ndarray | None = None,
) -> Estimate:
  """Returns a - b of two methods on the same examples.

  The mean is that over all seeds of a, minus that over all seeds of b. Equal
  seeds share the order of batches, so that if a and b have the same seeds, the
  t interval is that of the paired differences. Otherwise it is Welch's, as an
  interval over the common seeds would belong to another mean.

  Args:
    a: {seed: score}; {CONSTANT: score} without seeds.
    b: The same to subtract.
    resampled_a: [seeds, resamples] Result of `resampling.resample`.
    resampled_b: The same of b, on the same examples.

  Returns:
    The estimate, with the smaller number of seeds, leaving out a constant's.
    The bootstrap draws the seeds of each on their own.
  """
  mean = float(np.mean(list(a.values())) - np.mean(list(b.values())))
  drawn = [scores for scores in (a, b) if set(scores) != {CONSTANT}] or [a]
  if len(drawn) == 1 or set(a) == set(b):
    t = t_interval([a.get(seed, a.get(CONSTANT)) - b.get(seed, b.get(CONSTANT))
                    for seed in drawn[0]])
  else:
    t = welch_interval(list(a.values()), list(b.values()))
  bootstrap = (math.nan, math.nan)
  if resampled_a is not None and resampled_b is not None:
    # Ordered by content, so that b - a has the ends of a - b, negated. The
    # larger has the stream of `mean_estimate`: minus a constant, with its one
    # row, it keeps the interval that it has alone.
    streams = (1, 2) if _order(resampled_a) >= _order(resampled_b) else (2, 1)
    bootstrap = _percentiles(np.subtract(*map(
        _over_seeds, (resampled_a, resampled_b), streams)))
  return Estimate(mean, t, bootstrap, min(map(len, drawn)))
