"""Length-bucketed batches, a pure function of (seed, epoch, index).

Sentences differ in length, and padding is wasted work. Examples are shuffled,
sorted into a few lengths that fit the data, and cut into batches of exactly
`batch_size`; what is left over in a bucket moves on to the next longer one. So
a task has a handful of shapes (compiles) and little padding, and how many
batches each bucket gives does not depend on the seed.
"""

from collections.abc import Sequence
import dataclasses
import functools

import numpy as np


@dataclasses.dataclass(frozen=True)
class Examples:
  """A tokenised split.

  Attributes:
    tokens: For each example its word pieces, [length] int32.
    segments: For each example 0 or 1 for each piece, [length] int32.
    labels: [examples] int32 classes or float32 scores.
    hidden: For each example [at most length, dim] float32, hidden states that
      batches hold in place of the pieces; None for none.
  """
  tokens: Sequence[np.ndarray]
  segments: Sequence[np.ndarray]
  labels: np.ndarray
  hidden: Sequence[np.ndarray] | None = None

  def __len__(self) -> int:
    return len(self.tokens)

  @functools.cached_property
  def lengths(self) -> np.ndarray:
    """[examples] int64, pieces of each example."""
    return np.array([len(tokens) for tokens in self.tokens], np.int64)


@dataclasses.dataclass(frozen=True)
class Plan:
  """One batch: which examples, padded to which length."""
  rows: np.ndarray  # [at most batch_size] int
  length: int


