"""Rules that combine the leaves of several adapters into one."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
import dataclasses

import jax
import jax.numpy as jnp

from adapters_jax import errors


@dataclasses.dataclass(frozen=True)
class Combine:
  """A rule that combines the leaves of n adapters into one.

  Attributes:
    how: Name of the rule: 'average', 'linear', 'ties' or 'dare'.
    weights: One weight for each adapter.
    rule: (leaves [n, ...], index of the leaf) -> one leaf [...].
  """
  how: str
  weights: tuple[float, ...]
  rule: Callable[[jax.Array, int], jax.Array]

  def __call__(self, stacked: jax.Array, number: int) -> jax.Array:
    """Combines leaves.

    Args:
      stacked: [n, ...] A leaf of each adapter.
      number: Index of the leaf.

    Returns:
      [...] The combined leaf.

    Raises:
      errors.UserError: the number of weights is not that of the adapters.
    """
    self.check_count(len(stacked))
    return self.rule(stacked, number)

  def check_count(self, count: int) -> None:
    """Raises UserError unless there is a weight for each of the adapters."""
    if len(self.weights) != count:
      raise errors.UserError(
          f'`weights`: there are {len(self.weights)} for {count} adapters')

  def mean(self, stacked: jax.Array) -> jax.Array:
    """Averages leaves [n, ...] to [...], weighted by |weight|."""
    self.check_count(len(stacked))
    sizes = jnp.abs(jnp.asarray(self.weights, jnp.float32))
    return jnp.tensordot(sizes / jnp.sum(sizes), stacked, 1)


def linear(weights: Iterable[float]) -> Combine:
  """Returns the weighted sum, as in task arithmetic (Ilharco et al., 2023)."""
  weights = tuple(weights)
  return Combine('linear', weights, lambda stacked, _: jnp.tensordot(
      jnp.asarray(weights, jnp.float32), stacked, 1))


def average(count: int) -> Combine:
  """Returns the mean of `count` adapters."""
  return dataclasses.replace(linear([1 / count] * count), how='average')


def ties(weights: Iterable[float], density: float) -> Combine:
  """Returns TIES merging: trim, elect signs, average.

  Yadav et al. (2023), algorithm 1, leaf by leaf.

  Args:
    weights: One weight for each adapter.
    density: Share of each leaf's numbers that is kept, the largest ones.

  Raises:
    errors.UserError: the density is not a share.
  """
  weights = tuple(weights)
  _check_density(density)

  def combine(stacked, _):
    flat = stacked.reshape(len(stacked), -1)  # [n, size]
    # At least one number, so that small leaves do not become zero.
    keep = max(1, int(density * flat.shape[1]))
    smallest = jnp.sort(jnp.abs(flat), axis=1)[:, -keep, None]  # [n, 1]
    trimmed = jnp.where(jnp.abs(flat) >= smallest, flat, 0)
    elected = jnp.where(
        jnp.sum(trimmed, axis=0, keepdims=True) >= 0, 1, -1)  # [1, size]
    agree = jnp.sign(trimmed) == elected
    scaled = jnp.asarray(weights, jnp.float32)[:, None] * trimmed
    total = jnp.sum(jnp.where(agree, scaled, 0), axis=0)
    # Where none agrees, the total is 0: 0 / 1, not 0 / 0.
    merged = total / jnp.maximum(
        jnp.sum(agree, axis=0), 1).astype(total.dtype)
    return merged.reshape(stacked.shape[1:])

  return Combine('ties', weights, combine)


def dare(weights: Iterable[float], density: float, key: jax.Array) -> Combine:
  """Returns DARE merging: drop at random, rescale, sum.

  Yu et al. (2024), section 3.2.

  Args:
    weights: One weight for each adapter.
    density: Probability that a number is kept.
    key: Random key of the draw.

  Raises:
    errors.UserError: the density is not a share.
  """
  weights = tuple(weights)
  _check_density(density)
  share = float(density)  # JAX refuses an integer as a probability.

  def combine(stacked, number):
    # One key per leaf: leaves of equal shapes must not drop the same entries.
    kept = jax.random.bernoulli(
        jax.random.fold_in(key, number), share, stacked.shape)
    # Divided by the density, so that the expected value is unchanged.
    return jnp.tensordot(
        jnp.asarray(weights, jnp.float32),
        jnp.where(kept, stacked / share, 0), 1)

  return Combine('dare', weights, combine)


def combination(
    how: str, count: int, weights: Sequence[float] | None, density: float,
    seed: int,
) -> Combine:
  """Returns the rule that combines leaves, by its name.

  Args:
    how: 'average', 'linear', 'ties' or 'dare'.
    count: Number of adapters.
    weights: Weight of each adapter; None for equal ones.
    density: Share of the numbers that 'ties' and 'dare' keep.
    seed: Seed of the random drops of 'dare'.

  Raises:
    errors.UserError: an unknown name, or weights or a density that do not fit.
  """
  if how == 'average' and weights is not None:
    raise errors.UserError("`weights`: an average has none; how='linear' does")
  if weights is None:
    # TIES divides by the number of adapters that agree.
    weights = [1.0 if how == 'ties' else 1 / count] * count
  weights = list(weights)
  if not any(weights):
    raise errors.UserError('`weights`: give one that is not 0')
  # Lambdas, so that only the chosen rule checks its arguments.
  ways = {
      'average': lambda: average(count),
      'linear': lambda: linear(weights),
      'ties': lambda: ties(weights, density),
      'dare': lambda: dare(weights, density, jax.random.key(seed))}
  if how not in ways:
    raise errors.unknown('`how`', how, ways)
  combine = ways[how]()
  combine.check_count(count)
  return combine


def _check_density(density):
  if not 0 < density <= 1:
    raise errors.UserError(
        f'`density={density}`: give a share above 0, up to 1')
