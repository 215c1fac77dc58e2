"""The leaves of several adapters in one tree, under indices of their own."""

from collections.abc import Mapping
import re
from typing import Any

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.model import composition
from adapters_jax.model import setups

_MODULE = re.compile(r'(adapter_(?:fusion_)?)(.*_)(\d+)')


def shifted(tree: trees.Tree, methods: int, fuses: int) -> trees.Tree:
  """Returns a tree with shifted indices in the names of modules.

  Args:
    tree: Tuned tree.
    methods: Addend to the indices of methods.
    fuses: Addend to the indices of Fuse blocks.
  """

  def rename(found):
    prefix, site, index = found.groups()
    shift = fuses if prefix == 'adapter_fusion_' else methods
    return f'{prefix}{site}{int(index) + shift}'

  return trees.rename(tree, lambda path: '/'.join(
      _MODULE.sub(rename, name) if _MODULE.fullmatch(name) else name
      for name in path.split('/')))


def join(
    bank: Mapping[str, adapter_lib.Adapter], setup: composition.Setup
) -> tuple[Any, trees.Tree, tuple[tuple[str, int], ...]]:
  """Returns (setup, leaves of all members, (name, number of methods) of each).

  Composed adapters are replaced by their members, which get the names
  'ADAPTER.MEMBER'.

  Args:
    bank: Adapters.
    setup: Setup on one hidden state.

  Raises:
    errors.UserError: two members of one name.
  """
  tuned: trees.Tree = {}
  counts: dict[str, int] = {}
  owners: dict[str, str] = {}  # {member: name in the bank}
  changes: dict[str, composition.Setup] = {}
  start = 0
  for name, fused in _fuses_before(bank, setup):
    adapter = bank[name]
    own, _ = trees.split(
        adapter.tuned, lambda path: trees.role(path) in (
            'adapter', *trees.UNTRAINED))
    tuned = trees.overlay(tuned, shifted(own, start, fused))
    start += len(adapter.methods)
    inner = {one: f'{name}.{one}' for one, _ in adapter.members} or {'': name}
    for one in inner.values():
      if owners.setdefault(one, name) != name:
        raise errors.UserError(
            f'`bank`: {owners[one]!r} and {name!r} would both make a member '
            f'{one!r}; give one of them another name')
    if adapter.setup is None:
      counts[name] = len(adapter.methods)
      continue
    changes[name] = setups.replaced(adapter.setup, inner)
    counts |= {inner[one]: count for one, count in adapter.members}
  return setups.replaced(setup, changes), tuned, tuple(counts.items())


def _fuses_before(
    bank: Mapping[str, adapter_lib.Adapter], setup: composition.Setup
) -> list[tuple[str, int]]:
  """Returns (name, number of Fuse blocks before it) of each occurrence.

  The order is that in which `setups.over_methods` numbers the blocks of the
  joined setup.

  Args:
    bank: Adapters; composed ones may have Fuse blocks of their own.
    setup: Setup on one hidden state.
  """
  found, count = [], 0

  def walk(node):
    nonlocal count
    if isinstance(node, str):
      found.append((node, count))
      count += len(setups.fuses(bank[node].setup))
      return
    count += isinstance(node, composition.Fuse)
    for member in node.members:
      walk(member)

  walk(setup)
  return found


def untrained(setup: composition.Setup | None, tuned: trees.Tree) -> bool:
  """Returns whether any Fuse of a setup lacks its trained attention.

  Args:
    setup: Setup of a composed adapter; None for a single one.
    tuned: Its leaves.
  """
  trained = {found[3] for path in trees.flatten(tuned)
             if trees.is_fusion(path) for name in path.split('/')
             if (found := _MODULE.fullmatch(name))}
  with_leaves = [fuse for fuse in setups.fuses(setup)
                 if fuse.query or fuse.key or fuse.value]
  return len(trained) < len(with_leaves)
