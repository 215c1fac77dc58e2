"""Probabilities of the classes of an input, as a mapping over a row."""

from collections.abc import Hashable, Iterator, Mapping
import functools
from typing import Any

import numpy as np


_FEW = 1000  # Classes whose probabilities are a plain dict.


def of(names: tuple[Hashable, ...], shares: np.ndarray) -> Mapping[Any, float]:
  """Returns {class: probability}: a dict, or of many classes a view of the row.

  Args:
    names: Names of the classes.
    shares: [classes] probabilities.
  """
  if len(names) > _FEW:
    return Probabilities(names, shares)
  return dict(zip(names, map(float, shares), strict=True))


class Probabilities(Mapping[Any, float]):
  """{class: probability}, which can be read but not changed.

  A dict of 20,000 classes takes 0.9 MB, a row of them 80 kB: all inputs share
  the names. For JSON, `dict` makes a dict of it. A deep copy is a dict, too, so
  that `dataclasses.asdict` of a prediction holds plain values.
  """

  __slots__ = ('_numbers', '_shares')

  def __init__(self, names: tuple[Hashable, ...], shares: np.ndarray):
    """Initialises.

    Args:
      names: Names of the classes.
      shares: [classes] probabilities.
    """
    self._numbers = _numbers(names)
    self._shares = shares

  def __getitem__(self, name: Any) -> float:
    return float(self._shares[self._numbers[name]])

  def __iter__(self) -> Iterator[Any]:
    return iter(self._numbers)

  def __len__(self) -> int:
    return len(self._numbers)

  def __repr__(self) -> str:
    return repr(dict(self))

  def __deepcopy__(self, memo: Any) -> dict[Any, float]:
    return dict(self)


@functools.lru_cache(maxsize=256)
def _numbers(names: tuple[Hashable, ...]) -> dict[Any, int]:
  """Returns {name: number}, the same object for equal names."""
  return {name: number for number, name in enumerate(names)}
