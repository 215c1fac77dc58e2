"""Holds dev and test examples out of the training examples."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
import logging
from typing import Any

import numpy as np

from adapters_jax import errors

_log = logging.getLogger(__name__)

SHARE = 0.1  # Share of dev for data in memory.
_SHOWN = 60  # Characters of a text in a message.
_SEED = 0  # Not the run's seed: all runs hold out the same examples.


def draw(count: int, share: float) -> tuple[list[int], list[int]]:
  """Draws dev examples with a fixed seed.

  Args:
    count: Number of examples, 2 or more.
    share: Share of them to hold out, between 0 and 1.

  Returns:
    (rows to train on, rows held out), at least one each, in ascending order.
  """
  order = np.random.default_rng(_SEED).permutation(count)
  dev = min(max(1, round(share * count)), count - 1)
  return sorted(order[dev:].tolist()), sorted(order[:dev].tolist())


def split(
    count: int, dev: float, test: float = 0.0
) -> tuple[list[int], list[int], list[int]]:
  """Draws dev and test examples with a fixed seed.

  Args:
    count: Number of examples.
    dev: Share of them to hold out as dev, between 0 and 1.
    test: Share of them to hold out as test; 0 for none.

  Returns:
    (rows to train on, rows of dev, rows of test), in ascending order. The rows
    of dev are the same as without test.
  """
  kept, held = draw(count, dev)
  if not test:
    return kept, held, []
  # Shares are of all examples. At least one is left to train on.
  rest, drawn = draw(len(kept), test * count / len(kept))
  return [kept[row] for row in rest], held, [kept[row] for row in drawn]


def of_train(
    splits: Mapping[str, Sequence[Any]], dev: float, test: float,
    text: Callable[[Any], Hashable],
) -> dict[str, Any]:
  """Holds dev and test examples out of the training examples of files.

  Args:
    splits: {'train', and perhaps 'test': examples}.
    dev: Share of the training examples to hold out as dev.
    test: Share to hold out as test in addition; 0 for none.
    text: (example) -> its text, to warn of known ones.

  Returns:
    {'train', 'dev' and perhaps 'test': examples}
  """
  train = splits['train']
  held = {name: [train[row] for row in rows] for name, rows in zip(
      ('train', 'dev', 'test'), split(len(train), dev, test), strict=True)
          if rows}
  warn_of_known(*(map(text, part) for part in held.values()))
  return {**held, **{name: some for name, some in splits.items()
                     if name not in held}}


def warn_of_known(
    train: Iterable[Hashable], *held: Iterable[Hashable]
) -> None:
  """Warns of held-out texts that occur in training too.

  Rows are drawn individually, so a text that occurs twice may be in both.

  Args:
    train: Text, or texts, of each training example.
    *held: Those of each example of dev, and perhaps of test.
  """
  known, others = {*train}, [text for texts in held for text in texts]
  found = [text for text in others if text in known]
  if found:
    _log.warning(
        '%d of the %d texts held out of training are in it too, such as '
        '%r, and may raise the scores; leave repeated rows out, or give dev '
        'examples', len(found), len(others), _shown(found[0]))


def _shown(text: Any) -> str:
  """Returns the beginning of a text, of words, or of a pair of texts."""
  if not isinstance(text, str):  # Choices are no strings themselves.
    text = ' '.join(one for one in text if isinstance(one, str))
  return text if len(text) <= _SHOWN else f'{text[:_SHOWN - 3]}...'


def in_memory(
    train: Any, dev: Any = None, test: Any = None, *,
    of: Callable[[Any], Sequence[Any]], too_few: str,
    group: Callable[[Any], Hashable] | None = None,
    text: Callable[[Any], Hashable] | None = None,
) -> dict[str, list[Any]]:
  """Holds a tenth of the training examples out as dev, unless it is given.

  Args:
    train: Data to train on; what is held out is drawn with a fixed seed.
    dev: Data that choose the best step, or None.
    test: Further data to score, or None.
    of: (data) -> examples.
    too_few: Start of the message if there are fewer than two groups.
    group: (example) -> group, which is not divided; None for no groups.
    text: (example) -> its text, to warn of repeated ones; None for no warning.

  Returns:
    {'train', 'dev' and perhaps 'test': examples}

  Raises:
    errors.UserError: nothing can be held out.
  """
  found = {name: list(of(data)) for name, data in (
      ('train', train), ('dev', dev), ('test', test)) if data is not None}
  if dev is None:
    whole = found['train']
    groups = [*map(group, whole)] if group else [*range(len(whole))]
    distinct = list(dict.fromkeys(groups))
    if len(distinct) < 2:
      raise errors.UserError(f'{too_few} to hold some out; or give `dev`')
    held = {distinct[row] for row in draw(len(distinct), SHARE)[1]}
    for name, inside in (('train', False), ('dev', True)):
      found[name] = [one for one, own in zip(whole, groups, strict=True)
                     if (own in held) == inside]
    if text:
      warn_of_known(map(text, found['train']), map(text, found['dev']))
  return {name: found[name] for name in ('train', 'dev', 'test')
          if name in found}
