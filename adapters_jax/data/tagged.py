"""Tagged words in memory."""

from collections.abc import Sequence
import dataclasses
import functools

from adapters_jax import errors
from adapters_jax.data import conll
from adapters_jax.data import held_out
from adapters_jax.data import label_values
from adapters_jax.data import sequences


@dataclasses.dataclass(frozen=True, eq=False)
class TaggedExamples:
  """Sentences with a tag for each word.

  >>> len(aj.TaggedExamples(words=[['Ann', 'left']], tags=[['B-PER', 'O']]))
  1

  Attributes:
    words: Words of each sentence.
    tags: Tags of each sentence: entities in BIO, IOB or BIOES, or others.
  """
  words: Sequence[Sequence[str]]
  tags: Sequence[Sequence[str]]

  def __post_init__(self):
    for name in ('words', 'tags'):
      rows = sequences.as_list(name, getattr(self, name))
      for number, row in enumerate(rows):
        one = list(map(label_values.plain, sequences.as_list(
            f'{name}[{number}]', row)))
        if not one or not all(isinstance(x, str) and x.strip() for x in one):
          raise errors.UserError(
              f'`{name}[{number}]`: give a list of strings that are not empty')
        rows[number] = one
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

  def __len__(self) -> int:
    return len(self.words)

  def sentences(self) -> list[conll.Sentence]:
    """Returns the sentences, with their numbers as lines."""
    return [conll.Sentence(tuple(words), tuple(tags), number)
            for number, (words, tags) in enumerate(zip(self.words, self.tags))]


# (examples, dev, test) -> {'train', 'dev' and perhaps 'test': sentences}.
splits = functools.partial(
    held_out.in_memory, of=TaggedExamples.sentences,
    too_few='`words`: two sentences or more are needed',
    text=lambda one: one.words)
