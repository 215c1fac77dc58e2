"""Cuts words into windows of word pieces, and maps outputs back to words."""

from collections.abc import Iterable, Sequence
import dataclasses
import functools
import json
import re
from typing import Any
import unicodedata

import numpy as np
import tokenizers

from adapters_jax import errors
from adapters_jax.data import examples as examples_lib
from adapters_jax.data import piece_words
from adapters_jax.data import ragged
from adapters_jax.data import templates
from adapters_jax.data import tokenization

# A combining mark, for all characters over which a word continues.
_MARK = '\u0300'
# A run of letters and digits, with apostrophes inside; or any other character;
# each with the marks on it.
_WORD = re.compile(
    f"\\w[\\w{_MARK}]*(?:['’]\\w[\\w{_MARK}]*)*|[^\\w\\s]{_MARK}*")
_OTHER = re.compile(r'[^\x00-\x7f\w\s]')
_ZERO_WIDTH_SPACE = '\u200b'  # Divides words, unlike other format characters.


@dataclasses.dataclass(frozen=True)
class Windows:
  """Origins of inputs that hold parts of sentences.

  Attributes:
    rows: [inputs] int, number of the sentence of each.
    words: For each input [length] int32, the number of the word whose output is
      read at a position, -1 elsewhere. Each word has one position.
  """
  rows: np.ndarray
  words: Sequence[np.ndarray]


def split(text: str) -> list[tuple[str, int]]:
  """Returns (word, its first character) of a text that has not been split."""
  # Marks become `_MARK`, as `re` has no class for them; lengths are kept.
  plain = _OTHER.sub(_mark_or_itself, text)
  return [(text[slice(*found.span())], found.start())
          for found in _WORD.finditer(plain)]


def _mark_or_itself(found: re.Match[str]) -> str:
  """Returns `_MARK` for a character over which a word continues.

  Those are combining marks, such as vowel signs and accents, and format
  characters, such as joiners and soft hyphens (rule WB4 of Unicode's word
  boundaries, UAX 29).

  Args:
    found: Match of a character.
  """
  category = unicodedata.category(found[0])
  continues = category[0] == 'M' or (
      category == 'Cf' and found[0] != _ZERO_WIDTH_SPACE)
  return _MARK if continues else found[0]


