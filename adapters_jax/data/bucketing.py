"""Lengths of batches, and the examples of each batch of a pass.

Examples are distributed over a few lengths that fit the data, and cut into
batches of exactly `batch_size`; the remainder of a bucket goes to the next
longer one. The number of batches of each length does not depend on the seed.
"""

from collections.abc import Sequence
import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Plan:
  """The examples of one batch and the length to pad them to."""
  rows: np.ndarray  # [at most batch_size] int
  length: int


def bucket_lengths(
    lengths: np.ndarray, buckets: int, multiple: int = 2
) -> tuple[int, ...]:
  """Chooses the lengths with the fewest tokens after padding.

  Args:
    lengths: [examples] int, in tokens.
    buckets: Largest number of lengths.
    multiple: Common divisor of all lengths, in tokens.

  Returns:
    Lengths in ascending order, the last no shorter than any example.
  """
  rounded = -(-np.asarray(lengths) // multiple) * multiple
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


def plan(
    lengths: np.ndarray, buckets: Sequence[int], batch_size: int,
    rng: np.random.Generator | None = None,
    order: np.random.Generator | None = None,
) -> list[Plan]:
  """Plans one pass over the examples.

  Args:
    lengths: [examples] int, in tokens.
    buckets: Lengths from `bucket_lengths`.
    batch_size: Examples of a batch; one batch may have fewer.
    rng: Generator that shuffles the examples; None keeps their order and sorts
      the batches by length.
    order: Generator that shuffles the batches. Runs that share its seed have
      the same sequence of lengths.

  Returns:
    Plans that hold every example exactly once.
  """
  shuffled = (np.arange(len(lengths)) if rng is None
              else rng.permutation(len(lengths)))
  bucket_of = np.searchsorted(buckets, lengths[shuffled])
  plans, left = [], np.zeros(0, shuffled.dtype)
  for bucket, length in enumerate(buckets):
    rows = np.concatenate([left, shuffled[bucket_of == bucket]])
    whole = len(rows) // batch_size * batch_size
    plans += [Plan(rows[start:start + batch_size], length)
              for start in range(0, whole, batch_size)]
    left = rows[whole:]
  if len(left):
    # In training the partial batch has the longest length of all, as the length
    # of its own examples would depend on the seed.
    longest = int((lengths if order else lengths[left]).max())
    plans.append(Plan(left, min(b for b in buckets if b >= longest)))
  if order is None:
    return plans
  return [plans[i] for i in order.permutation(len(plans))]
