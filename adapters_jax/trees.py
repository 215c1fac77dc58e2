"""Parameter trees as plain nested dicts, and the operations on them.

The path of a leaf joins its keys by '/', as in
'encoder/layer_0/ffn_norm/scale'. A `tuned` tree is a partial tree with the
paths of the whole one, so that one operation, `overlay`, adds an adapter,
replaces fine-tuned leaves and loads a checkpoint. All functions except `stack`,
`take`, `equal` and `check_finite` only rearrange dicts: inside a jitted
function they run at trace time and cost nothing afterwards.
"""

from collections.abc import Callable, Iterable, Mapping
import math
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adapters_jax import errors

Tree = dict[str, Any]  # Nested dicts with arrays (or shapes) as leaves.

ROLES = ('adapter', 'fixed', 'statistics', 'norm', 'head', 'encoder')
# Parts of an adapter without a gradient: 'fixed' leaves are drawn at random
# once (VeRA's projections), 'statistics' are running moments of the training
# batches (layers.batch_norm).
UNTRAINED = ('fixed', 'statistics')

# Prefixes of paths outside of layers whose leaves act from the lowest layer on:
# embeddings, and tables of distances, which all layers share.
BELOW = ('embeddings/', 'encoder/relative_')

_LISTED = 8  # Paths per kind of problem in an error message.