def for_words(tokenizer: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
  """Returns a tokenizer that reads each word as if a space preceded it.

  Byte-level BPE and tokenizers such as Gemma's, whose normalizer makes letters
  of spaces, give a word after a space other pieces than one at the start of a
  text; given single words, they would treat all of them as starts.

  Args:
    tokenizer: Tokenizer from `tokenization.load`.
  """
  return _for_words(tokenizer)


@functools.lru_cache(maxsize=8)
def _for_words(tokenizer: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
  by_bytes = 'ByteLevel' in repr(type(tokenizer.pre_tokenizer)) + str(
      tokenizer.pre_tokenizer)
  glues = _glues(tokenizer)
  if not by_bytes and not glues:
    return tokenizer
  values = json.loads(tokenizer.to_str())

  def visit(part: Any) -> None:
    if part.get('type') == 'ByteLevel':
      part['add_prefix_space'] = True
    for inner in part.get('pretokenizers', ()):
      visit(inner)

  if by_bytes:
    visit(values['pre_tokenizer'])
  if glues:
    values['normalizer'] = {'type': 'Sequence', 'normalizers': [
        {'type': 'Prepend', 'prepend': piece_words.SPACE},
        values['normalizer']]}
  # A copy: the tokenizer of texts stays as it is.
  found = tokenizers.Tokenizer.from_str(json.dumps(values))
  found.encode_special_tokens = tokenizer.encode_special_tokens
  return found


def _glues(tokenizer: tokenizers.Tokenizer) -> bool:
  """Returns whether single words have none of the spaces that are pieces."""
  normalizer = tokenizer.normalizer
  return normalizer is not None and (
      normalizer.normalize_str('a a') == f'a{piece_words.SPACE}a')


def word_pieces(
    tokenizer: tokenizers.Tokenizer, sentences: Sequence[Sequence[str]],
    start: int = 0,
) -> list[tokenizers.Encoding]:
  """Returns the pieces of sentences, whose `word_ids` number their words.

  Args:
    tokenizer: Tokenizer from `for_words`.
    sentences: Words of each.
    start: Number of the first sentence, for messages.

  Raises:
    errors.UserError: a word that the tokenizer cannot read.
  """
  try:
    return tokenizer.encode_batch(
        [list(words) for words in sentences], is_pretokenized=True,
        add_special_tokens=False)
  except Exception as error:  # `tokenizers` raises no narrower class.
    for row, words in enumerate(sentences, start):
      for number, word in enumerate(words):
        try:
          word.encode()
          tokenizer.encode([word], is_pretokenized=True)
        except Exception as found:
          raise errors.UserError(
              f'sentence {row}, word {number}: the tokenizer cannot read '
              f'{word!r:.60} ({found})') from found
    raise errors.UserError(f'`checkpoint`: its tokenizer: {error}') from error


def cut_sentences(
    tokenizer: tokenizers.Tokenizer, sentences: Sequence[Sequence[str]],
    max_length: int, labels: Sequence[Sequence[int]] | None = None,
) -> tuple[examples_lib.Examples, Windows]:
  """Makes inputs from sentences; long ones in windows that overlap.

  The first piece of a word represents it. If two windows contain it, only the
  one with more context around it counts.

  Args:
    tokenizer: Tokenizer from `tokenization.load`.
    sentences: Words of each.
    max_length: Tokens of an input, special tokens included.
    labels: Class of each word, `examples_lib.IGNORED` for none; unlabelled when
      None.

  Returns:
    (inputs, their origins). Labels are [length] int32 for each input,
    IGNORED away from first pieces. A word without pieces is in no input.

  Raises:
    errors.UserError: a `max_length` without room, or a word that cannot be
      read.
  """
  tokenizer = for_words(tokenizer)
  template = templates.template_of(tokenizer, 1)
  room, prefix = template.room(max_length), len(template.tokens[0])
  tokens, segments, places, rows = [], [], [], []
  for start, some in tokenization.chunks_of(sentences):
    for row, one in enumerate(word_pieces(tokenizer, some, start), start):
      ids, numbers = np.array(one.ids, np.int32), _first_pieces(one.word_ids)
      for begin, kept in _windows(numbers, room):
        filled, kinds = template.fill((ids[begin:begin + room],))
        place = np.full(len(filled), -1, np.int32)
        place[prefix:prefix + len(kept)] = kept
        tokens.append(np.array(filled, np.int32))
        segments.append(np.array(kinds, np.int32))
        places.append(place)
        rows.append(row)
  windows = Windows(np.array(rows, np.int64), _joined(places))
  known = None if labels is None else [
      np.array(one, np.int32) for one in labels]
  targets = [
      np.full(len(place), examples_lib.IGNORED, np.int32) if known is None else
      np.where(place >= 0, known[row][place], examples_lib.IGNORED)
      for row, place in zip(rows, places, strict=True)]
  return examples_lib.Examples(
      _joined(tokens), _joined(segments), _joined(targets),
      labelled=labels is not None), windows


def _joined(parts: Sequence[np.ndarray]) -> ragged.Ragged:
  return ragged.Ragged.join(parts, [len(part) for part in parts])


def _first_pieces(word_ids: Sequence[int | None]) -> np.ndarray:
  """Returns [pieces] int32, the word of each first piece, -1 for others."""
  words = np.array([-1 if one is None else one for one in word_ids], np.int32)
  first = np.ones(len(words), bool)
  first[1:] = words[1:] != words[:-1]
  return np.where(first, words, -1)


def _windows(
    numbers: np.ndarray, room: int
) -> Iterable[tuple[int, np.ndarray]]:
  """Yields (first piece, words that count) of each window of a sentence.

  Args:
    numbers: [pieces] int, the word of each first piece, -1 for others.
    room: Pieces of a window.
  """
  count = len(numbers)
  stride = max(1, room // 2)
  begins = [0]
  while begins[-1] + room < count:
    # The last window is as long as the others, for as much context.
    begins.append(min(begins[-1] + stride, count - room))
  starts = np.array(begins)[:, None]  # [windows, 1]
  ends = np.minimum(starts + room, count)
  where = np.arange(count)
  # Distance to the nearer end of the window; ends of the sentence do not count.
  before = np.where(starts == 0, count, where - starts)
  after = np.where(ends == count, count, ends - 1 - where)
  context = np.where((where >= starts) & (where < ends),
                     np.minimum(before, after), -1)  # [windows, pieces]
  best = context.argmax(0)
  for number, begin in enumerate(begins):
    inside = slice(begin, begin + room)
    kept = np.where(best[inside] == number, numbers[inside], -1)
    if (kept >= 0).any():
      yield begin, kept


def read_outputs(
    outputs: Iterable[np.ndarray], windows: Windows, sizes: Sequence[int],
    missing: int,
) -> list[np.ndarray]:
  """Returns the class of every word of each sentence, [words] int.

  Args:
    outputs: [length, classes] logits for each input, with or without padding.
    windows: Origins of the inputs, from `cut_sentences`.
    sizes: Number of words of each sentence.
    missing: Class of words without pieces.
  """
  found = [np.full(size, missing, np.int32) for size in sizes]
  for one, row, words in zip(
      outputs, windows.rows, windows.words, strict=True):
    at = np.flatnonzero(words >= 0)
    found[row][words[at]] = one[at].argmax(-1)
  return found
