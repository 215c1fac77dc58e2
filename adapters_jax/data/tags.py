"""Tags of words: entities in BIO, IOB and BIOES, and scores of a tagger.

The scores equal those of `seqeval` in its default mode, which are those of the
CoNLL-2000 evaluation script; a test compares them.
"""

from collections.abc import Iterable, Sequence
import dataclasses

import numpy as np

from adapters_jax import errors

OUTSIDE = 'O'
# BILOU's names of an entity's last and only word.
_BILOU = {'L': 'E', 'U': 'S'}
_PREFIXES = ('B', 'I', 'E', 'S', *_BILOU)

OF_ENTITIES = ('entity_f1', 'entity_precision', 'entity_recall', 'tag_accuracy')
OF_TAGS = ('tag_accuracy', 'tag_macro_f1')


@dataclasses.dataclass(frozen=True)
class Entity:
  """A named span of words.

  Attributes:
    type: Type of the entity, '_' for tags without one, such as 'B'.
    first: Number of its first word.
    end: Number of the word after its last.
    text: Its words, separated by blanks, or the part of a text that it covers.
    start: First character in a text; None for words.
    stop: Character after the last one; None for words.
  """
  type: str
  first: int
  end: int
  text: str = ''
  start: int | None = None
  stop: int | None = None


def _parts(tag: str) -> tuple[str, str]:
  """Returns (prefix, type) of a tag; the prefix of 'O' is 'O'."""
  prefix, _, kind = tag.partition('-')
  return _BILOU.get(prefix, prefix), kind or '_'


def is_entity_tag(tag: str) -> bool:
  """Returns whether a tag is 'O' or has a prefix such as 'B-'."""
  return tag == OUTSIDE or tag.partition('-')[0] in _PREFIXES


def of_entities(tags: Iterable[str]) -> bool:
  """Returns whether tags mark entities; others name each word, as in POS.

  Args:
    tags: Distinct tags.

  Raises:
    errors.UserError: entity tags among others.
  """
  marked, others = _marked_and_others(tags)
  if marked and others:
    raise errors.UserError(
        f'the tag {others[0]!r} has no prefix B-, I-, E- or S- as '
        f'{marked[0]!r} has; correct it, or give the tags of another column')
  return bool(marked)


def _marked_and_others(tags: Iterable[str]) -> tuple[list[str], list[str]]:
  """Returns the tags of entities and, beside them, those that mark none.

  Args:
    tags: Distinct tags.
  """
  tags = sorted(tags)
  marked = [tag for tag in tags if tag != OUTSIDE and is_entity_tag(tag)]
  others = [tag for tag in tags if not is_entity_tag(tag)]
  # Parts of speech may have names such as 'S'; only entities have an outside.
  # Those of tweets (Gimpel et al., 2011) have S, E, U, L and another 'O'.
  typed = any('-' in tag for tag in marked)
  if OUTSIDE in tags:
    plain = others and not typed and not {'B', 'I'} & {*marked}
  else:
    plain = others or not typed
  return ([], [*marked, *others]) if plain else (marked, others)


def without_prefix(tags: Iterable[str]) -> str:
  """Returns the tag that `of_entities` refuses, '' if it refuses none.

  Args:
    tags: Distinct tags.
  """
  marked, others = _marked_and_others(tags)
  return others[0] if marked and others else ''


def mark_entities(tags: Iterable[str]) -> bool:
  """Returns whether the tags of a tagger of any origin mark entities.

  Imported heads mix entity tags with others, such as '[PAD]'; see
  `without_others`.

  Args:
    tags: Distinct tags.
  """
  try:
    return of_entities(tags)
  except errors.UserError:
    return True


def without_others(tags: Iterable[str]) -> list[str]:
  """Returns predicted tags with 'O' in place of those that mark no entity.

  Args:
    tags: Tag of each word, of a tagger for which `mark_entities` holds.
  """
  return [tag if is_entity_tag(tag) else OUTSIDE for tag in tags]


def with_all_prefixes(tags: Iterable[str]) -> tuple[str, ...]:
  """Returns tags sorted, with every prefix for every type of entity.

  In the training data, a type may lack a prefix by chance.

  Args:
    tags: Distinct tags of the training data.
  """
  tags = set(tags)
  if of_entities(tags):
    pairs = [tag.partition('-')[::2] for tag in tags if '-' in tag]
    tags |= {f'{prefix}-{kind}' for prefix, _ in pairs for _, kind in pairs}
  return tuple(sorted(tags))


def default_class(labels: Sequence[str]) -> int:
  """Returns the class of a word without pieces: 'O', or the first.

  Args:
    labels: Tags of a task, by their classes.
  """
  return labels.index(OUTSIDE) if OUTSIDE in labels else 0