def flatten(tree: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
  """Flattens a tree into a dict of paths.

  Args:
    tree: Nested dicts.
    prefix: Path of `tree` in a larger tree, '' for a whole tree.

  Returns:
    {path: leaf}, sorted by the keys of each level.
  """
  flat = {}
  for key in sorted(tree):
    path = f'{prefix}/{key}' if prefix else key
    value = tree[key]
    if isinstance(value, Mapping):
      flat.update(flatten(value, path))
    else:
      flat[path] = value
  return flat


def unflatten(flat: Mapping[str, Any]) -> Tree:
  """Returns nested dicts from {path: leaf}; the inverse of `flatten`.

  Raises:
    errors.UserError: a path is a leaf and the start of another path.
  """
  tree: Tree = {}
  for path, leaf in flat.items():
    *parents, name = path.split('/')
    node = tree
    for parent in parents:
      node = node.setdefault(parent, {})
      if not isinstance(node, dict):
        break
    if not isinstance(node, dict) or isinstance(node.get(name), dict):
      raise errors.UserError(f'{path}: a part of the path is a leaf too')
    node[name] = leaf
  return tree


def plain(tree: Mapping[str, Any]) -> Tree:
  """Returns a tree, such as a FrozenDict, as nested dicts with its leaves."""
  return {key: plain(value) if isinstance(value, Mapping) else value
          for key, value in tree.items()}


def split(
    tree: Mapping[str, Any], select: Callable[[str], bool]
) -> tuple[Tree, Tree]:
  """Splits a tree into two partial trees.

  Args:
    tree: The whole tree.
    select: (path) -> whether the leaf belongs in the first tree.

  Returns:
    (selected leaves, other leaves), each with the paths of `tree`.
  """
  flat = flatten(tree)
  selected = {path: leaf for path, leaf in flat.items() if select(path)}
  rest = {path: leaf for path, leaf in flat.items() if path not in selected}
  return unflatten(selected), unflatten(rest)


def overlay(base: Mapping[str, Any], tuned: Mapping[str, Any]) -> Tree:
  """Adds the leaves of one tree to another, replacing those of equal path.

  Args:
    base: The tree below, left unchanged.
    tuned: The partial tree on top.

  Returns:
    New dicts that share the leaves of both arguments. A step that donates the
    result would therefore delete the leaves of the arguments.

  Raises:
    ValueError: a path is a leaf in one tree and a subtree in the other.
  """
  merged = dict(base)
  for key, value in tuned.items():
    below = merged.get(key)
    # Replacing it silently would drop a whole subtree.
    if below is not None and (
        isinstance(below, Mapping) != isinstance(value, Mapping)):
      raise ValueError(
          f'{key} is a leaf in one tree and a subtree in the other')
    if isinstance(value, Mapping):
      merged[key] = overlay(below or {}, value)
    else:
      merged[key] = value
  return merged


def stack(trees: Iterable[Tree]) -> Tree:
  """Stacks n trees of equal shapes into one with leaves [n, ...]."""
  return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def take(stacked: Tree, index: jax.Array | int) -> Tree:
  """Picks entries of a stacked tree.

  Args:
    stacked: Leaves [n, ...], as `stack` returns them.
    index: [...] Integers in [0, n), of any shape.

  Returns:
    Leaves [*index.shape, ...].
  """
  return jax.tree.map(lambda leaf: leaf[index], stacked)


def rename(tree: Mapping[str, Any], name: Callable[[str], str]) -> Tree:
  """Returns a tree with renamed paths.

  Args:
    tree: The tree, left unchanged.
    name: (path) -> new path.

  Raises:
    ValueError: two leaves would have the same path.
  """
  flat = flatten(tree)
  renamed = {name(path): leaf for path, leaf in flat.items()}
  if len(renamed) != len(flat):
    raise ValueError('two paths were given the same name')
  return unflatten(renamed)


def equal(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
  """Returns whether two trees have the same paths, shapes and numbers."""
  one, other = flatten(one), flatten(other)
  return one.keys() == other.keys() and all(
      np.array_equal(leaf, other[path]) for path, leaf in one.items())


def count(tree: Mapping[str, Any]) -> int:
  """Returns the number of parameters of a tree of arrays or shapes."""
  return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def count_trained(tuned: Mapping[str, Any]) -> int:
  """Returns the number of parameters of a tuned tree that gradients change."""
  return count(split(tuned, lambda path: role(path) not in UNTRAINED)[0])


def role(path: str) -> str:
  """Returns the role of a leaf by its path, one of ROLES."""
  names = path.split('/')
  # Adapters come first: an adapter's own layer norm has 'norm' in its path too.
  if any(name.startswith('adapter') for name in names):
    if names[-1].startswith('running_'):
      return 'statistics'
    return 'fixed' if names[-1].startswith('fixed_') else 'adapter'
  if is_head(path):
    return 'head'
  if any(name == 'norm' or name.endswith('_norm') for name in names):
    return 'norm'
  return 'encoder'


def is_head(path: str) -> bool:
  """Returns whether a leaf or part belongs to a task's head.

  The last linear layer is the part 'head'; names of others start with 'head_'.

  Args:
    path: Path of the leaf, or name of a part of the whole tree.
  """
  part = path.split('/')[0]
  return part == 'head' or part.startswith('head_')


def is_above(path: str) -> bool:
  """Returns whether a leaf or part is above the encoder: a head or the pooler.

  Args:
    path: Path of the leaf, or name of a part of the whole tree.
  """
  # The pooler may be the base's or a task's.
  return is_head(path) or path.split('/')[0] == 'pooler'


def is_fusion(path: str) -> bool:
  """Returns whether a leaf is one of AdapterFusion's attention."""
  return '/adapter_fusion_' in f'/{path}'


def method_of(path: str) -> int | None:
  """Returns the index of an adapter leaf's method, None for other leaves."""
  found = re.search(r'(?:^|/)adapter_[a-z_]+_(\d+)(?:/|$)', path)
  return int(found.group(1)) if found and not is_fusion(path) else None


def layer_of(path: str) -> int | None:
  """Returns the index of a leaf's Transformer layer, None outside layers."""
  found = re.search(r'(?:^|/)layer_(\d+)/', path)
  return int(found.group(1)) if found else None


def map_with_path(fn: Callable[[str, Any], Any], tree: Any) -> Any:
  """Returns a tree with every leaf replaced.

  Unlike `flatten`, it skips the placeholders in optax's masked trees.

  Args:
    fn: (path, leaf) -> new leaf.
    tree: The tree, left unchanged.
  """
  return jax.tree_util.tree_map_with_path(
      lambda keys, leaf: fn('/'.join(str(key.key) for key in keys), leaf), tree)


def check_finite(tree: Mapping[str, Any], what: str) -> None:
  """Checks that a tree has finite numbers only.

  Args:
    tree: Leaves [...] of numpy.
    what: Name of `tree`; starts the message.

  Raises:
    errors.UserError: lists the paths of leaves with NaN or infinity.
  """
  wrong = [path for path, leaf in flatten(tree).items()
           if not np.isfinite(leaf).all()]
  if wrong:
    raise errors.UserError(
        f'{what} has NaN or infinite numbers; in: '
        f'{errors.listed(wrong, _LISTED)}')


def check_same(
    found: Mapping[str, Any], wanted: Mapping[str, Any], what: str
) -> None:
  """Checks that two trees have the same paths and shapes.

  Args:
    found: The tree to check, of arrays or shapes.
    wanted: Tree with the paths and shapes that the model needs.
    what: Name of `found`; starts the message.

  Raises:
    errors.UserError: lists missing, unknown and misshapen paths.
  """
  found, wanted = flatten(found), flatten(wanted)
  problems = []
  missing = [path for path in wanted if path not in found]
  unknown = [path for path in found if path not in wanted]
  misshapen = [
      f'{path} is {tuple(leaf.shape)}, not {tuple(wanted[path].shape)}'
      for path, leaf in found.items()
      if path in wanted and tuple(leaf.shape) != tuple(wanted[path].shape)]
  for title, paths in (
      ('missing', missing), ('unknown', unknown), ('misshapen', misshapen)):
    if paths:
      problems.append(f'{title}: {errors.listed(paths, _LISTED)}')
  if problems:
    raise errors.UserError(
        f'{what} does not fit the model; ' + '; '.join(problems))
