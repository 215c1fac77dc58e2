"""Adapters merged into the base, and with one another."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses

import jax
import jax.numpy as jnp

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import bank as bank_lib
from adapters_jax.methods import places
from adapters_jax.model import families

# (leaves [n, ...] of n adapters, index of the leaf) -> one leaf [...].
Combine = Callable[[jax.Array, int], jax.Array]


def fold(
    base: trees.Tree, adapter: adapter_lib.Adapter
) -> tuple[trees.Tree, trees.Tree]:
  """Folds methods of linear layers into a base, where they cost nothing.

  Where a method scales outputs, the bias is scaled too. (AdapterHub leaves it
  alone, so that a merged IA3 or DoRA computes something else.)

  Args:
    base: Pretrained tree.
    adapter: Adapter of LoRA, DoRA, VeRA or IA3.

  Returns:
    (folded, replaced): the base with the adapter in it, norms and head
    included, for a model without adapters; and the leaves of the base that were
    replaced, for `unfold`.

  Raises:
    errors.UserError: a method that is not a change of weights.
  """
  for config in adapter.methods:
    if not config.folds:
      raise errors.UserError(
          f'{type(config).__name__} cannot be folded into the base: it is not '
          'a change of weights')
  flat = trees.flatten(base)
  tuned = trees.flatten(adapter.tuned)
  changed = {path: leaf for path, leaf in tuned.items()
             if trees.role(path) not in ('adapter', 'fixed')}
  for layer in sorted({trees.layer_of(path) for path in flat} - {None}):
    for site, module in families.LINEARS.items():
      stem = module.format(layer)
      kernel, bias = f'{stem}/kernel', f'{stem}/bias'
      if any(config.applies(site, layer) for config in adapter.methods):
        # Updates are linear: a bias that a family lacks stays zero.
        start = flat.get(bias)
        changed[kernel], moved = _adapted(
            flat[kernel],
            jnp.zeros(flat[kernel].shape[-1:]) if start is None else start,
            adapter.methods, tuned, layer, site)
        if start is not None:
          changed[bias] = moved
  replaced = {path: flat[path] for path in changed if path in flat}
  return (trees.overlay(base, trees.unflatten(changed)),
          trees.unflatten(replaced))


def unfold(folded: trees.Tree, replaced: trees.Tree) -> trees.Tree:
  """Returns the base as it was before `fold`, bit-equal; a head stays.

  Args:
    folded: First result of `fold`.
    replaced: Second result of `fold`.
  """
  return trees.overlay(folded, replaced)


def _adapted(kernel, bias, configs, tuned, layer, site):
  """Returns (kernel, bias) of one linear layer with all methods in them."""
  start = kernel, bias
  # Scales of inputs go last: updates read the scaled inputs too.
  for kind in ('linear', 'input'):
    for index, config in enumerate(configs):
      if config.kind == kind and config.applies(site, layer):
        own = _below(tuned, places.linear_path(site, layer, index))
        shared = _below(tuned, f'encoder/adapter_shared_{index}')
        kernel, bias = config.fold(kernel, bias, start, own, shared)
  return kernel, bias


def _below(flat, module):
  """Returns {path below the module: leaf} of its leaves."""
  return {path.removeprefix(f'{module}/'): leaf for path, leaf in flat.items()
          if path.startswith(f'{module}/')}


def linear(weights: Iterable[float]) -> Combine:
  """Returns the weighted sum, as in task arithmetic."""
  weights = jnp.asarray(list(weights))
  return lambda stacked, _: jnp.tensordot(weights, stacked, 1)


def average(count: int) -> Combine:
  """Returns the mean of `count` adapters."""
  return linear([1 / count] * count)


def ties(weights: Iterable[float], density: float) -> Combine:
  """Returns TIES merging: trim, elect signs, average.

  Yadav et al. (2023), algorithm 1, leaf by leaf.

  Args:
    weights: One weight for each adapter.
    density: Share of each leaf's numbers that is kept, the largest ones.

  Raises:
    errors.UserError: the density is not a share.
  """
  weights = jnp.asarray(list(weights))
  _check_density(density)

  def combine(stacked, _):
    flat = stacked.reshape(len(stacked), -1)  # [n, size]
    # At least one number: small leaves would become zero.
    keep = max(1, int(density * flat.shape[1]))
    smallest = jnp.sort(jnp.abs(flat), axis=1)[:, -keep, None]  # [n, 1]
    trimmed = jnp.where(jnp.abs(flat) >= smallest, flat, 0)
    elected = jnp.where(jnp.sum(trimmed, axis=0) >= 0, 1, -1)
    agree = jnp.sign(trimmed) == elected
    total = jnp.sum(jnp.where(agree, weights[:, None] * trimmed, 0), axis=0)
    # Where none agrees, the total is 0: 0 / 1, not 0 / 0.
    merged = total / jnp.maximum(jnp.sum(agree, axis=0), 1)
    return merged.reshape(stacked.shape[1:])

  return combine


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
  weights = jnp.asarray(list(weights))
  _check_density(density)

  def combine(stacked, number):
    # A key for each leaf: leaves of equal shapes must not drop alike.
    kept = jax.random.bernoulli(
        jax.random.fold_in(key, number), density, stacked.shape)
    # Divided by the density, so that the expected value is unchanged.
    return jnp.tensordot(weights, jnp.where(kept, stacked / density, 0), 1)

  return combine


def combination(
    how: str, count: int, weights: Sequence[float] | None, density: float,
    seed: int,
) -> Combine:
  """Returns the function that combines leaves, by its name.

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
  if len(weights) != count:
    raise errors.UserError(
        f'`weights`: there are {len(weights)} for {count} adapters')
  # Lambdas: only the chosen way checks its arguments.
  ways = {
      'average': lambda: average(count),
      'linear': lambda: linear(weights),
      'ties': lambda: ties(weights, density),
      'dare': lambda: dare(weights, density, jax.random.key(seed))}
  if how not in ways:
    raise errors.unknown('`how`', how, ways)
  return ways[how]()


