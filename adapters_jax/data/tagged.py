"""Tagged words in memory."""

from collections.abc import Sequence
import dataclasses
import functools
from typing import Any

from adapters_jax import errors
from adapters_jax.data import conll
from adapters_jax.data import held_out
from adapters_jax.data import label_values
from adapters_jax.data import sequences
from adapters_jax.data import shown


@dataclasses.dataclass(frozen=True, eq=False)
class TaggedExamples:
  """Sentences with a tag for each word.

  >>> len(aj.TaggedExamples(words=[['Ann', 'left']], tags=[['B-PER', 'O']]))
  1

  Attributes:
    words: Words of each sentence.
    tags: Tags of each sentence: entities in BIO, IOB or BIOES, or others.
    names: Names of the tags if `tags` are their numbers, from 0, as in Hugging
      Face's datasets; `tags` are these names from then on. Those that occur in
      training are the tags of the adapter.
  """
  words: Sequence[Sequence[str]]
  tags: Sequence[Sequence[Any]]  # Strings from then on.
  names: Sequence[str] | None = None

  def __post_init__(self):
    if self.names is not None:
      object.__setattr__(self, 'names', list(map(
          label_values.plain, sequences.as_list('names', self.names))))
    for name in ('words', 'tags'):
      rows = sequences.as_list(name, getattr(self, name))
      for number, row in enumerate(rows):
        rows[number] = self._checked(f'{name}[{number}]', row)
      object.__setattr__(self, name, rows)
    if len(self.words) != len(self.tags):
      raise errors.UserError(
          f'`tags`: there are {len(self.tags)} for {len(self.words)} sentences')
    if not self.words:
      raise errors.UserError('`words`: there is no sentence')
    for number, (words, tags) in enumerate(zip(self.words, self.tags)):
      if len(words) != len(tags):
        raise errors.UserError(
            f'`tags[{number}]`: there are {len(tags)} for {len(words)} words')

  def _checked(self, where: str, row: Any) -> list[str]:
    """Returns the words or tags of a sentence; UserError for other values.

    Args:
      where: Place in messages.
      row: Words, or tags or their numbers.
    """
    found = list(map(label_values.plain, sequences.as_list(where, row)))
    numbered = where.startswith('tags')
    if numbered and self.names is not None:
      found = label_values.named(
          found, self.names, lambda number: f'`{where}[{number}]`')
    if not found or not all(isinstance(x, str) and x.strip() for x in found):
      raise errors.UserError(
          f'`{where}`: give a list of strings that are not empty'
          + (', or numbers with their `names`' if numbered else ''))
    return found

  def __len__(self) -> int:
    return len(self.words)

  def __repr__(self) -> str:
    """Returns one line with the numbers of sentences and words, and tags."""
    return shown.line(
        self, shown.count(len(self), 'sentence'),
        shown.count(sum(map(len, self.words)), 'word'),
        shown.labels(self.tags, what='tags'))

  def sentences(self) -> list[conll.Sentence]:
    """Returns the sentences, with their numbers as lines."""
    return [conll.Sentence(tuple(words), tuple(tags), number)
            for number, (words, tags) in enumerate(zip(self.words, self.tags))]


# (examples, dev, test) -> {'train', 'dev' and perhaps 'test': sentences}.
splits = functools.partial(
    held_out.in_memory, of=TaggedExamples.sentences,
    too_few='`words`: two sentences or more are needed',
    text=lambda one: one.words)
