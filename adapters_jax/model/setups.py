"""Parses setups, and turns them into trees over the methods of a model.

`columns` moves the blocks that choose examples to the top, which changes no
output: Stack(a, Parallel(b, c)) is Parallel(Stack(a, b), Stack(a, c)). Each
setup below them acts on one hidden state, as one model with one base, one set
of layer norms and one head.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
import re
from typing import Any

from adapters_jax import errors
from adapters_jax.methods import strings
from adapters_jax.model import composition

# (number of texts, or None for all; setup on one hidden state)
Segment = tuple[int | None, composition.Setup]

_BLOCK = re.compile(r'\s*(\w+)\s*\((.*)\)\s*', re.DOTALL)
_FIELD = re.compile(r'\s*(\w+)\s*=(.*)', re.DOTALL)


def parse(text: str, what: str = '`setup`') -> composition.Setup:
  """Returns the setup of a text such as 'stack(lang, fuse(a, b))'.

  Args:
    text: A name, or WORD(MEMBER, ..., FIELD=VALUE).
    what: Name of the text in messages.

  Raises:
    errors.UserError: another form, an unknown word or field, a field given
      twice, or a block in which it cannot be.
  """
  found = _BLOCK.fullmatch(text)
  if found is None:
    name = text.strip()
    quoted = strings.literal(name)
    if isinstance(quoted, str) and quoted not in ('', name):
      return quoted
    if not composition.NAME.fullmatch(name):
      raise errors.UserError(
          f'{what}: {name!r} is neither a name nor of the form '
          f'BLOCK(MEMBER, ...) with a BLOCK of {", ".join(composition.BLOCKS)}')
    return name
  word, inner = found[1].lower(), found[2]
  if word not in composition.BLOCKS:
    raise errors.unknown(what, word, composition.BLOCKS)
  members, fields = [], {}
  for part in strings.split(inner, ','):
    field = _FIELD.fullmatch(part)
    if field and field[1] in fields:
      raise errors.UserError(f'{what}: {word} is given {field[1]} twice')
    if field:
      fields[field[1]] = strings.literal(field[2].strip())
    elif part.strip():
      members.append(parse(part, what))
  with errors.within(what):
    return composition.BLOCKS[word](*members, **fields)


def names(setup: composition.Setup) -> Iterator[str]:
  """Yields the names of a setup in order, one for each occurrence."""
  if isinstance(setup, str):
    yield setup
  else:
    for member in setup.members:
      yield from names(member)


def fused(setup: composition.Setup) -> set[str]:
  """Returns the names within the Fuse blocks of a setup."""
  if isinstance(setup, str):
    return set()
  if isinstance(setup, composition.Fuse):
    return set(names(setup))
  return set().union(*map(fused, setup.members))


def replaced(
    setup: composition.Setup, changes: Mapping[str, composition.Setup]
) -> composition.Setup:
  """Replaces names in a setup by blocks or other names.

  Args:
    setup: Setup.
    changes: {name: replacement}; other names stay.
  """
  if isinstance(setup, str):
    return changes.get(setup, setup)
  return setup.with_members([replaced(m, changes) for m in setup.members])


def demand_all(setup: composition.Setup, given: Collection[str]) -> None:
  """Raises UserError for a setup that leaves out adapters, or fuses only one.

  Unknown names pass: composing the adapters raises an error that suggests
  others.

  Args:
    setup: Setup that a user wrote.
    given: Names of the adapters given with it; it must hold each of them.
  """
  used = set(names(setup))
  left = [name for name in given if name not in used]
  if left and used <= set(given):
    raise errors.UserError(
        f'`setup={setup}`: it leaves out {", ".join(left)}; name every adapter '
        'in it, or drop the others from `adapters`')
  demand_several(setup)


def demand_several(setup: composition.Setup) -> None:
  """Raises UserError for a Fuse of a single adapter.

  Args:
    setup: Setup that a user wrote.
  """
  for fuse in fuses(setup):
    if len(set(map(str, fuse.members))) < 2:
      raise errors.UserError(
          f'`setup={setup}`: a fuse is of two or more; {fuse} has one')


def columns(setup: composition.Setup) -> list[list[Segment]]:
  """Returns the members of a setup's Parallel, each as parts of the batch.

  Args:
    setup: Setup.

  Returns:
    One list of segments for each answer to a text. A single segment of all
    texts has the size None.

  Raises:
    errors.UserError: blocks of different widths or sizes side by side.
  """
  if isinstance(setup, str):
    return [[(None, setup)]]
  parts = [columns(member) for member in setup.members]
  if isinstance(setup, composition.Parallel):
    return [column for part in parts for column in part]
  widths = {len(part) for part in parts} - {1}
  if len(widths) > 1:
    raise errors.UserError(
        f'{setup}: it holds Parallels of {" and ".join(map(str, widths))} '
        'members; give them one number of members')
  wide = max(len(part) for part in parts)
  rows = [[part[n if len(part) > 1 else 0] for part in parts]
          for n in range(wide)]
  if isinstance(setup, composition.BatchSplit):
    return [_joined(setup, row) for row in rows]
  return [_zipped(setup, row) for row in rows]


def _joined(
    setup: composition.BatchSplit, parts: Sequence[Sequence[Segment]]
) -> list[Segment]:
  """Returns the segments of a BatchSplit, one after the other."""
  found = []
  for size, part in zip(setup.sizes, parts, strict=True):
    if part[0][0] is None:
      part = [(size, part[0][1])]
    if sum(n for n, _ in part) != size:
      raise errors.UserError(
          f'{setup}: its inner batch_sizes sum to {sum(n for n, _ in part)}, '
          f'not {size}')
    found.extend(part)
  return found


def _zipped(
    setup: composition.Block, parts: Sequence[Sequence[Segment]]
) -> list[Segment]:
  """Returns the segments of any other block, whose members split alike."""
  sizes = {tuple(n for n, _ in part) for part in parts} - {(None,)}
  if len(sizes) > 1:
    raise errors.UserError(
        f'{setup}: it holds batch_splits of different batch_sizes; give them '
        'the same ones')
  one = next(iter(sizes), (None,))
  return [(size, setup.with_members(
      [part[n if len(part) > 1 else 0][1] for part in parts]))
          for n, size in enumerate(one)]


def over_methods(
    setup: composition.Setup, counts: Mapping[str, int]
) -> tuple[Any, list[tuple[str, int]]]:
  """Returns the tree over methods of a setup on one hidden state.

  Args:
    setup: Setup without Parallel and BatchSplit.
    counts: {name: number of methods of the adapter}

  Returns:
    (tree, or None if the methods act one after the other; [(name, index of its
    first method)] of each occurrence of a name, in order). A name that occurs
    twice has two parts.
  """
  places: list[tuple[str, int]] = []
  fuses = 0
  stop = 0

  def walk(node):
    nonlocal fuses, stop
    if isinstance(node, str):
      start, stop = stop, stop + counts[node]
      places.append((node, start))
      return composition.Part(start, stop)
    fields: dict[str, Any] = {'norms': ''}  # No part of the program.
    if isinstance(node, composition.Fuse):
      fields |= {'index': fuses, 'regularization': 0.0}
      fuses += 1
    return node.with_members([walk(m) for m in node.members], **fields)

  tree = walk(setup)
  return (None if _in_order(tree) else tree), places


def _in_order(node: Any) -> bool:
  """Returns whether all methods of a tree act one after the other."""
  return isinstance(node, composition.Part) or (
      isinstance(node, composition.Stack)
      and all(_in_order(member) for member in node.members))


def parts(tree: Any) -> list[composition.Part]:
  """Returns the parts of a resolved tree in order."""
  if isinstance(tree, composition.Part):
    return [tree]
  return [part for member in tree.members for part in parts(member)]


def fuses(tree: Any) -> list[composition.Fuse]:
  """Returns the Fuse blocks of a setup or tree, in the order of `index`."""
  if not isinstance(tree, composition.Block):
    return []
  own = [tree] if isinstance(tree, composition.Fuse) else []
  return own + [f for member in tree.members for f in fuses(member)]
