"""Dev and test examples held out of the training examples."""

import numpy as np

SHARE = 0.1  # For dev, where a caller in Python gives none.
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


def split(
    count: int, dev: float, test: float = 0.0
) -> tuple[list[int], list[int], list[int]]:
  """Draws dev and test examples with a fixed seed.

  Args:
    count: Number of examples.
    dev: Share of them to hold out as dev, between 0 and 1.
    test: Share of them to hold out as test; 0 for none.

  Returns:
    (rows to train on, rows of dev, rows of test), in ascending order. Those of
    dev are the ones that `draw` holds out.
  """
  kept, held = draw(count, dev)
  if not test:
    return kept, held, []
  # Shares are of all examples. At least one is left to train on.
  rest, drawn = draw(len(kept), test * count / len(kept))
  return [kept[row] for row in rest], held, [kept[row] for row in drawn]
