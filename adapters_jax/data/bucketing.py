"""Lengths of batches, and the examples of each batch of a pass.

Examples are distributed over a few lengths that fit the data, and cut into
batches of exactly `batch_size`; the remainder of a bucket goes to the next
longer one. The number of batches of each length does not depend on the seed.

An example with several columns of texts, such as a pair, has a length in each,
and so has its batch: a pair of a short and a long text is padded less among
pairs of this kind than among others with as many tokens.
"""

from collections.abc import Sequence
import dataclasses
from typing import Any

import numpy as np

# An int, the tokens that the texts of a batch are padded to; with several
# columns of texts a tuple of ints, one for each.
Length = Any
_CELLS = 512  # Largest number of lengths to choose from for several columns.


@dataclasses.dataclass(frozen=True)
class Plan:
  """The examples of one batch and the length to pad them to."""
  rows: np.ndarray  # [at most batch_size] int
  length: Length


def bucket_lengths(
    lengths: np.ndarray, buckets: int, multiple: int = 2
) -> tuple[Length, ...]:
  """Chooses the lengths with the fewest tokens after padding.

  With several columns the search is a heuristic, and may miss the best.

  Args:
    lengths: [examples] int, in tokens; [examples, columns] int with several
      columns of texts.
    buckets: Largest number of lengths.
    multiple: Common divisor of all lengths, in tokens.

  Returns:
    Lengths in ascending order, of their sums with several columns; the last
    no shorter than any example.
  """
  lengths = np.asarray(lengths)
  find = _line if lengths.ndim == 1 else _grid
  return tuple(find(lengths, buckets, multiple))


def _line(
    lengths: np.ndarray, buckets: int, multiple: int
) -> Sequence[int]:
  """Returns `bucket_lengths` of one column."""
  rounded = -(-lengths // multiple) * multiple
  values, counts = np.unique(rounded, return_counts=True)
  total = np.concatenate([[0], np.cumsum(counts)])
  # Dynamic programming: after n rounds, costs[i] is the number of tokens after
  # padding of the shortest i values in at most n buckets, of lengths chosen[i].
  costs = np.array([0.0] + [np.inf] * len(values))
  chosen: list[tuple[int, ...]] = [()] * len(costs)
  for _ in range(min(buckets, len(values))):
    before, lengths_before = costs.copy(), list(chosen)
    for end, longest in enumerate(values, 1):
      found = before[:end] + longest * (total[end] - total[:end])
      start = int(found.argmin())  # The first of equal minima.
      if found[start] < before[end]:
        costs[end] = found[start]
        chosen[end] = (*lengths_before[start], int(longest))
  return chosen[-1]


def _grid(
    lengths: np.ndarray, buckets: int, multiple: int
) -> list[tuple[int, ...]]:
  """Returns `bucket_lengths` of several columns.

  Each column has a few lengths, the best for it alone, and every combination of
  them is a candidate. Starting from the longest, it adds the candidate that
  saves most, then replaces chosen ones as long as this saves tokens.
  """
  each = max(1, round(_CELLS ** (1 / lengths.shape[1])))
  axes = [_line(column, each, multiple) for column in lengths.T]
  candidates = np.stack(
      np.meshgrid(*axes, indexing='ij'), -1).reshape(-1, len(axes))
  # Examples that need the same lengths count as one.
  needed, counts = np.unique(np.stack(
      [np.array(axis)[np.searchsorted(axis, column)]
       for axis, column in zip(axes, lengths.T, strict=True)], -1),
      axis=0, return_counts=True)
  fits = (needed[:, None] <= candidates).all(-1)
  padded = np.where(fits, candidates.sum(-1), np.inf)  # [needed, candidates]

  def best_beside(others):
    """Returns (padded tokens, candidate), the best one to add to others."""
    least = padded[:, others].min(1, initial=np.inf)
    totals = counts @ np.minimum(least[:, None], padded)
    return totals.min(), int(totals.argmin())

  chosen = [len(candidates) - 1]  # Every example fits the last.
  tokens = counts @ padded[:, -1]
  while len(chosen) < buckets:
    found, candidate = best_beside(chosen)
    if found >= tokens:
      break
    tokens = found
    chosen.append(candidate)
  improves = True
  while improves:
    improves = False
    for at in range(1, len(chosen)):
      found, candidate = best_beside(chosen[:at] + chosen[at + 1:])
      if found < tokens:
        tokens, chosen[at], improves = found, candidate, True
  return sorted((tuple(map(int, candidates[one])) for one in chosen),
                key=lambda length: (sum(length), length))


def _fitting(
    lengths: np.ndarray, buckets: Sequence[Length]
) -> np.ndarray:
  """Returns [examples] int, the first bucket that each example fits.

  Args:
    lengths: As for `bucket_lengths`.
    buckets: From `bucket_lengths`.
  """
  if lengths.ndim == 1:
    return np.searchsorted(buckets, lengths)
  fits = (lengths[:, None] <= np.array(buckets)).all(-1)
  return fits.argmax(1)


def plan(
    lengths: np.ndarray, buckets: Sequence[Length], batch_size: int,
    rng: np.random.Generator | None = None,
    order: np.random.Generator | None = None,
) -> list[Plan]:
  """Plans one pass over the examples.

  Args:
    lengths: As for `bucket_lengths`.
    buckets: Lengths from `bucket_lengths`.
    batch_size: Examples of a batch; one batch may have fewer.
    rng: Generator that shuffles the examples; None keeps their order and sorts
      the batches by length.
    order: Generator that shuffles the batches. Runs that share its seed have
      the same sequence of lengths.

  Returns:
    Plans that hold every example exactly once.

  Raises:
    ValueError: an example is longer than the last bucket.
  """
  if len(lengths) and (lengths.max(0) > np.array(buckets[-1])).any():
    raise ValueError(f'an example is longer than all of {[*buckets]}')
  shuffled = (np.arange(len(lengths)) if rng is None
              else rng.permutation(len(lengths)))
  bucket_of = _fitting(lengths[shuffled], buckets)
  plans = []
  left = [np.zeros(0, shuffled.dtype) for _ in buckets]
  for bucket, length in enumerate(buckets):
    rows = np.concatenate([left[bucket], shuffled[bucket_of == bucket]])
    whole = len(rows) // batch_size * batch_size
    plans += [Plan(rows[start:start + batch_size], length)
              for start in range(0, whole, batch_size)]
    left[bucket] = rows[whole:]
    if bucket + 1 < len(buckets):  # The last one takes all that is left.
      after = bucket + 1 + int(_fitting(
          np.array([length]), buckets[bucket + 1:])[0])
      left[after] = np.concatenate([left[after], left[bucket]])
  if len(left[-1]):
    # In training the partial batch has the longest length of all, as the length
    # of its own examples would depend on the seed.
    rest = lengths if order else lengths[left[-1]]
    plans.append(Plan(
        left[-1], buckets[int(_fitting(rest.max(0)[None], buckets)[0])]))
  if order is None:
    return plans
  return [plans[i] for i in order.permutation(len(plans))]
