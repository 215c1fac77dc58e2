"""Attention bias by the distance of two tokens, as in MPNet.

The buckets are those of T5 (Raffel et al., 2020, section 2.1) in both
directions: a bucket of its own for every distance below 8, then wider and wider
ones, and the last for distances from 91 on.
"""

import jax
import jax.numpy as jnp
import numpy as np

# Buckets of one direction: 8 of one distance, then one from each of these
# distances on. Literals, because they round 8 * 16**(n / 8) up: a device's
# logarithm can miss the integers among them by one bit.
_FIRST = (8, 12, 16, 23, 32, 46, 64, 91)
BUCKETS = 2 * (8 + len(_FIRST))


def pair_buckets(length: int) -> np.ndarray:
  """Returns the bucket of every pair of tokens.

  Args:
    length: Number of tokens.

  Returns:
    [length, length] int, queries first: 0 to 15 for keys at or before the
    query, 16 more for keys after it.
  """
  positions = np.arange(length)
  ahead = positions[None] - positions[:, None]  # [query, key]
  distance = np.abs(ahead)
  wide = 7 + np.searchsorted(_FIRST, distance, 'right')
  return (np.where(distance < 8, distance, wide)
          + np.where(ahead > 0, BUCKETS // 2, 0))


def bias(table: jax.Array, length: int) -> jax.Array:
  """Returns the addend to the attention scores of each head.

  Args:
    table: [BUCKETS, heads] Learned values.
    length: Number of tokens, those of a prompt included.

  Returns:
    [1, heads, length, length], queries before keys.
  """
  # numpy's index is a constant of the program.
  return jnp.transpose(table[pair_buckets(length)], (2, 0, 1))[None]
