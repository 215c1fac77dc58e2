"""Dev examples held out of the training examples."""

import numpy as np

_SEED = 0  # Not the run's: runs of all seeds hold out the same examples.


def draw(count: int, share: float) -> tuple[list[int], list[int]]:
  """Draws dev examples with a fixed seed.

  Args:
    count: Number of examples, 2 or more.
    share: Share of them to hold out, between 0 and 1.

  Returns:
    (rows to train on, rows held out), at least one each, in ascending order.
  """
  order = np.random.default_rng(_SEED).permutation(count)
  dev = min(max(1, round(share * count)), count - 1)
  return sorted(order[dev:].tolist()), sorted(order[:dev].tolist())
