"""Tokenised examples of a split. No JAX here."""

from collections.abc import Callable, Sequence
import dataclasses
import functools
from typing import Any

import numpy as np

from adapters_jax.data import ragged

IGNORED = -1  # Label of positions that do not count in the loss.


@dataclasses.dataclass(frozen=True)
class Examples:
  """A tokenised split.

  Attributes:
    tokens: [length] int32 for each example, its word pieces.
    segments: [length] int32 for each example, 0 or 1 for each piece.
    labels: [examples] int32 classes or float32 scores; or for labels of every
      position [length] int32 for each example, IGNORED where there is none.
    hidden: [at most length, dim] float32 for each example, precomputed inputs
      of the first trained layer instead of the pieces
      (`training.frozen_cache`); None to batch the pieces.
    labelled: Whether the labels are known.
    columns: Pieces of further texts of each example, each at a length of its
      own, as for the losses of sentence embeddings.
    choices: Number of choices of each example, whose pieces are the rows
      `choices * example` and following of tokens and segments; 0 for examples
      of one row.
  """
  tokens: Sequence[np.ndarray]
  segments: Sequence[np.ndarray]
  labels: Any  # np.ndarray or ragged.Ragged.
  hidden: Sequence[np.ndarray] | None = None
  labelled: bool = True
  columns: tuple[Sequence[np.ndarray], ...] = ()
  choices: int = 0

  def __len__(self) -> int:
    return len(self.tokens) // self.rows_each

  @property
  def rows_each(self) -> int:
    """Number of rows of an example."""
    return self.choices or 1

  @functools.cached_property
  def lengths(self) -> np.ndarray:
    """[examples] int64, number of pieces of each example, or of its longest
    choice."""
    if self.choices:
      return self.row_lengths.reshape(-1, self.choices).max(-1)
    return np.sum(self.column_lengths, axis=0)

  @functools.cached_property
  def column_lengths(self) -> list[np.ndarray]:
    """[examples] int64 for each column of texts, their numbers of pieces."""
    return [column.lengths if isinstance(column, ragged.Ragged) else
            np.array([len(tokens) for tokens in column], np.int64)
            for column in (self.tokens, *self.columns)]

  @functools.cached_property
  def widths(self) -> Callable[[int], tuple[int, ...]]:
    """Function from the length of a batch to the lengths of its columns.

    A column is as long as its longest text among all examples that fit the
    batch length, so that batches of a length have one shape for every seed.
    """
    return functools.lru_cache(maxsize=None)(lambda length: tuple(
        -(-int(one[self.lengths <= length].max(initial=1)) // 2) * 2
        for one in self.column_lengths))

  def padded(self, length: int) -> int:
    """Returns the number of tokens of an example in a batch, with padding.

    Args:
      length: Length of the batch.
    """
    if self.columns:
      return sum(self.widths(length))
    return length * self.rows_each

  @functools.cached_property
  def row_lengths(self) -> np.ndarray:
    """[examples * rows_each] int64, number of pieces of each row."""
    return self.column_lengths[0]

  @functools.cached_property
  def pieces(self) -> np.ndarray:
    """[examples] int64, number of pieces of all rows of each example."""
    if self.choices:
      return self.row_lengths.reshape(-1, self.choices).sum(-1)
    return self.lengths
