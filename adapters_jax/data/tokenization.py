"""Texts to token ids, by the `tokenizers` library."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tokenizers

from adapters_jax import errors
from adapters_jax.data import progress
from adapters_jax.data import ragged
from adapters_jax.data import templates
from adapters_jax.data import tokenizer_files
from adapters_jax.data import tokenizer_settings

_NAMED = 5  # Tokens in a message.
# Texts at a time, and their characters: an `Encoding` takes 150 bytes a piece
# of the whole text until it is copied.
_CHUNK, _CHARACTERS = 4096, 4_000_000


class Unreadable(errors.UserError):
  """A text that the tokenizer cannot read.

  Attributes:
    row: Number of the text.
    reason: End of the message.
  """

  def __init__(self, row: int, reason: str):
    super().__init__(f'text {row}: {reason}')
    self.row, self.reason = row, reason


def load(
    folder: str, vocab_size: int | None = None
) -> tokenizers.Tokenizer:
  """Loads the tokenizer of a checkpoint, without padding or truncation.

  Args:
    folder: Folder with tokenizer.json, or with one of the older vocabularies;
      see `tokenizer_files`.
    vocab_size: Rows of the model's embedding, which every id is checked
      against; None without a model.

  Raises:
    errors.UserError: no such files, damaged ones, no special tokens, or ids
      without a row.
  """
  tokenizer = tokenizer_files.read_tokenizer(folder)
  templates.template_of(tokenizer, 1)  # Raises before any data is read.
  if vocab_size is not None:
    _check_ids(tokenizer, folder, vocab_size)
  return tokenizer


def _check_ids(
    tokenizer: tokenizers.Tokenizer, folder: str, vocab_size: int
) -> None:
  """Raises UserError for a tokenizer whose ids go beyond the embedding.

  On most devices a look-up beyond the embedding yields NaN or another row
  without an error.

  Args:
    tokenizer: Tokenizer.
    folder: Its folder, for the message.
    vocab_size: Rows of the embedding; more than the ids is common padding.
  """
  ids = tokenizer.get_vocab(with_added_tokens=True)
  pair = tokenizer.encode('a', 'a')
  ids.update(zip(pair.tokens, pair.ids))  # A post-processor has its own ids.
  beyond = sorted((number, token) for token, number in ids.items()
                  if number >= vocab_size)
  if beyond:
    named = errors.listed(
        (f'{token!r} ({number})' for number, token in beyond), _NAMED)
    raise errors.UserError(
        f'`checkpoint`: the tokenizer in {folder} has ids up to '
        f'{beyond[-1][0]}, the embedding {vocab_size} rows (vocab_size of '
        f'config.json): no row for {named}; remove these tokens from the '
        'tokenizer, or give the one of these weights')


def _kept(first: int, second: int, room: int) -> tuple[int, int]:
  """Divides the room for pieces between two texts.

  As in BERT's released code, the longer text is cut piece by piece, and the
  second one if both are equally long. (The library's 'longest_first' then cuts
  the first one.)

  Args:
    first: Pieces of the first text.
    second: Pieces of the second text.
    room: Pieces that both may have together.

  Returns:
    Pieces to keep of each text.
  """
  surplus = max(0, first + second - room)
  level = min(surplus, abs(first - second))
  if first > second:
    first -= level
  else:
    second -= level
  rest = surplus - level
  return first - rest // 2, second - (rest - rest // 2)


def chunks_of(texts: Sequence[Any]) -> Iterator[tuple[int, Sequence[Any]]]:
  """Yields (number of the first, some texts); logs the progress.

  Args:
    texts: Texts, or examples, each with several.
  """
  return progress.logged(
      _chunks(texts), 'tokenised', 'texts', len(texts),
      lambda chunk: len(chunk[1]))


def _chunks(texts: Sequence[Any]) -> Iterator[tuple[int, Sequence[Any]]]:
  """Yields what `chunks_of` does, without a log."""
  start = characters = 0
  for stop, text in enumerate(texts, 1):
    characters += _characters(text)
    if (stop - start < _CHUNK and characters < _CHARACTERS
        and stop < len(texts)):
      continue
    yield start, texts[start:stop]
    start, characters = stop, 0


def _characters(text: Any) -> int:
  """Returns the number of characters of a text, or of those of an example."""
  parts = (text,) if isinstance(text, str) else text
  # The tokenizer refuses other types, such as None.
  return sum(len(part) for part in parts if isinstance(part, str))


def pieces(
    tokenizer: tokenizers.Tokenizer, texts: Sequence[str],
    rows: Sequence[int],
) -> list[tokenizers.Encoding]:
  """Returns the pieces of texts, without special tokens.

  Args:
    tokenizer: Tokenizer from `load`.
    texts: Texts.
    rows: Number of each text, for messages.

  Raises:
    Unreadable: the tokenizer fails; names the first such text.
    errors.UserError: it fails on all texts together.
  """
  try:
    return tokenizer.encode_batch(list(texts), add_special_tokens=False)
  except Exception as error:  # `tokenizers` raises no narrower class.
    for row, text in zip(rows, texts, strict=True):
      _check_text(tokenizer, row, text)
    raise errors.UserError(f'`checkpoint`: its tokenizer: {error}') from error


def check_characters(row: int, text: str) -> None:
  """Raises Unreadable for half of a surrogate pair, which no tokenizer reads.

  Args:
    row: Number of the text, for the message.
    text: Text.
  """
  try:
    text.encode()
  except UnicodeEncodeError as error:  # It says where.
    raise _unreadable(row, text, error) from error


def _unreadable(row: int, text: str, error: Exception) -> Unreadable:
  return Unreadable(row, f'the tokenizer cannot read {text!r:.60} ({error})')


def _check_text(
    tokenizer: tokenizers.Tokenizer, row: int, text: str
) -> None:
  """Raises Unreadable if the tokenizer fails on a text.

  Args:
    tokenizer: Tokenizer.
    row: Number of the text, for the message.
    text: Text.
  """
  try:
    text.encode()  # As `check_characters`; `text` may be None here.
    tokenizer.encode(text, add_special_tokens=False)
  except Exception as error:
    raise _unreadable(row, text, error) from error


def _check_rows(texts: Sequence[tuple[str, ...]]) -> None:
  """Raises UserError for examples other than tuples of one or two texts.

  The letters of a string would be its texts.

  Args:
    texts: As for `encode`.
  """
  if isinstance(texts, str):
    raise errors.UserError(
        "`texts`: give a list of tuples, as in [('A joy.',)], not a string")
  for number, row in enumerate(texts):
    if isinstance(row, str) or len(row) not in (1, 2):
      raise errors.UserError(
          f'`texts[{number}]`: give a tuple of its one or two texts, as in '
          "('A joy.',)")
    if len(row) != len(texts[0]):
      raise errors.UserError(
          f'`texts[{number}]`: has {len(row)} texts, and the first example '
          f'{len(texts[0])}; give all as many')


def encode(
    tokenizer: tokenizers.Tokenizer, texts: Sequence[tuple[str, ...]],
    max_length: int,
) -> tuple[ragged.Ragged, ragged.Ragged]:
  """Tokenises examples, with the special tokens of the tokenizer.

  Args:
    tokenizer: Tokenizer from `load`.
    texts: One or two texts for each example.
    max_length: Largest number of tokens, special tokens included.

  Returns:
    (tokens, segments), each with [length] int32 for every example.

  Raises:
    errors.UserError: a `max_length` without room for text, a text that cannot
      be read, examples of other forms, or a tokenizer without special tokens.
  """
  return encode_counted(tokenizer, texts, max_length)[:2]


def encode_counted(
    tokenizer: tokenizers.Tokenizer, texts: Sequence[tuple[str, ...]],
    max_length: int, rows: Sequence[int] | None = None,
) -> tuple[ragged.Ragged, ragged.Ragged, np.ndarray]:
  """Returns (tokens, segments, [examples] whether an example is cut).

  Args:
    tokenizer: Tokenizer from `load`.
    texts: As for `encode`.
    max_length: Largest number of tokens, special tokens included.
    rows: Number of each example in messages; from 0 on when None.

  Raises:
    errors.UserError: as for `encode`.
  """
  _check_rows(texts)
  if not texts:
    nothing = ragged.Ragged.join([], [])
    return nothing, nothing, np.zeros(0, bool)
  template = templates.template_of(tokenizer, len(texts[0]))
  room = template.room(max_length)
  tokens, segments, lengths, cut = [], [], [], []
  rows = range(len(texts)) if rows is None else rows
  for start, some in chunks_of(texts):
    ids, kinds = [], []
    for parts, whole in _parts(
        tokenizer, some, rows[start:start + len(some)], room):
      row, kind = template.fill(parts)
      ids += row
      kinds += kind
      lengths.append(len(row))
      cut.append(not whole)
    tokens.append(np.array(ids, np.int32))
    segments.append(np.array(kinds, np.int8))  # 0 or 1: a quarter of memory.
  return (ragged.Ragged.join(tokens, lengths),
          ragged.Ragged.join(segments, lengths), np.array(cut))


def _parts(
    tokenizer: tokenizers.Tokenizer, texts: Sequence[tuple[str, ...]],
    rows: Sequence[int], room: int,
) -> Iterator[tuple[list[list[int]], bool]]:
  """Yields (pieces of each text, whether they are whole) of the examples.

  Args:
    tokenizer: Tokenizer.
    texts: Texts of the examples.
    rows: Number of each example.
    room: Pieces that the texts of an example may have together.
  """
  columns = (pieces(tokenizer, column, rows)
             for column in zip(*texts, strict=True))
  last = tokenizer_settings.keeps_end(tokenizer)
  for encodings in zip(*columns, strict=True):
    example = [one.ids for one in encodings]  # Lists of one example at a time.
    kept = (room,)
    if len(example) == 2:
      kept = _kept(len(example[0]), len(example[1]), room)
    parts = [part[len(part) - size:] if last else part[:size] for part, size
             in zip(example, map(min, kept, map(len, example)), strict=True)]
    yield parts, sum(map(len, example)) <= room
