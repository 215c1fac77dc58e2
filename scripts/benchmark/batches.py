"""Batches of random words, equal on all sides of a benchmark."""

import functools

import numpy as np

SIZE = 32


@functools.cache
def random_batch(
    length: int, size: int = SIZE, words: tuple[int, int] = (1000, 30000)
) -> dict[str, np.ndarray]:
  """Returns a full batch of two classes without padding.

  Args:
    length: Words of each text.
    size: Number of texts.
    words: Range of the words' ids, the second one excluded.

  Returns:
    'tokens' and 'segments' [size, length] int32, 'mask' [size, length] bool,
    'labels' [size] int32 and 'weights' [size] float32.
  """
  rng = np.random.default_rng(0)
  shape = size, length
  return {'tokens': rng.integers(*words, shape, np.int32),
          'segments': np.zeros(shape, np.int32), 'mask': np.ones(shape, bool),
          'labels': rng.integers(0, 2, size, np.int32),
          'weights': np.ones(size, np.float32)}
