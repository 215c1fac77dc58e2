"""Merges adapters of one method into one.

For methods that are changes of the base's weights (LoRA, IA3, fine-tuned
leaves), `linear` sums these changes. All other rules, and all other methods,
combine parameters. TIES and DARE, which drop small or random parts of a change,
combine differences from the values of `changes.Change.start`.
"""

from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses
import logging
import math

import jax.numpy as jnp
import numpy as np

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import bank as bank_lib
from adapters_jax.adapters import member_checks
from adapters_jax.adapters import merge_rules
from adapters_jax.methods import places
from adapters_jax.model import families
from adapters_jax.model import fusion

_log = logging.getLogger(__name__)


def merge(
    bank: Mapping[str, adapter_lib.Adapter], names: Iterable[str],
    combine: merge_rules.Combine, base: trees.Tree,
) -> adapter_lib.Adapter:
  """Merges adapters of the same method into one.

  - Leaves that the base has (norms, fine-tuned weights) are combined as
    differences from it.
  - Heads have no common start: they become the mean, weighted by |weight|. The
    classes take the order of the first adapter. The tanh layer of a head is
    part of it if the base has no pooler, and else a change of that pooler.
  - `linear` sums the updates of LoRA exactly, so that the ranks add up, and the
    changes of IA3's scales.
  - All other leaves are combined one by one, which keeps the rank of LoRA. With
    'ties' and 'dare', leaves that start at other values than 0, such as scales,
    are combined as differences from these.

  Args:
    bank: Adapters by name.
    names: Names of the adapters to merge.
    combine: Result of a function of `merge_rules`.
    base: Pretrained tree.

  Returns:
    The first adapter with the merged tree, and the largest `max_length`.

  Raises:
    errors.UserError: an unknown name, adapters of different methods, classes or
      numbers of texts, or weights that do not fit them.
  """
  names = list(names)
  bank = _aligned(bank, names)
  first, stacked = bank_lib.stack(bank, names)
  combine.check_count(len(names))
  leaves, merged = trees.flatten(stacked), {}
  configs = list(first.methods)
  for index, config in enumerate(configs):
    if combine.how == 'linear' and config.sums:
      own = {path: leaf for path, leaf in leaves.items()
             if trees.method_of(path) == index}
      configs[index], found = config.weighted_sum(own, combine.weights)
      merged |= found
      leaves = {path: leaf for path, leaf in leaves.items() if path not in own}
    else:
      _check_mean(combine, config)
  start = trees.flatten(base)
  if combine.how in ('ties', 'dare'):  # The weights of the others sum to 1.
    start |= _starts(first.methods, leaves, start)
  return dataclasses.replace(
      first, methods=tuple(configs), tuned=_tree(
          merged | _combined(leaves, combine, start)))


def threshold_of(
    bank: Mapping[str, adapter_lib.Adapter]
) -> float | None:
  """Returns the threshold if all adapters agree on it; else logs, and None.

  Args:
    bank: Adapters of the same classes, perhaps in another order. The merged
      adapter has that of the first.
  """
  first, *others = bank.values()
  found = {name: _turned(adapter, first) for name, adapter in bank.items()}
  if all(_agree(first.threshold, value) for value in found.values()):
    return first.threshold
  # That of several labels holds for each of them, in any order.
  second = (f' for {first.labels[1]!r}' if not first.head.multilabel and any(
      adapter.labels != first.labels for adapter in others) else '')
  _log.warning(
      'the adapters have several thresholds%s (%s), and the merged one has '
      'none; set one with dataclasses.replace(adapter, threshold=...)', second,
      ', '.join(f'{name!r}: {value}' for name, value in found.items()))
  return None


def _turned(adapter, first):
  """Returns an adapter's threshold for the second class of the first one."""
  if (adapter.threshold is None or adapter.head.multilabel
      or adapter.labels != first.labels[::-1] or len(adapter.labels) != 2):
    return adapter.threshold
  return round(1 - adapter.threshold, 12)  # 1 - 0.9 is 0.1.


def _agree(one, other):
  """Returns whether two thresholds are equal up to rounding."""
  if one is None or other is None:
    return one is other
  return math.isclose(one, other, abs_tol=1e-9)


def _check_mean(combine, config):
  """Raises UserError for weights that do not average parameters."""
  # TIES itself divides by the number of adapters.
  wanted = len(combine.weights) if combine.how == 'ties' else 1
  if abs(sum(combine.weights) - wanted) > 1e-3:
    raise errors.UserError(
        f'`weights`: with how={combine.how!r} those of {type(config).__name__} '
        f'must sum to {wanted}; its parameters are combined, and a parameter '
        'times -1 or 0.5 does not negate or halve an adapter. LoRA takes any '
        "weights with how='linear' or a `rank`")


