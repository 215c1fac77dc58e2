"""Applies taggers: words in, a tag for each word and the entities out."""

from collections.abc import Callable, Sequence
import dataclasses

import numpy as np

from adapters_jax import errors
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import compiled
from adapters_jax.data import examples as examples_lib
from adapters_jax.data import sequences
from adapters_jax.data import tags as tags_lib
from adapters_jax.data import words as words_lib
from adapters_jax.model import base as base_lib


@dataclasses.dataclass(frozen=True)
class Tagged:
  """A tagged sentence.

  Attributes:
    words: Words.
    tags: Tag of each word.
    entities: Entities that the tags mark, () for other tags.
  """
  words: tuple[str, ...]
  tags: tuple[str, ...]
  entities: tuple[tags_lib.Entity, ...]


def words_of(
    number: int, given: str | Sequence[str]
) -> tuple[tuple[str, ...], tuple[int, ...]]:
  """Returns (words, offset of each word's first character) of an input.

  Args:
    number: Index of the input, for the message.
    given: A text, which is split at whitespace and punctuation; or words, for
      which there are no offsets: ().

  Raises:
    errors.UserError: no text and no words.
  """
  if isinstance(given, str):
    parts = words_lib.split(given)
    return tuple(word for word, _ in parts), tuple(at for _, at in parts)
  if sequences.is_row(given) and all(
      isinstance(word, str) and word.strip() for word in given):
    return sequences.row_of(given), ()
  raise errors.UserError(
      f'`texts[{number}]`: give a text, or its words as a list of strings')


def read(
    base: base_lib.Base, adapter: adapter_lib.Adapter,
    texts: Sequence[str | Sequence[str]],
) -> tuple[
    examples_lib.Examples, list[int],
    Callable[[list[np.ndarray]], list[Tagged]]]:
  """Returns (inputs, index of the sentence of each, decoder of outputs).

  Long sentences are read in windows, as in training.

  Args:
    base: Pretrained encoder.
    adapter: Tagger.
    texts: A text, or the words, of each sentence.

  Raises:
    errors.UserError: another input.
  """
  split = [words_of(number, one) for number, one in enumerate(texts)]
  examples, windows = words_lib.cut_sentences(
      compiled.tokenizer_of(base), [words for words, _ in split],
      compiled.max_length(base, adapter))
  labels = adapter.classes
  marked = tags_lib.mark_entities(labels)

  def decode(outputs):
    found = words_lib.read_outputs(
        outputs, windows, [len(words) for words, _ in split],
        tags_lib.default_class(labels))
    return [_tagged(text, *one, [labels[number] for number in numbers], marked)
            for text, one, numbers in zip(texts, split, found, strict=True)]

  return (dataclasses.replace(
      examples, labels=np.zeros(len(examples), np.int32)),
          [int(row) for row in windows.rows], decode)


def _tagged(
    text: str | Sequence[str], words: Sequence[str], starts: Sequence[int],
    tags: Sequence[str], marked: bool,
) -> Tagged:
  """Returns a tagged sentence.

  Args:
    text: The input: a text, or words.
    words: Its words.
    starts: Offset of each word's first character; () if the input is words.
    tags: Tag of each word.
    marked: Whether the adapter's tags mark entities; tags of other forms then
      count as outside.
  """
  found = []
  for one in tags_lib.entities(
      tags_lib.without_others(tags)) if marked else ():
    if isinstance(text, str):
      last = one.end - 1
      start, stop = starts[one.first], starts[last] + len(words[last])
      found.append(dataclasses.replace(
          one, text=text[start:stop], start=start, stop=stop))
    else:
      found.append(dataclasses.replace(
          one, text=' '.join(words[one.first:one.end])))
  return Tagged(tuple(words), tuple(tags), tuple(found))
