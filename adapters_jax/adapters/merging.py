"""Adapters merged into the base, and with one another."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses

import jax
import jax.numpy as jnp

from adapters_jax.adapters import adapter as adapter_lib

from adapters_jax.adapters import bank as bank_lib
from adapters_jax import errors
from adapters_jax.methods import ia3
from adapters_jax.methods import lora
from adapters_jax.methods import vera
from adapters_jax import trees

# Leaves [n, ...] of n adapters -> one leaf [...]; the number is the leaf's own.
Combine = Callable[[jax.Array, int], jax.Array]

_MODULES = {
    'query': 'attention/query', 'key': 'attention/key',
    'value': 'attention/value', 'attention_output': 'attention/output',
    'intermediate': 'ffn_intermediate', 'ffn_output': 'ffn_output'}


def fold(
    base: trees.Tree, adapter: adapter_lib.Adapter
) -> tuple[trees.Tree, trees.Tree]:
  """Puts a method of linear layers into a base, which then costs no more.

  Biases are scaled along where the method scales outputs (in the `adapters`
  library they are not, so that a merged IA3 or DoRA computes something else).

  Args:
    base: The pretrained tree.
    adapter: Of LoRA, DoRA, VeRA or IA3.

  Returns:
    (folded, replaced): the base with the adapter in it, its norms and head
    included, for a model without adapters; and the leaves of the base that were
    replaced, for `unfold`.

  Raises:
    options.UserError: a method that is not a change of weights.
  """
  for config in adapter.methods:
    if config.kind not in ('linear', 'input') or config.needs_all_rows:
      raise errors.UserError(
          f'{type(config).__name__} cannot be folded into the base: it is not '
          'a change of weights')
  flat = trees.flatten(base)
  tuned = trees.flatten(adapter.tuned)
  changed = {path: leaf for path, leaf in tuned.items()
             if trees.role(path) not in ('adapter', 'fixed')}
  for layer in sorted({trees.layer_of(path) for path in flat} - {None}):
    for site, module in _MODULES.items():
      kernel, bias = (f'encoder/layer_{layer}/{module}/{leaf}'
                      for leaf in ('kernel', 'bias'))
      if any(config.applies(site, layer) for config in adapter.methods):
        changed[kernel], changed[bias] = _adapted(
            flat[kernel], flat[bias], adapter.methods, tuned, layer, site)
  replaced = {path: flat[path] for path in changed if path in flat}
  return (trees.overlay(base, trees.unflatten(changed)),
          trees.unflatten(replaced))


def unfold(folded: trees.Tree, replaced: trees.Tree) -> trees.Tree:
  """Returns the base as it was before `fold`, exactly; a head stays."""
  return trees.overlay(folded, replaced)


def _adapted(kernel, bias, configs, tuned, layer, site):
  """Returns (kernel, bias) of one linear layer with all methods in them."""
  start = kernel, bias
  inner = _MODULES[site].rpartition('/')[0]
  place = f'encoder/layer_{layer}/{inner}/'.replace('//', '/')
  # What scales inputs goes last: updates read the scaled inputs too.
  for kind in ('linear', 'input'):
    for index, config in enumerate(configs):
      if config.kind == kind and config.applies(site, layer):
        kernel, bias = _folded(
            config, kernel, bias, start,
            _below(tuned, f'{place}adapter_{site}_{index}/'),
            _below(tuned, f'encoder/adapter_shared_{index}/'))
  return kernel, bias


def _below(flat, start):
  """Returns the leaves whose path has a beginning, without it."""
  return {path.removeprefix(start): leaf for path, leaf in flat.items()
          if path.startswith(start)}


def _folded(config, kernel, bias, start, own, shared):
  """Returns (kernel, bias) of one linear layer with one method in them.

  A DoRA takes the norms, and the bias that it leaves alone, of the base: the
  `start`, whatever other methods have been put into kernel and bias.
  """
  if isinstance(config, ia3.IA3):
    scale = config.alpha * own['scale']
    if config.kind == 'input':
      return kernel * scale[:, None], bias
    return kernel * scale, bias * scale
  if isinstance(config, vera.VeRA):
    inputs, outputs = kernel.shape
    d, b = (own[name] if config.dense else jnp.diag(own[name])
            for name in ('d', 'b'))
    delta = shared['fixed_a'][:inputs] @ d @ shared['fixed_b'][:, :outputs] @ b
    return kernel + config.alpha / config.r * delta, bias
  updated = kernel + config.scale * (own['a'] @ own['b'])
  if not config.dora:
    return updated, bias
  ratio = own['magnitude'] / lora.updated_norm(
      config, start[0], own['a'], own['b'])
  kept = 0.0 if config.dora == 'adapters' else start[1]
  return updated * ratio, (bias - kept) * ratio + kept


def linear(weights: Iterable[float]) -> Combine:
  """Returns the weighted sum: an average, or task arithmetic."""
  weights = jnp.asarray(list(weights))
  return lambda stacked, _: jnp.tensordot(weights, stacked, 1)


def average(count: int) -> Combine:
  """Returns the mean of so many adapters."""
  return linear([1 / count] * count)


def ties(weights: Iterable[float], density: float) -> Combine:
  """Returns TIES merging (Yadav et al., 2023): trim, elect signs, average.

  Args:
    weights: One an adapter.
    density: Share of each leaf's numbers that is kept, the largest ones.
  """
  weights = jnp.asarray(list(weights))
  _check_density(density)

  def combine(stacked, _):
    flat = stacked.reshape(len(stacked), -1)
    keep = max(1, int(density * flat.shape[1]))
    smallest = jnp.sort(jnp.abs(flat), axis=1)[:, -keep, None]
    trimmed = jnp.where(jnp.abs(flat) >= smallest, flat, 0)
    elected = jnp.where(jnp.sum(trimmed, axis=0) >= 0, 1, -1)
    agree = jnp.sign(trimmed) == elected
    total = jnp.sum(jnp.where(agree, weights[:, None] * trimmed, 0), axis=0)
    merged = total / jnp.maximum(jnp.sum(agree, axis=0), 1)
    return merged.reshape(stacked.shape[1:])

  return combine


def dare(weights: Iterable[float], density: float, key: jax.Array) -> Combine:
  """Returns DARE merging (Yu et al., 2024): drop at random, rescale, sum.

  Args:
    weights: One an adapter.
    density: The probability that a number is kept.
    key: Of the draw.
  """
  weights = jnp.asarray(list(weights))
  _check_density(density)

  def combine(stacked, number):
    kept = jax.random.bernoulli(
        jax.random.fold_in(key, number), density, stacked.shape)
    return jnp.tensordot(weights, jnp.where(kept, stacked / density, 0), 1)

  return combine


def _check_density(density):
  if not 0 < density <= 1:
    raise errors.UserError(f'density={density}: give a share above 0, up to 1')


def merge(
    bank: Mapping[str, adapter_lib.Adapter], names: Iterable[str],
    combine: Combine, base: trees.Tree,
) -> adapter_lib.Adapter:
  """Returns one adapter made of several of the same method, leaf by leaf.

  Leaves that the base has (norms) are combined as differences from it.

  Args:
    bank: The adapters.
    names: Which to merge.
    combine: `average`, `linear`, `ties` or `dare`.
    base: The pretrained tree.

  Raises:
    options.UserError: an unknown name, or adapters of different methods.
  """
  first, stacked = bank_lib.stack(bank, names)
  return dataclasses.replace(first, tuned=_combined(stacked, combine, base))


def _combined(stacked, combine, base):
  start = trees.flatten(base)
  merged = {}
  for number, (path, leaf) in enumerate(trees.flatten(stacked).items()):
    if trees.role(path) == 'fixed':
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
  """Returns one LoRA made of several: of their updates, not their factors.

  The combined scale * a @ b of each layer is cut to the rank by a singular
  value decomposition; the result has a scale of 1. (The `adapters` library
  keeps alpha, so that its merge is off by alpha / rank.)

  Args:
    bank: The adapters; their ranks may differ.
    names: Which to merge.
    combine: `average`, `linear`, `ties` or `dare`.
    base: The pretrained tree.
    rank: Of the result.

  Raises:
    options.UserError: an unknown name, one that is not plain LoRA, or a rank
      that no kernel has.
  """
  plain = {name: _as_products(bank_lib.find(bank, name)) for name in names}
  first, stacked = bank_lib.stack(plain, plain)
  flat = trees.flatten(_combined(stacked, combine, base))
  for path in [path for path in flat if path.endswith('/product')]:
    if not 1 <= rank <= min(flat[path].shape):
      raise errors.UserError(
          f'rank={rank}: give 1 to {min(flat[path].shape)}, the rank that a '
          'kernel can have')
    u, s, v = jnp.linalg.svd(flat.pop(path), full_matrices=False)
    stem = path.removesuffix('product')
    root = jnp.sqrt(s[:rank])
    flat[f'{stem}a'], flat[f'{stem}b'] = u[:, :rank] * root, (
        root[:, None] * v[:rank])
  config = dataclasses.replace(
      first.methods[0], r=rank, alpha=rank, rank_stabilized=False)
  return dataclasses.replace(
      first, methods=(config,), tuned=trees.unflatten(flat))


def _as_products(adapter):
  """Returns a LoRA with 'product', scale * a @ b, in place of its factors.

  Its config says nothing of the rank, so that adapters of any ranks stack.
  """
  config = adapter.methods[0] if len(adapter.methods) == 1 else None
  if not isinstance(config, lora.LoRA) or config.dora or config.use_gating:
    raise errors.UserError(
        'a merge of products is for LoRA without a gate and magnitudes')
  flat = trees.flatten(adapter.tuned)
  for path in [path for path in flat if path.endswith('/a')]:
    stem = path.removesuffix('a')
    flat[f'{stem}product'] = config.scale * (
        flat.pop(path) @ flat.pop(f'{stem}b'))
  plain = dataclasses.replace(config, r=1, alpha=1, rank_stabilized=False)
  return dataclasses.replace(
      adapter, methods=(plain,), tuned=trees.unflatten(flat))
