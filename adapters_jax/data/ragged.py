"""Rows of different lengths in one flat array."""

from collections.abc import Sequence
import dataclasses
from typing import Any, Self

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Ragged(Sequence):
  """A sequence of int32 rows.

  Separate small arrays would take 100 bytes each on top of their numbers: for
  several hundred thousand examples that is more than the tokens take.

  Attributes:
    flat: [total] Integers of all rows, one row after another.
    offsets: [rows + 1] int64, the first index of each row, and the total.
  """
  flat: np.ndarray
  offsets: np.ndarray

  @classmethod
  def join(cls, parts: Sequence[np.ndarray], lengths: Sequence[int]) -> Self:
    """Returns rows from the parts of their flat array.

    Args:
      parts: [any] Integers of all rows, in parts of any sizes.
      lengths: Length of each row.
    """
    return cls(
        np.concatenate(parts) if parts else np.zeros(0, np.int32),
        np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]))

  def __len__(self) -> int:
    return len(self.offsets) - 1

  def __getitem__(self, row: Any) -> Any:
    """Returns a row, [length] int32, or the list of rows of a slice."""
    found = range(len(self))[row]  # Negative numbers and slices too.
    if isinstance(found, range):
      return [self[one] for one in found]
    first, last = self.offsets[found:found + 2]
    return self.flat[first:last].astype(np.int32, copy=False)

  @property
  def lengths(self) -> np.ndarray:
    """[rows] int64, number of integers of each row."""
    return np.diff(self.offsets)
