"""Pairs of texts for sentence embeddings, with or without a score."""

from collections.abc import Collection, Mapping, Sequence
import dataclasses
import decimal
import logging
import numbers
from typing import Any

import numpy as np

from adapters_jax import errors
from adapters_jax.data import held_out
from adapters_jax.data import sequences
from adapters_jax.data import shown

_log = logging.getLogger(__name__)

LARGEST = float(np.finfo(np.float32).max)  # Score.
_NUMBERS = (numbers.Real, decimal.Decimal, np.bool_)


@dataclasses.dataclass(frozen=True, eq=False)
class Pairs:
  """Pairs of texts that belong together, or that have scores.

  >>> len(aj.Pairs([('Who wrote it?', 'Ann did.'), ('Where?', 'In Rome.')]))
  2

  Attributes:
    texts: For each pair its two texts, and perhaps a third one that does not
      belong to the first.
    scores: [pairs] Scores, None without.
    where: File, for messages.
    lines: Line of each pair in the file, () if unknown; without a file its
      index among all pairs.
    left_out: Pairs not trained on, as one of their texts is held out.
  """
  texts: Sequence[tuple[str, ...]]
  scores: Any = None
  where: str = ''
  lines: Sequence[int] = ()
  left_out: Sequence[tuple[str, ...]] = ()

  def __post_init__(self):
    rows = sequences.as_list('texts', self.texts)
    sequences.check_present('texts', rows)
    for number, row in enumerate(rows):
      rows[number] = sequences.row_of(row)
      if not sequences.is_row(row) or len(row) not in (2, 3) or not all(
          isinstance(text, str) for text in rows[number]):
        raise errors.UserError(
            f'`texts[{number}]`: give two strings each, or three with a '
            'negative')
      if len(row) != len(rows[0]):
        raise errors.UserError(
            f'`texts[{number}]`: there are {len(row)} texts, and '
            f'{len(rows[0])} in the first; give all as many')
    if not rows:
      raise errors.UserError('`texts`: there is no pair')
    object.__setattr__(self, 'texts', rows)
    if self.scores is not None:
      object.__setattr__(self, 'scores', _checked(self.scores, len(rows)))

  def __len__(self) -> int:
    return len(self.texts)

  def __repr__(self) -> str:
    """Returns one line with the number of pairs, their scores and file."""
    kind = 'pair with negatives' if len(self.texts[0]) == 3 else 'pair'
    scores = '' if self.scores is None else shown.labels(self.scores.tolist())
    return shown.line(self, shown.count(len(self), kind), scores, self.where)

  def take(self, rows: Sequence[int]) -> 'Pairs':
    """Returns some of the pairs, by their numbers from 0."""
    numbered = self.lines or ([] if self.where else range(len(self)))
    return dataclasses.replace(
        self, texts=[self.texts[row] for row in rows],
        scores=None if self.scores is None else self.scores[list(rows)],
        lines=[numbered[row] for row in rows] if numbered else ())

  def place(self, row: int) -> str:
    """Returns the place of a pair, for messages."""
    if not self.where:
      return f'`data`, pair {self.lines[row] if self.lines else row}'
    line = f', line {self.lines[row]}' if self.lines else ''
    return f'{self.where}{line}'


def _checked(scores: Any, count: int) -> np.ndarray:
  """Returns [pairs] float32; raises UserError for other things than numbers.

  Args:
    scores: Scores that a caller gave.
    count: Number of pairs.
  """
  values = [*map(sequences.scalar_of, sequences.as_list('scores', scores))]
  if len(values) != count:
    raise errors.UserError(
        f'`scores`: there are {len(values)} for {count} pairs')
  sequences.check_present('scores', values)
  for number, score in enumerate(values):
    # False for numbers beyond those of float32.
    if not isinstance(score, _NUMBERS) or not abs(float(score)) <= LARGEST:
      raise errors.UserError(
          f'`scores[{number}]`: {score!r} is no score; give a finite number')
  return np.array(values, np.float32)


def check_scored_alike(splits: Mapping[str, Pairs], name: str) -> None:
  """Raises UserError where only one of dev and test has scores.

  Args:
    splits: {'train', 'dev' and perhaps 'test': pairs}.
    name: Name of the argument of the test pairs.
  """
  scored = splits['dev'].scores is not None
  if 'test' in splits and (splits['test'].scores is not None) != scored:
    raise errors.UserError(
        f'`{name}`: pairs of dev and test must both have scores, or neither; '
        f'those of dev have {"some" if scored else "none"}')


def hold_out(
    train: Pairs, dev_fraction: float, test_fraction: float = 0.0
) -> dict[str, Pairs]:
  """Holds out second texts with all of their pairs.

  No training pair keeps a held-out text. A pair that has one in first place is
  left out. A pair that has one as its negative gets its own second text
  instead, which the loss ignores.

  Args:
    train: Pairs.
    dev_fraction: Share of the second texts to hold out as dev.
    test_fraction: Share to hold out as test in addition.

  Returns:
    {'train', 'dev' and perhaps 'test': pairs}

  Raises:
    errors.UserError: fewer than three second texts, or no training pair without
      those of dev and test.
  """
  # By second text, as a paragraph of dev must not occur in training.
  second = list(dict.fromkeys(texts[1] for texts in train.texts))
  where = train.where or '`texts`'
  if len(second) < 3:
    raise errors.UserError(
        f'{where}: three different second texts or more are needed to hold '
        'some out')
  splits = {}
  parts = held_out.split(len(second), dev_fraction, test_fraction)
  for name, part in zip(('train', 'dev', 'test'), parts, strict=True):
    if part:
      chosen = {second[row] for row in part}
      found = train.take([row for row, texts in enumerate(train.texts)
                          if texts[1] in chosen])
      splits[name] = found if name == 'train' else dataclasses.replace(
          found, texts=[texts[:2] for texts in found.texts])
  splits['train'] = _without(
      splits['train'], {second[row] for part in parts[1:] for row in part},
      where)
  return splits


def _without(train: Pairs, held: Collection[str], where: str) -> Pairs:
  """Returns training pairs without texts that are held out.

  Args:
    train: Pairs, whose second texts are not held out.
    held: Texts that are.
    where: File or argument, for messages.

  Raises:
    errors.UserError: no pair is left.
  """
  kept = [row for row, texts in enumerate(train.texts) if texts[0] not in held]
  if not kept:
    way = '`dev_file`' if train.where else '`dev`'
    raise errors.UserError(
        f'{where}: no pair is left to train on, as all have a text that is '
        f'held out; give {way}')
  left_out = [texts for texts in train.texts if texts[0] in held]
  found = train.take(kept)
  negatives = sum(texts[-1] in held for texts in found.texts)
  if left_out:
    _log.warning(
        '%s: %d training pairs are left out, whose first text is held out as '
        'the second of others', where, len(left_out))
  if negatives:
    _log.warning(
        '%s: %d training pairs go without their negative, which is held out',
        where, negatives)
  return dataclasses.replace(found, left_out=left_out, texts=[
      (*texts[:2], texts[1]) if texts[-1] in held else texts
      for texts in found.texts])