def _check_density(density):
  if not 0 < density <= 1:
    raise errors.UserError(
        f'`density={density}`: give a share above 0, up to 1')


def merge(
    bank: Mapping[str, adapter_lib.Adapter], names: Iterable[str],
    combine: Combine, base: trees.Tree,
) -> adapter_lib.Adapter:
  """Merges adapters of the same method into one, leaf by leaf.

  Leaves that the base has (norms) are combined as differences from it.

  Args:
    bank: Adapters by name.
    names: Names of the adapters to merge.
    combine: Result of `average`, `linear`, `ties` or `dare`.
    base: Pretrained tree.

  Returns:
    The first adapter with the merged tree.

  Raises:
    errors.UserError: an unknown name, or adapters of different methods.
  """
  first, stacked = bank_lib.stack(bank, names)
  return dataclasses.replace(first, tuned=_combined(stacked, combine, base))


def _combined(stacked, combine, base):
  start = trees.flatten(base)
  merged = {}
  # Paths are sorted: equal trees give a leaf the same number, and DARE the same
  # draw.
  for number, (path, leaf) in enumerate(trees.flatten(stacked).items()):
    if trees.role(path) == 'fixed':
      if not (leaf == leaf[0]).all():
        raise errors.UserError(
            f'adapters with different untrained weights ({path}), drawn from '
            'different seeds, cannot be merged')
      merged[path] = leaf[0]
    elif trees.role(path) == 'statistics':
      merged[path] = leaf.mean(0)  # A variance that stays positive.
    elif path in start:
      merged[path] = start[path] + combine(leaf - start[path], number)
    else:
      merged[path] = combine(leaf, number)
  return trees.unflatten(merged)


def merge_products(
    bank: Mapping[str, adapter_lib.Adapter], names: Iterable[str],
    combine: Combine, base: trees.Tree, rank: int,
) -> adapter_lib.Adapter:
  """Merges LoRAs by their updates instead of their factors.

  The combined scale * a @ b of each layer is cut to the rank by a singular
  value decomposition; the result has a scale of 1. (AdapterHub keeps alpha, so
  that its merge is off by alpha / rank.)

  Args:
    bank: Adapters by name; their ranks may differ.
    names: Names of the adapters to merge.
    combine: Result of `average`, `linear`, `ties` or `dare`.
    base: Pretrained tree.
    rank: Rank of the result.

  Returns:
    The first adapter with the merged tree, of the new rank.

  Raises:
    errors.UserError: an unknown name, an adapter that is not plain LoRA, or a
      rank that no kernel has.
  """
  plain = {name: _as_products(bank_lib.find(bank, name)) for name in names}
  first, stacked = bank_lib.stack(plain, plain)
  config, leaves = first.methods[0].from_products(
      trees.flatten(_combined(stacked, combine, base)), rank)
  return dataclasses.replace(
      first, methods=(config,), tuned=trees.unflatten(leaves))


def _as_products(adapter):
  """Returns an adapter with products instead of factors."""
  if len(adapter.methods) != 1:
    raise errors.UserError('a merge of products is for adapters of one method')
  config, leaves = adapter.methods[0].to_products(trees.flatten(adapter.tuned))
  return dataclasses.replace(
      adapter, methods=(config,), tuned=trees.unflatten(leaves))
