"""Length-bucketed batches, a pure function of (seed, epoch, index).

Padding is wasted work, and every new shape is compiled, so examples are
shuffled and then batched by length (`bucketing`). A change of the batches needs
a new version of all numbers (`runs/version.py`).
"""

from collections.abc import Callable, Iterator, Sequence
import dataclasses
import functools

import numpy as np

from adapters_jax import errors
from adapters_jax.data import bucketing
from adapters_jax.data import examples as examples_lib
from adapters_jax.data import ragged

_ORDER_SEED = 0  # Seed of the sequence of batch lengths, for all runs.


def _padded(
    values: Sequence[np.ndarray], rows: np.ndarray, length: int, fill: int = 0
) -> np.ndarray:
  """Stacks arrays of different lengths, padded at their ends.

  Args:
    values: [at most length, ...] for each example.
    rows: [rows] int, the examples to stack.
    length: Common length.
    fill: Number to pad with.

  Returns:
    [rows, length, ...]

  Raises:
    errors.UserError: an array is longer.
  """
  shape = len(rows), length, *values[rows[0]].shape[1:]
  out = np.full(shape, fill, values[rows[0]].dtype)
  for i, row in enumerate(rows):
    if len(values[row]) > length:
      raise errors.UserError(
          f'`batch`: row {row} has {len(values[row])} tokens, and the length '
          f'of the plan is {length}; give a plan of at least '
          f'{len(values[row])}')
    out[i, :len(values[row])] = values[row]
  return out


