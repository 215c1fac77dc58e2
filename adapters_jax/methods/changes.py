"""Interface of a trained method as a change of the base.

Folding adds the change to the base's weights, merging combines the changes of
several adapters, and switching off takes it away.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax

from adapters_jax import errors


class Change:
  """Members of a method that read trained leaves; the defaults have no effect.

  Hooks that an attribute announces, such as `fold` by `folds`, are for methods
  that set it, and raise NotImplementedError here.

  Attributes:
    folds: Whether the method is a change of weights and biases that `fold` can
      add to the base.
    sums: Whether `weighted_sum` can sum such changes of several adapters.
  """
  # No annotations: class attributes, which a method may turn into properties.
  folds = False
  sums = False

  def fold(
      self, kernel: jax.Array, bias: jax.Array,
      start: tuple[jax.Array, jax.Array], own: Mapping[str, jax.Array],
      shared: Mapping[str, jax.Array],
  ) -> tuple[jax.Array, jax.Array]:
    """Returns ([in, out] kernel, [out] bias) of a layer, with the method added.

    Args:
      kernel: [in, out] Kernel, with the adapter's earlier methods added.
      bias: [out] Bias, with the adapter's earlier methods added.
      start: Kernel and bias of the base.
      own: Leaves of the method at this site.
      shared: Leaves that all sites of the method share.
    """
    raise NotImplementedError

  def weighted_sum(
      self, leaves: Mapping[str, jax.Array], weights: Sequence[float]
  ) -> tuple[Any, dict[str, jax.Array]]:
    """Returns (method, leaves) of a weighted sum of changes of weights.

    Args:
      leaves: {path: [n, ...]} Leaves of n adapters of this method.
      weights: Weight of each adapter.
    """
    raise NotImplementedError

  def start(
      self, name: str, shape: tuple[int, ...], kernel: jax.Array | None
  ) -> Any:
    """Returns the value of which a trained leaf is a change.

    The value of a fresh adapter, if it is not random; 0 for all other leaves.

    Args:
      name: Path of the leaf below its module.
      shape: Shape of the leaf.
      kernel: [in, out] Kernel of the base at a linear site, None elsewhere.

    Returns:
      A number, or an array of the shape.
    """
    del name, shape, kernel
    return 0.0

  def neutral(
      self, leaves: Mapping[str, Any]
  ) -> dict[str, Any] | None:
    """Returns the leaves of a module with which it changes nothing.

    Args:
      leaves: {path: leaf} of the module at one site, of numpy.

    Returns:
      {path: leaf} of the same shapes, or None where no leaves have this effect.
    """
    del leaves
    return None

  def to_products(
      self, leaves: Mapping[str, jax.Array]
  ) -> tuple[Any, dict[str, jax.Array]]:
    """Returns (method, leaves) with products instead of low-rank factors.

    Args:
      leaves: {path: leaf} of an adapter.

    Raises:
      errors.UserError: the update is not a product of two factors.
    """
    del leaves
    raise errors.UserError(
        '`rank`: a merge of products is for LoRA without a gate and '
        'magnitudes')

  def from_products(
      self, leaves: Mapping[str, jax.Array], rank: int
  ) -> tuple[Any, dict[str, jax.Array]]:
    """Returns (method, leaves) with the best low-rank factors.

    Args:
      leaves: {path: leaf}, a result of `to_products`.
      rank: Rank of the factors.

    Raises:
      errors.UserError: no kernel has that rank.
    """
    raise NotImplementedError
