"""Trees of narrow adapters, padded to the shapes of the widest of a group."""

from typing import Any

import jax
import numpy as np


def widen(tree: Any, like: Any) -> Any:
  """Returns a tree padded with zeros at the end of each axis.

  Args:
    tree: Tree of arrays.
    like: Tree of the shapes to reach.
  """
  def pad(leaf, wide):
    if leaf.shape == wide.shape:  # Such as random keys, which numpy lacks.
      return leaf
    return np.pad(leaf, [
        (0, b - a) for a, b in zip(leaf.shape, wide.shape, strict=True)])

  return jax.tree.map(pad, tree, like)


def narrow(tree: Any, like: Any) -> Any:
  """Undoes `widen`: keeps the first entries of each axis.

  Args:
    tree: Tree of arrays.
    like: Tree of the shapes to keep.
  """
  return jax.tree.map(
      lambda leaf, small: leaf[tuple(map(slice, small.shape))], tree, like)
