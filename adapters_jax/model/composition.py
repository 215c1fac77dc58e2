"""Setups: several named adapters in one forward pass, as a static tree.

The blocks are those of AdapterHub (Pfeiffer et al., 2020). `Parallel` and
`BatchSplit` choose the members for an example: `setups.columns` moves them to
the top of the tree. All others work on one hidden state, and
`setups.over_methods` turns them into the tree over indices of methods that
`composed_sites` walks.
"""

from collections.abc import Sequence
import dataclasses
import itertools
import math
import re
import typing
from typing import Any
from typing import ClassVar

from adapters_jax import errors
from adapters_jax.methods import values as values_lib

NORMS = ('', 'last', 'first', 'average', 'base')

NAME = re.compile(r'[\w.+-]+')  # A name that needs no quotes in texts.


@dataclasses.dataclass(frozen=True)
class Part:
  """Indices of one adapter's methods in a model.

  Attributes:
    start: Index of the first method.
    stop: Index after the last one.
  """
  start: int
  stop: int


@dataclasses.dataclass(frozen=True, init=False, repr=False)
class Block:
  """A node of a setup.

  Attributes:
    members: Names of adapters, or blocks; `Part` instead of names in a resolved
      tree.
    norms: Trained layer norms to use where the members' differ, one of NORMS:
      those of the 'last' or 'first' member, their 'average', or the pretrained
      ones ('base'). '' demands that they do not differ.
  """
  members: tuple[Any, ...]
  norms: str = ''

  word: ClassVar[str]  # Name in strings.
  holds: ClassVar[tuple[str, ...]]  # Words of the blocks that it may contain.

  def __init__(self, *members: Any, **fields: Any):
    # Accept `members` as a keyword, as dataclasses.replace passes it.
    if not members and isinstance(fields.get('members'), (tuple, list)):
      members = (*fields.pop('members'),)
    defaults = {field.name: field.default for field in dataclasses.fields(self)
                if field.name != 'members'}
    for name in fields:
      if name not in defaults:
        raise errors.unknown(f'field of {self.word}', name, defaults)
    object.__setattr__(self, 'members', members)
    hints = typing.get_type_hints(type(self))
    for name, default in defaults.items():
      value = fields.get(name, default)
      object.__setattr__(self, name, values_lib.converted(
          value, hints[name], f'{self.word}: {name}={value!r}'))
    self._check()

  def _check(self) -> None:
    """Raises UserError for members or fields that cannot work."""
    if not self.members:
      raise errors.UserError(f'{self.word}: name one adapter or more')
    for member in self.members:
      if isinstance(member, Block):
        if member.word not in self.holds:
          raise errors.UserError(
              f'{self}: {self.word} holds names'
              + ''.join(f', {word}' for word in self.holds)
              + f', but no {member.word}')
      elif not isinstance(member, (str, Part)):
        raise errors.UserError(
            f'{self.word}: give names of adapters or blocks, not '
            f'{type(member).__name__}')
    if self.norms not in NORMS:
      raise errors.unknown(f'{self.word}: norms', self.norms, NORMS[1:])

  def __repr__(self) -> str:
    """Returns the text that `setups.parse` turns into the block."""
    texts = [quoted(m) if isinstance(m, str) else str(m)
             for m in self.members]
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      if field.name != 'members' and value != field.default:
        texts.append(f'{field.name}={_as_text(value)}')
    return f'{self.word}({", ".join(texts)})'

  def with_members(self, members: Sequence[Any], **fields: Any) -> 'Block':
    """Returns the block with other members, and some fields changed.

    Args:
      members: Names, blocks or parts.
      **fields: Fields to change.
    """
    own = {field.name: getattr(self, field.name)
           for field in dataclasses.fields(self) if field.name != 'members'}
    return type(self)(*members, **{**own, **fields})


Setup = str | Block


def _as_text(value: Any) -> str:
  """Returns a field's value as `setups.parse` reads it."""
  if isinstance(value, str):
    return value
  return repr(list(value)) if isinstance(value, tuple) else repr(value)


def quoted(name: str) -> str:
  """Returns a name, in quotes where a setup's text needs them."""
  return name if NAME.fullmatch(name) else repr(name)


@dataclasses.dataclass(frozen=True, init=False, repr=False)
class Stack(Block):
  """Adapters one after the other at each site, such as language and task.

  Each adapts the result of the one before, so that an adapter without effect
  has none in a stack either. The last one has the head.
  """
  word = 'stack'
  holds = ('stack', 'fuse', 'split', 'parallel', 'batch_split', 'average')