def make_batch(
    examples: examples_lib.Examples, batch: bucketing.Plan, batch_size: int,
    local_rows: Sequence[int] | None = None,
    class_weights: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
  """Makes the arrays of a batch, or of the rows that one host needs.

  Args:
    examples: The split.
    batch: Plan of the batch.
    batch_size: Number of rows. Those beyond the plan are filler: they repeat
      its first example with weight 0 and an empty mask.
    local_rows: Rows to make, in this order; None for all.
    class_weights: [classes] float32, factor of the weight of each example of a
      class, or of each of several labels; None for equal ones.

  Returns:
    tokens and segments [rows, length] int32 (or hidden [rows, length, dim]
    float32), mask [rows, length] bool, labels [rows], weights [rows] float32.
    For labels of every position, labels are [rows, length] and a weight is the
    number of labels, so that the weighted mean of the examples' means is the
    mean over positions. With choices, tokens, segments and mask are [rows,
    choices, length].

  Raises:
    errors.UserError: a plan of more rows than `batch_size`, of one that the
      split does not have, or of one that is longer; or labels of another
      number than the examples.
  """
  if len(batch.rows) > batch_size:
    raise errors.UserError(
        f'`batch_size={batch_size}`: the plan has {len(batch.rows)} rows; give '
        'at least as many')
  if (largest := max(batch.rows)) >= len(examples):
    raise errors.UserError(
        f'`batch`: there is no row {largest}; there are {len(examples)} '
        'examples, numbered from 0')
  if len(examples.labels) != len(examples):
    raise errors.UserError(
        f'`labels`: there are {len(examples.labels)} for {len(examples)} '
        'examples')
  # Filler gives all batches of a length one shape, so that the last one of an
  # epoch does not compile another program.
  filler = batch_size - len(batch.rows)
  rows = np.concatenate([batch.rows, np.repeat(batch.rows[:1], filler)])
  weights = (np.arange(batch_size) < len(batch.rows)).astype(np.float32)
  if local_rows is not None:
    local_rows = np.asarray(local_rows)
    rows, weights = rows[local_rows], weights[local_rows]
  inputs = _columns if examples.columns else _inputs
  return {**inputs(examples, rows, weights > 0, batch.length),
          **_labels(examples, rows, weights, batch.length, class_weights)}


def _labels(
    examples: examples_lib.Examples, rows: np.ndarray, weights: np.ndarray,
    length: int, class_weights: np.ndarray | None,
) -> dict[str, np.ndarray]:
  """Returns the labels and weights of a batch.

  Args:
    examples: The split.
    rows: [rows] int, the examples.
    weights: [rows] float32, 0 for filler, else 1.
    length: Length of the batch.
    class_weights: As for `make_batch`.
  """
  if isinstance(examples.labels, ragged.Ragged):
    labels = _padded(examples.labels, rows, length, examples_lib.IGNORED)
    counted = labels != examples_lib.IGNORED
    weights = weights * counted.sum(axis=1, dtype=np.float32)
    return {'labels': labels, 'weights': weights}
  labels = examples.labels[rows]
  if class_weights is not None:
    if labels.ndim == 2:  # Several labels: weights of their positive terms.
      labels = labels * class_weights
    else:
      weights = weights * class_weights[labels]
  return {'labels': labels, 'weights': weights}


def _inputs(
    examples: examples_lib.Examples, rows: np.ndarray, real: np.ndarray,
    length: int,
) -> dict[str, np.ndarray]:
  """Returns the inputs of examples with one text or pair, or with choices.

  Args:
    examples: The split.
    rows: [rows] int, the examples.
    real: [rows] bool, False for filler.
    length: Length of the batch.

  Returns:
    tokens, segments (or hidden) and mask of `make_batch`.
  """
  if examples.hidden is None:
    inputs = {'tokens': examples.tokens, 'segments': examples.segments}
  else:
    inputs = {'hidden': examples.hidden}
  each, shape = rows, (len(rows),)
  if examples.choices:
    shape = len(rows), examples.choices
    each = (rows[:, None] * examples.choices
            + np.arange(examples.choices)).reshape(-1)
    real = np.repeat(real, examples.choices)
  mask = np.arange(length) < np.where(
      real, examples.row_lengths[each], 0)[:, None]
  arrays = {name: _padded(values, each, length)
            for name, values in inputs.items()} | {'mask': mask}
  return {name: array.reshape(*shape, *array.shape[1:])
          for name, array in arrays.items()}


def _columns(
    examples: examples_lib.Examples, rows: np.ndarray, real: np.ndarray,
    length: tuple[int, ...],
) -> dict[str, np.ndarray]:
  """Returns the inputs of examples with several texts.

  Args:
    examples: The split.
    rows: [rows] int, the examples.
    real: [rows] bool, False for filler.
    length: Length of each column of the batch.

  Returns:
    tokens, segments, mask of the first text, and tokens_1, ... of the others,
    each [rows, length of the column].
  """
  found = {}
  for number, (column, width) in enumerate(zip(
      (examples.tokens, *examples.columns), length, strict=True)):
    end = f'_{number}' if number else ''
    tokens = _padded(column, rows, width)
    found |= {
        f'tokens{end}': tokens, f'segments{end}': np.zeros_like(tokens),
        f'mask{end}': np.arange(width) < np.where(
            real, examples.column_lengths[number][rows], 0)[:, None]}
  return found


@dataclasses.dataclass(frozen=True, eq=False)
class Schedule:
  """The training batches of a run, by step number.

  Batches can be requested in any order, so a resumed run needs no state of the
  data.

  Attributes:
    examples: The training split.
    buckets: Lengths from `bucketing.bucket_lengths`.
    batch_size: Examples of a batch.
    seed: Seed of the examples' order; the sequence of lengths is the same for
      all seeds, because a vmapped group trains all of its runs at a step.
    local_rows: Rows of each batch to make; None for all.
    class_weights: [classes] float32, see `make_batch`; None for equal ones.
  """
  examples: examples_lib.Examples
  buckets: tuple[bucketing.Length, ...]
  batch_size: int
  seed: int
  local_rows: tuple[int, ...] | None = None
  class_weights: np.ndarray | None = None

  @functools.cached_property
  def steps_per_epoch(self) -> int:
    """Number of batches of one pass over the examples."""
    return len(bucketing.plan(
        self.examples.lengths, self.buckets, self.batch_size))

  @functools.cached_property
  def epoch(self) -> Callable[[int], list[bucketing.Plan]]:
    """Function from the number of an epoch to the plans of its batches."""
    # One cache per schedule: the runs of a group take turns, and would evict
    # each other's plans from a shared one. Planning at every step took 5.1 ms
    # for 8 runs. It holds two epochs, since `tokens` spans their border.
    return functools.lru_cache(maxsize=2)(self._plan_epoch)

  def _plan_epoch(self, epoch: int) -> list[bucketing.Plan]:
    """Plans an epoch."""
    return bucketing.plan(
        self.examples.lengths, self.buckets, self.batch_size,
        np.random.default_rng([self.seed, epoch]),
        np.random.default_rng([_ORDER_SEED, epoch, 1]))

  def at(self, step: int) -> bucketing.Plan:
    """Returns the plan of a step, counted from 0 over all epochs."""
    epoch, index = divmod(step, self.steps_per_epoch)
    return self.epoch(epoch)[index]

  def batch(self, step: int) -> dict[str, np.ndarray]:
    """Returns the arrays of a step; see `make_batch`."""
    return make_batch(
        self.examples, self.at(step), self.batch_size, self.local_rows,
        self.class_weights)

  def tokens(self, first: int, last: int) -> tuple[int, int]:
    """Counts the tokens of a range of steps.

    Args:
      first: First step.
      last: Step after the last.

    Returns:
      (tokens with padding and filler, tokens of the examples)
    """
    padded = real = 0
    pieces = self.examples.pieces
    for step in range(first, last):  # One plan at a time, of millions.
      plan = self.at(step)
      padded += self.examples.padded(plan.length)
      real += int(pieces[plan.rows].sum())
    return self.batch_size * padded, real


def eval_batches(
    examples: examples_lib.Examples, buckets: Sequence[int], batch_size: int,
    local_rows: Sequence[int] | None = None, *, multiple: int = 4,
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
  """Yields the batches that predict a whole split.

  Args:
    examples: The split, without further columns of texts.
    buckets: Lengths from `bucketing.bucket_lengths`, of the training split:
      evaluation then compiles few shapes. One more is added for longer
      examples.
    batch_size: Number of rows of a batch.
    local_rows: Rows of each batch to make; None for all.
    multiple: Divisor of the added length.

  Yields:
    (rows, batch) pairs that hold every example exactly once: row i of a batch
    is example rows[i], and further rows are filler.
  """
  longest = int(examples.lengths.max(initial=0))
  if longest > buckets[-1]:
    buckets = (*buckets, -(-longest // multiple) * multiple)
  for plan in bucketing.plan(examples.lengths, buckets, batch_size):
    yield plan.rows, make_batch(examples, plan, batch_size, local_rows)
