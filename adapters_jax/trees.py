"""Parameter trees as plain nested dicts, and the operations on them.

A leaf's path is its keys joined by '/', e.g. 'encoder/layer_0/ffn_norm/scale'.
A `tuned` tree is a partial tree with the same paths as the whole one, so that
adding an adapter, fine-tuning a layer and loading a checkpoint are one
operation, `overlay`. Everything here is dict work at trace time but for `stack`
and `take`, which move data.
"""

from collections.abc import Callable, Iterable, Mapping
import math
import re
from typing import Any

import jax
import jax.numpy as jnp

Tree = dict[str, Any]  # Nested dicts with arrays (or shapes) as leaves.

# 'fixed' is what a method draws at random once and never trains, 'statistics'
# what it measures of the training batches (methods.batch_norm).
ROLES = ('adapter', 'fixed', 'statistics', 'norm', 'head', 'encoder')
UNTRAINED = ('fixed', 'statistics')


def flatten(tree: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
  """Returns {path: leaf}, sorted by path."""
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
  """Returns the nested dicts of {path: leaf}."""
  tree = {}
  for path, leaf in flat.items():
    *parents, name = path.split('/')
    node = tree
    for parent in parents:
      node = node.setdefault(parent, {})
    node[name] = leaf
  return tree


def split(
    tree: Mapping[str, Any], select: Callable[[str], bool]
) -> tuple[Tree, Tree]:
  """Returns (the leaves whose path is selected, the rest)."""
  flat = flatten(tree)
  selected = {path: leaf for path, leaf in flat.items() if select(path)}
  rest = {path: leaf for path, leaf in flat.items() if path not in selected}
  return unflatten(selected), unflatten(rest)


def overlay(base: Mapping[str, Any], tuned: Mapping[str, Any]) -> Tree:
  """Returns `base` with the leaves of `tuned` added or put in their place.

  Args:
    base: The tree below.
    tuned: The partial tree on top.

  Raises:
    ValueError: a leaf of one is a subtree of the other.
  """
  merged = dict(base)
  for key, value in tuned.items():
    below = merged.get(key)
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
  """Returns one tree with leaves [n, ...] of n trees of equal shapes."""
  return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def take(stacked: Tree, index: jax.Array) -> Tree:
  """Returns the entries of a stacked tree: leaves [*index.shape, ...]."""
  return jax.tree.map(lambda leaf: leaf[index], stacked)


def rename(tree: Mapping[str, Any], name: Callable[[str], str]) -> Tree:
  """Returns the tree with every path changed by `name`."""
  renamed = {name(path): leaf for path, leaf in flatten(tree).items()}
  if len(renamed) != len(flatten(tree)):
    raise ValueError('two paths were given the same name')
  return unflatten(renamed)


def matching(*patterns: str) -> Callable[[str], bool]:
  """Returns select(path): whether a regular expression occurs in the path."""
  compiled = [re.compile(pattern) for pattern in patterns]
  return lambda path: any(pattern.search(path) for pattern in compiled)


def count(tree: Mapping[str, Any]) -> int:
  """Returns the number of parameters; leaves need a shape only."""
  return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def count_trained(tuned: Mapping[str, Any]) -> int:
  """Returns the number of parameters of a tuned tree that training changes."""
  return count(split(tuned, lambda path: role(path) not in UNTRAINED)[0])


def role(path: str) -> str:
  """Returns which of ROLES a leaf has, by its path alone."""
  names = path.split('/')
  if any(name.startswith('adapter') for name in names):
    if names[-1].startswith('running_'):
      return 'statistics'
    return 'fixed' if names[-1].startswith('fixed_') else 'adapter'
  if names[0] == 'head':
    return 'head'
  if any(name == 'norm' or name.endswith('_norm') for name in names):
    return 'norm'
  return 'encoder'


def layer_of(path: str) -> int | None:
  """Returns the Transformer layer a leaf is in, None outside the layers."""
  found = re.search(r'(?:^|/)layer_(\d+)/', path)
  return int(found.group(1)) if found else None


def map_with_path(fn: Callable[[str, Any], Any], tree: Any) -> Any:
  """Returns the tree with every leaf replaced by fn(path, leaf)."""
  return jax.tree_util.tree_map_with_path(
      lambda keys, leaf: fn('/'.join(str(key.key) for key in keys), leaf), tree)


def check_same(
    found: Mapping[str, Any], wanted: Mapping[str, Any], what: str
) -> None:
  """Raises ValueError that lists missing, unknown and misshapen paths.

  Args:
    found: The tree at hand.
    wanted: The tree of arrays or shapes that is needed.
    what: How to name `found` in the message.
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
      more = f' and {len(paths) - 8} more' if len(paths) > 8 else ''
      problems.append(f'{title}: {", ".join(paths[:8])}{more}')
  if problems:
    raise ValueError(f'{what} does not fit the model; ' + '; '.join(problems))