def bucket_lengths(
    lengths: np.ndarray, buckets: int, multiple: int = 2
) -> tuple[int, ...]:
  """Returns at most `buckets` lengths that minimise the padded tokens.

  Args:
    lengths: [examples] int
    buckets: How many lengths may be used.
    multiple: Every length is a multiple of this.

  Returns:
    Lengths in ascending order, the last one no shorter than any example.
  """
  rounded = -(-np.asarray(lengths) // multiple) * multiple
  values, counts = np.unique(rounded, return_counts=True)
  total = np.concatenate([[0], np.cumsum(counts)])
  # best[i] = (padded tokens, cuts) of the shortest i values, over n buckets.
  best = [(0.0, ())] + [(np.inf, ())] * len(values)
  for _ in range(min(buckets, len(values))):
    step = list(best)
    for end in range(1, len(values) + 1):
      for start in range(end):
        cost = best[start][0] + values[end - 1] * (total[end] - total[start])
        if cost < step[end][0]:
          step[end] = (cost, best[start][1] + (int(values[end - 1]),))
    best = step
  return best[-1][1]


def plan(
    lengths: np.ndarray, buckets: Sequence[int], batch_size: int,
    rng: np.random.Generator | None = None,
    order: np.random.Generator | None = None,
) -> list[Plan]:
  """Returns the batches of one pass over the examples.

  Args:
    lengths: [examples] int
    buckets: Of `bucket_lengths`.
    batch_size: Examples a batch; only the last, longest one may have fewer.
    rng: Shuffles the examples; None keeps their order.
    order: Shuffles the batches; `rng` when None. Runs that share it have the
      same sequence of lengths, and the last batch has the longest for that.
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
    longest = int((lengths if order else lengths[left]).max())
    plans.append(Plan(left, min(b for b in buckets if b >= longest)))
  if rng is None:
    return plans
  return [plans[i] for i in (order or rng).permutation(len(plans))]


def _padded(
    values: Sequence[np.ndarray], rows: np.ndarray, length: int
) -> np.ndarray:
  """Returns values[row] [at most length, ...] for each row, zeros after."""
  shape = len(rows), length, *values[rows[0]].shape[1:]
  out = np.zeros(shape, values[rows[0]].dtype)
  for i, row in enumerate(rows):
    out[i, :len(values[row])] = values[row]
  return out


def make_batch(
    examples: Examples, batch: Plan, batch_size: int,
    local_rows: Sequence[int] | None = None,
) -> dict[str, np.ndarray]:
  """Returns the arrays of a batch, or of a host's part of it.

  Args:
    examples: The split.
    batch: Which of its examples.
    batch_size: Rows of the arrays; those beyond the plan repeat its first
      example with weight 0 and an empty mask.
    local_rows: The rows to make, None for all; `batch` below is their number.

  Returns:
    tokens and segments [batch, length] int32 (or hidden [batch, length, dim]
    float32), mask [batch, length] bool, labels [batch], weights [batch]
    float32.
  """
  filler = batch_size - len(batch.rows)
  rows = np.concatenate([batch.rows, np.repeat(batch.rows[:1], filler)])
  weights = (np.arange(batch_size) < len(batch.rows)).astype(np.float32)
  if local_rows is not None:
    local_rows = np.asarray(local_rows)
    rows, weights = rows[local_rows], weights[local_rows]
  if examples.hidden is None:
    inputs = {'tokens': examples.tokens, 'segments': examples.segments}
  else:
    inputs = {'hidden': examples.hidden}
  return {
      **{name: _padded(values, rows, batch.length)
         for name, values in inputs.items()},
      'mask': np.arange(batch.length) < np.where(
          weights > 0, examples.lengths[rows], 0)[:, None],
      'labels': examples.labels[rows],
      'weights': weights,
  }


@dataclasses.dataclass(frozen=True, eq=False)
class Schedule:
  """The training batches of a run, by step number.

  Attributes:
    examples: The training split.
    buckets: Of `bucket_lengths`.
    batch_size: Examples a batch.
    seed: Of the data order.
    order_seed: Of the sequence of bucket lengths, None for `seed`.
    local_rows: The rows of each batch to make, None for all.
  """
  examples: Examples
  buckets: tuple[int, ...]
  batch_size: int
  seed: int
  order_seed: int | None = None
  local_rows: tuple[int, ...] | None = None

  @functools.cached_property
  def steps_per_epoch(self) -> int:
    """Batches in one pass."""
    return len(plan(self.examples.lengths, self.buckets, self.batch_size))

  @functools.lru_cache(maxsize=2)
  def epoch(self, epoch: int) -> list[Plan]:
    """Returns the batches of an epoch."""
    order = None
    if self.order_seed is not None:
      order = np.random.default_rng([self.order_seed, epoch, 1])
    return plan(self.examples.lengths, self.buckets, self.batch_size,
                np.random.default_rng([self.seed, epoch]), order)

  def at(self, step: int) -> Plan:
    """Returns the plan of a step."""
    epoch, index = divmod(step, self.steps_per_epoch)
    return self.epoch(epoch)[index]

  def batch(self, step: int) -> dict[str, np.ndarray]:
    """Returns the arrays of a step; see `make_batch`."""
    return make_batch(
        self.examples, self.at(step), self.batch_size, self.local_rows)

  def tokens(self, first: int, last: int) -> tuple[int, int]:
    """Returns (padded, real) tokens of the steps in [first, last)."""
    plans = [self.at(step) for step in range(first, last)]
    return (sum(p.length * self.batch_size for p in plans),
            sum(int(self.examples.lengths[p.rows].sum()) for p in plans))


def eval_batches(
    examples: Examples, buckets: Sequence[int], batch_size: int,
    local_rows: Sequence[int] | None = None,
) -> list[tuple[np.ndarray, dict[str, np.ndarray]]]:
  """Returns (rows, batch) pairs that hold every example exactly once.

  With `local_rows` each batch has a host's rows only; see `make_batch`.
  """
  longest = int(examples.lengths.max(initial=0))
  if longest > buckets[-1]:
    buckets = (*buckets, -(-longest // 4) * 4)
  return [(p.rows, make_batch(examples, p, batch_size, local_rows))
          for p in plan(examples.lengths, buckets, batch_size)]