@dataclasses.dataclass(frozen=True, init=False, repr=False)
class Average(Block):
  """The weighted mean of the members' outputs for one hidden state.

  Attributes:
    weights: Weight of each member, divided by their sum; None for equal ones.
  """
  weights: tuple[float, ...] | None = None

  word = 'average'
  holds = ('stack', 'split', 'batch_split', 'average', 'fuse')

  def _check(self) -> None:
    super()._check()
    count = len(self.members)
    if self.weights is not None and (
        len(self.weights) != count or not 0 < sum(self.weights) < math.inf):
      raise errors.UserError(
          f'{self}: give {count} weights, one for each member, with a finite '
          'sum above 0')

  @property
  def shares(self) -> tuple[float, ...]:
    """Weights that sum to 1."""
    weights = self.weights or (1.0,) * len(self.members)
    return tuple(weight / sum(weights) for weight in weights)


@dataclasses.dataclass(frozen=True, init=False, repr=False)
class Split(Block):
  """Parts of the text, from left to right, one for each member.

  A shorter text has no positions for the last members.

  Attributes:
    splits: Number of positions of each member, [CLS] included. The last number
      may be left out: the last member gets the rest in any case.
  """
  splits: tuple[int, ...] = ()

  word = 'split'
  holds = ('stack', 'split', 'batch_split', 'average', 'fuse')

  def _check(self) -> None:
    super()._check()
    count = len(self.members)
    if len(self.splits) not in (count - 1, count) or not all(
        isinstance(size, int) and size > 0 for size in self.splits):
      raise errors.UserError(
          f'{self}: give splits=[...], the positions of each of the {count} '
          'members; the last may be left out')

  def bounds(self, length: int) -> list[tuple[int, int]]:
    """Returns (start, stop) of each member; they are equal for an empty part.

    Args:
      length: Number of positions, padding included.
    """
    # The last part always extends to the end, so that a text's answer does not
    # depend on the padding of its batch.
    inner = list(itertools.accumulate(self.splits[:len(self.members) - 1]))
    stops = [*(min(stop, length) for stop in inner), length]
    return list(zip([0, *stops[:-1]], stops, strict=True))


@dataclasses.dataclass(frozen=True, init=False, repr=False)
class Fuse(Block):
  """AdapterFusion (Pfeiffer et al., 2021): attention over the members.

  Attributes:
    query: Whether a linear layer makes the queries.
    key: Whether one makes the keys.
    value: Whether a matrix, initialised near the identity, maps the values.
    query_before_ln: Whether queries come from the sublayer's output before the
      norm of members that normalise their input.
    dropout: Dropout rate of the scores in training; may be 0.
    regularization: Factor of a term in the loss: the squared distance of the
      value matrices from the identity.
    index: Number of the block in a resolved tree.
  """
  query: bool = True
  key: bool = True
  value: bool = True
  query_before_ln: bool = False
  dropout: float = 0.1
  regularization: float = 0.01
  index: int = 0

  word = 'fuse'
  holds = ('stack',)

  def _check(self) -> None:
    super()._check()
    for member in self.members:
      if isinstance(member, Block) and any(
          isinstance(inner, Block) for inner in member.members):
        raise errors.UserError(f'{self}: a stack in a fuse holds names only')
    if not 0 <= self.dropout < 1 or not self.regularization >= 0:
      raise errors.UserError(
          f'{self}: give a dropout from 0 to below 1, and a regularization of '
          '0 or more')


@dataclasses.dataclass(frozen=True, init=False, repr=False)
class Parallel(Block):
  """Answers of all members to each text; the layers below are shared."""
  word = 'parallel'
  holds = ('stack', 'split', 'batch_split', 'average', 'fuse')


@dataclasses.dataclass(frozen=True, init=False, repr=False)
class BatchSplit(Block):
  """Parts of the batch, in order, one for each member.

  Attributes:
    batch_sizes: Number of texts of each member, or one number for all.
  """
  batch_sizes: tuple[int, ...] | int = ()

  word = 'batch_split'
  holds = ('stack', 'split', 'batch_split', 'average', 'fuse')

  def _check(self) -> None:
    super()._check()
    if len(self.sizes) != len(self.members) or not all(
        isinstance(size, int) and size > 0 for size in self.sizes):
      raise errors.UserError(
          f'{self}: give batch_sizes=[...], the texts of each of the '
          f'{len(self.members)} members')

  @property
  def sizes(self) -> tuple[int, ...]:
    """Number of texts of each member."""
    if isinstance(self.batch_sizes, tuple):
      return self.batch_sizes
    return (self.batch_sizes,) * len(self.members)


BLOCKS = {kind.word: kind for kind in (
    Stack, Fuse, Split, Parallel, BatchSplit, Average)}