def _aligned(bank, names):
  """Returns {name: adapter} with one order of classes, base and max_length."""
  found = {name: bank_lib.find(bank, name) for name in names}
  if differ := member_checks.difference(found):
    raise errors.UserError(f'{differ}; merge adapters that agree in it')
  if not found:
    return {}
  first, aligned = found[names[0]], {}
  # From any adapter with a base: the order of the bank must not matter.
  known = next((one for one in found.values() if one.base), first)
  longest = max(adapter.max_length for adapter in found.values())
  for name, adapter in found.items():
    adapter = aligned[name] = dataclasses.replace(
        adapter, base=known.base, base_files=known.base_files,
        max_length=longest)
    if adapter.outputs is None or adapter.labels == first.labels:
      continue
    if sorted(adapter.labels) != sorted(first.labels):
      raise errors.UserError(
          f'adapter {name!r} has the classes {adapter.labels}, {names[0]!r} '
          f'has {first.labels}; merge adapters of the same classes')
    number = {label: at for at, label in enumerate(adapter.labels)}
    order = jnp.asarray([number[label] for label in first.labels])
    # The last axis of kernel and bias is that of the classes.
    head = {leaf: value[..., order]
            for leaf, value in adapter.tuned['head'].items()}
    aligned[name] = dataclasses.replace(
        adapter, labels=first.labels, tuned={**adapter.tuned, 'head': head})
  return aligned


def _starts(configs, leaves, base):
  """Returns {path: value} of which the adapters' leaves [n, ...] are changes.

  Leaves that are changes of 0 are absent.
  """
  found = {}
  for path, leaf in leaves.items():
    if trees.role(path) != 'adapter':
      continue
    shape = leaf.shape[1:]
    if trees.is_fusion(path):
      value = fusion.start(path, shape)
    else:
      place = places.parse_name(path)
      module = families.LINEARS.get(place.site, '').format(place.layer)
      value = configs[place.index].start(
          place.leaf, shape, base.get(f'{module}/kernel'))
    if np.any(value):
      found[path] = jnp.broadcast_to(value, shape)
  return found


def _combined(leaves, combine, start):
  """Returns {path: leaf}, combined one by one.

  Args:
    leaves: {path: [n, ...]} Leaves of n adapters.
    combine: Result of a function of `merge_rules`.
    start: {path: value} of which leaves are changes, if it is not 0.
  """
  merged = {}
  # Paths are sorted, so a leaf always has the same number, and DARE's draw is
  # reproducible.
  for number, (path, leaf) in enumerate(leaves.items()):
    if trees.role(path) == 'fixed':
      if not (leaf == leaf[0]).all():
        raise errors.UserError(
            f'adapters with different untrained weights ({path}), drawn from '
            'different seeds, cannot be merged')
      merged[path] = leaf[0]
    elif trees.role(path) == 'statistics':
      merged[path] = leaf.mean(0)  # Keeps variances positive.
    # A tanh layer of the head, where the base has no pooler.
    elif trees.role(path) == 'head' or (
        trees.is_above(path) and path not in start):
      merged[path] = combine.mean(leaf)
    elif path in start:
      merged[path] = start[path] + combine(leaf - start[path][None], number)
    else:
      merged[path] = combine(leaf, number)
  return merged


def merge_products(
    bank: Mapping[str, adapter_lib.Adapter], names: Iterable[str],
    combine: merge_rules.Combine, base: trees.Tree, rank: int,
) -> adapter_lib.Adapter:
  """Merges LoRAs by their updates instead of their factors.

  The combined scale * a @ b of each layer is truncated to the rank by a
  singular value decomposition; the result has a scale of 1. (AdapterHub keeps
  alpha, so that its merge is off by alpha / rank.)

  Args:
    bank: Adapters by name; their ranks may differ.
    names: Names of the adapters to merge.
    combine: Result of a function of `merge_rules`.
    base: Pretrained tree.
    rank: Rank of the result.

  Returns:
    The first adapter with the merged tree, of the new rank.

  Raises:
    errors.UserError: an unknown name, an adapter that is not plain LoRA, other
      classes, or a rank that no kernel has.
  """
  names = list(names)
  plain = {name: _as_products(adapter)
           for name, adapter in _aligned(bank, names).items()}
  first, stacked = bank_lib.stack(plain, names)
  combine.check_count(len(names))
  config, leaves = first.methods[0].from_products(_combined(
      trees.flatten(stacked), combine, trees.flatten(base)), rank)
  return dataclasses.replace(
      first, methods=(config,), tuned=_tree(leaves))


def _tree(leaves):
  """Returns a float32 tree, as adapters are saved, even with 64-bit JAX."""
  return trees.unflatten({
      path: leaf.astype(jnp.float32) for path, leaf in leaves.items()})


def _as_products(adapter):
  """Returns a LoRA adapter with products a @ b in place of its factors."""
  if len(adapter.methods) != 1:
    raise errors.UserError(
        '`rank`: a merge of products is for adapters of one method')
  config, leaves = adapter.methods[0].to_products(trees.flatten(adapter.tuned))
  return dataclasses.replace(
      adapter, methods=(config,), tuned=trees.unflatten(leaves))
