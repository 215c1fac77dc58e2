"""Tokenised examples of a split. No JAX here."""

from collections.abc import Sequence
import dataclasses
import functools
from typing import Any

import numpy as np

from adapters_jax.data import bucketing
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
    """Lengths of batches that fit each example.

    [examples] int64, number of pieces of each example, or of its longest
    choice; [examples, columns] int64 with further texts.
    """
    if self.choices:
      return self.row_lengths.reshape(-1, self.choices).max(-1)
    if self.columns:
      return np.stack(self.column_lengths, axis=-1)
    return self.row_lengths

  @functools.cached_property
  def column_lengths(self) -> list[np.ndarray]:
    """[examples] int64 for each column of texts, their numbers of pieces."""
    return [column.lengths if isinstance(column, ragged.Ragged) else
            np.array([len(tokens) for tokens in column], np.int64)
            for column in (self.tokens, *self.columns)]

  def padded(self, length: bucketing.Length) -> int:
    """Returns the number of tokens of an example in a batch, with padding.

    Args:
      length: Length of the batch.
    """
    if isinstance(length, tuple):
      return sum(length)
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
    return np.sum(self.column_lengths, axis=0)
