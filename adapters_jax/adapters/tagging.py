"""Taggers put to use: words in, a tag for each and the entities out."""

from collections.abc import Mapping, Sequence
import dataclasses

import jax
import numpy as np

from adapters_jax import errors
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import bank as bank_lib
from adapters_jax.adapters import compiled
from adapters_jax.data import batching
from adapters_jax.data import tags as tags_lib
from adapters_jax.data import words as words_lib
from adapters_jax.model import base as base_lib
from adapters_jax.training import steps


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
  """Returns (words, first character of each) of an input.

  Args:
    number: Number of the input, for the message.
    given: A text, which is split at blanks and punctuation; or words, which
      have no characters: ().

  Raises:
    errors.UserError: no text and no words.
  """
  if isinstance(given, str):
    parts = words_lib.split(given)
    return tuple(word for word, _ in parts), tuple(at for _, at in parts)
  if isinstance(given, (list, tuple)) and all(
      isinstance(word, str) and word.strip() for word in given):
    return tuple(given), ()
  raise errors.UserError(
      f'`texts[{number}]`: give a text, or its words as a list of strings')


def tag(
    base: base_lib.Base, bank: Mapping[str, adapter_lib.Adapter],
    names: Sequence[str], texts: Sequence[str | Sequence[str]],
    buckets: Sequence[int], batch_size: int = 32,
) -> list[Tagged]:
  """Tags sentences, each with the adapter of its name.

  Long sentences are read in windows, as in training.

  Args:
    base: Pretrained encoder.
    bank: Taggers; the named ones are of one method and shape.
    names: Name of the adapter of each sentence.
    texts: A text, or the words, of each sentence.
    buckets: Lengths to pad batches to.
    batch_size: Inputs a step.

  Returns:
    A tagged sentence for each, in order.

  Raises:
    errors.UserError: an adapter of another base, or another input.
    steps.NotFinite: outputs that are NaN; its row counts sentences.
  """
  read = [words_of(number, one) for number, one in enumerate(texts)]
  used = list(dict.fromkeys(names))
  for name in used:
    compiled.check_adapter(base, bank[name])
  parts = [_cut(base, bank[name], [
      (row, read[row][0]) for row, other in enumerate(names) if other == name])
           for name in used]
  tokens, segments = (
      [row for part, _ in parts for row in getattr(part, field)]
      for field in ('tokens', 'segments'))
  examples = batching.Examples(
      tokens, segments, np.zeros(len(tokens), np.int32))
  rows = np.concatenate(
      [windows.rows for _, windows in parts] or [np.zeros(0, np.int64)])
  ids = np.repeat(np.arange(len(used)), [len(part) for part, _ in parts])
  logits = _logits(base, [bank[name] for name in used], examples, ids, rows,
                   buckets, batch_size)
  windows = words_lib.Windows(
      rows, [row for _, part in parts for row in part.words])
  labels = {name: bank[name].classes for name in used}
  # Classes of one number mean other tags in another adapter.
  found = words_lib.read_outputs(
      logits, windows, [len(words) for words, _ in read], -1)
  return [
      _tagged(text, *one, [_name(labels[name], number) for number in numbers])
      for text, one, name, numbers in zip(
          texts, read, names, found, strict=True)]


def _cut(
    base: base_lib.Base, adapter: adapter_lib.Adapter,
    sentences: Sequence[tuple[int, Sequence[str]]],
) -> tuple[batching.Examples, words_lib.Windows]:
  """Returns the inputs of (number, words) pairs for an adapter."""
  examples, windows = words_lib.cut(
      compiled.tokenizer_of(base), [words for _, words in sentences],
      compiled.max_length(base, adapter))
  numbers = np.array([number for number, _ in sentences])
  return examples, dataclasses.replace(windows, rows=numbers[windows.rows])


def _logits(
    base: base_lib.Base, adapters: Sequence[adapter_lib.Adapter],
    examples: batching.Examples, ids: np.ndarray, rows: np.ndarray,
    buckets: Sequence[int], batch_size: int,
) -> list[np.ndarray]:
  """Returns [length, tags] logits of each input, by the adapter of its id."""
  if not len(examples):
    return []
  model = compiled.model_of(base, adapters[0])
  batches = batching.eval_batches(examples, buckets, batch_size)
  if len(adapters) == 1:
    step, tuned = compiled.eval_step(model), adapters[0].tuned
  else:
    named = {str(number): one for number, one in enumerate(adapters)}
    step, tuned = compiled.mixed_step(model), bank_lib.stack(named, named)[1]
    ids = ids.astype(np.int32)
    # `resize` repeats ids for filler rows, whose logits are dropped.
    batches = [(some, {**batch, 'ids': np.resize(ids[some], batch_size)})
               for some, batch in batches]
  with compiled.matmul_precision(base):
    try:
      return steps.predict_ragged(
          step, compiled.params_of(base, adapters[0]), jax.device_put(tuned),
          batches, len(examples))
    except steps.NotFinite as error:  # Its row counts windows.
      raise steps.not_finite(int(rows[error.row]), 'sentence') from error


def _name(labels: Sequence[str], number: int) -> str:
  """Returns the name of a class; of a word without pieces 'O', or the first."""
  if number >= 0:
    return labels[number]
  return tags_lib.OUTSIDE if tags_lib.OUTSIDE in labels else labels[0]


def _tagged(
    text: str | Sequence[str], words: Sequence[str], starts: Sequence[int],
    tags: Sequence[str],
) -> Tagged:
  """Returns a tagged sentence.

  Args:
    text: The input: a text, or words.
    words: Its words.
    starts: First character of each word in a text; () for words.
    tags: Tag of each word.
  """
  found = []
  marked = all(map(tags_lib.is_entity_tag, tags))
  for one in tags_lib.entities(tags) if marked else ():
    if isinstance(text, str):
      last = one.end - 1
      start, stop = starts[one.first], starts[last] + len(words[last])
      found.append(dataclasses.replace(
          one, text=text[start:stop], start=start, stop=stop))
    else:
      found.append(dataclasses.replace(
          one, text=' '.join(words[one.first:one.end])))
  return Tagged(tuple(words), tuple(tags), tuple(found))