def entities(tags: Sequence[str]) -> list[Entity]:
  """Returns the entities of a sentence, without their texts.

  A tag opens an entity if its prefix is B or S, if its type differs from the
  previous tag's, or if the previous tag closed an entity (O, E, S). Thus
  sequences that no scheme allows, as models predict them, have entities too.

  Args:
    tags: Tag of each word.
  """
  found: list[Entity] = []
  before, kind_before = OUTSIDE, '_'
  for number, tag in enumerate(tags):
    prefix, kind = _parts(tag)
    if prefix != OUTSIDE:
      if (prefix in 'BS' or before in (OUTSIDE, 'E', 'S')
          or kind != kind_before):
        found.append(Entity(kind, number, number + 1))
      else:
        found[-1] = dataclasses.replace(found[-1], end=number + 1)
    before, kind_before = prefix, kind
  return found


def counts(
    right: Sequence[Sequence[str]], found: Sequence[Sequence[str]],
    marked: bool,
) -> dict[str, np.ndarray]:
  """Returns {'correct', 'predicted', 'true': [sentences] int}.

  Args:
    right: Correct tags of each sentence.
    found: Predicted tags of each sentence.
    marked: Whether to count entities; otherwise words.
  """
  rows = []
  for one, other in zip(right, found, strict=True):
    if marked:
      true, said = set(entities(one)), set(entities(without_others(other)))
      rows.append((len(true & said), len(said), len(true)))
    else:
      hits = sum(a == b for a, b in zip(one, other, strict=True))
      rows.append((hits, len(one), len(one)))
  table = np.array(rows, np.int64).reshape(-1, 3)
  return dict(zip(('correct', 'predicted', 'true'), table.T, strict=True))


def precision_recall_f1(
    correct: int, predicted: int, true: int
) -> tuple[float, float, float]:
  """Returns (precision, recall, F1), 0 where not defined.

  Args:
    correct: Number of predicted entities that are right.
    predicted: Number of predicted entities.
    true: Number of entities.
  """
  total = predicted + true
  return (correct / predicted if predicted else 0.0,
          correct / true if true else 0.0,
          2 * correct / total if total else 0.0)


def by_type(
    right: Sequence[Sequence[str]], found: Sequence[Sequence[str]],
    marked: bool,
) -> dict[str, tuple[int, int, int]]:
  """Returns {type or tag: (correct, predicted, true)}, sorted.

  Args:
    right: Correct tags of each sentence.
    found: Predicted tags of each sentence.
    marked: Whether to count entities by type; otherwise words by tag.
  """
  table: dict[str, list[int]] = {}
  for one, other in zip(right, found, strict=True):
    true, said = ({(e.type, e.first, e.end) for e in entities(tags)} if marked
                  else {(tag, n) for n, tag in enumerate(tags)}
                  for tags in (one, without_others(other) if marked else other))
    for column, keys in enumerate((true & said, said, true)):
      for kind, *_ in keys:
        table.setdefault(kind, [0, 0, 0])[column] += 1
  return {kind: (row[0], row[1], row[2])
          for kind, row in sorted(table.items())}


def tagging_scores(
    right: Sequence[Sequence[str]], found: Sequence[Sequence[str]],
    names: Sequence[str],
) -> dict[str, float]:
  """Returns {metric: value}.

  Args:
    right: Correct tags of each sentence.
    found: Predicted tags of each sentence.
    names: Names in OF_ENTITIES or OF_TAGS.
  """
  marked = 'entity_f1' in names
  table = by_type(right, found, marked)
  words = counts(right, found, False)
  values = {'tag_accuracy': precision_recall_f1(*(
      int(words[name].sum()) for name in ('correct', 'predicted', 'true')))[1]}
  if marked:
    totals = np.array([*table.values()], np.int64).reshape(-1, 3).sum(0)
    values.update(zip(
        ('entity_precision', 'entity_recall', 'entity_f1'),
        precision_recall_f1(*totals.tolist()), strict=True))
  else:
    values['tag_macro_f1'] = float(np.mean(
        [precision_recall_f1(*row)[2] for row in table.values()] or [0.0]))
  return {name: values[name] for name in names}


def entity_rows(
    counted: dict[str, tuple[int, int, int]]
) -> list[dict[str, str]]:
  """Returns a row for each type: precision, recall, F1, number.

  Args:
    counted: Result of `by_type`.
  """
  return [{'type': kind, **{
      name: f'{100 * value:.1f}' for name, value in zip(
          ('precision', 'recall', 'F1'), precision_recall_f1(*row),
          strict=True)}, 'number': str(row[2])}
          for kind, row in counted.items()]
