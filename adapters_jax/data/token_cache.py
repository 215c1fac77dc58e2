"""Caches tokenised splits on disk, for runs on the same texts."""

from collections.abc import Sequence
import contextlib
import hashlib
import logging
import os

import numpy as np
import tokenizers

from adapters_jax.data import ragged
from adapters_jax.data import tokenization
from adapters_jax.data import tokenizer_settings
from adapters_jax.downloads import atomic
from adapters_jax.downloads import evict
from adapters_jax.downloads import pinned

_log = logging.getLogger(__name__)

_VERSION = 2  # Counts changes to `tokenization.encode` or the files below.
_AT_LEAST = 20_000  # Examples: fewer take a second or two.
_MOST_BYTES = 2 * 2**30  # Of all entries together.

Found = tuple[ragged.Ragged, ragged.Ragged, int]


def encode(
    tokenizer: tokenizers.Tokenizer, texts: Sequence[tuple[str, ...]],
    max_length: int,
) -> Found:
  """Calls `tokenization.encode_counted`, or reads the result of another call.

  Only splits of many examples are kept, in the cache folder.

  Args:
    tokenizer: Tokenizer from `tokenization.load`.
    texts: One or two texts for each example.
    max_length: Largest number of tokens, special tokens included.

  Returns:
    (tokens, segments, number of examples that are cut), the first two with
    [length] int32 for every example.

  Raises:
    errors.UserError: as `tokenization.encode`.
  """
  if len(texts) < _AT_LEAST:
    return _encode(tokenizer, texts, max_length)
  path = os.path.join(
      pinned.cache_dir(), 'tokens', f'{_key(tokenizer, texts, max_length)}.npz')
  found = _read(path, len(texts))
  if found is None:
    _log.info('tokenising %d examples', len(texts))
    found = _encode(tokenizer, texts, max_length)
    _write(path, *found)
  return found


def _encode(tokenizer, texts, max_length) -> Found:
  """Returns the result of `encode`, without a cache."""
  tokens, segments, cut = tokenization.encode_counted(
      tokenizer, texts, max_length)
  return tokens, segments, int(cut.sum())


def _key(
    tokenizer: tokenizers.Tokenizer, texts: Sequence[tuple[str, ...]],
    max_length: int,
) -> str:
  """Returns a hash of everything that the tokens depend on."""
  # The whole tokenizer: its files, and the settings that changed it.
  found = hashlib.sha256(tokenizer.to_str().encode())
  # Settings that are not part of its JSON.
  found.update(repr((
      _VERSION, tokenizers.__version__, max_length, len(texts),
      tokenizer.encode_special_tokens,
      tokenizer_settings.keeps_end(tokenizer))).encode())
  for example in texts:
    # Lengths first: ('ab', 'c') is not ('a', 'bc'). `surrogatepass`, as
    # `tokenization.encode` is to raise the error of such a text.
    parts = [text.encode('utf-8', 'surrogatepass') for text in example]
    found.update(repr([len(part) for part in parts]).encode())
    for part in parts:
      found.update(part)
  return found.hexdigest()[:32]


def _read(path: str, examples: int) -> Found | None:
  """Returns the result of `encode` in an entry, None if there is none.

  Args:
    path: Path of the entry.
    examples: Number of examples.
  """
  try:
    with np.load(path) as arrays:  # Checks the CRC of each array.
      tokens, segments, offsets, cut = (
          arrays[name] for name in ('tokens', 'segments', 'offsets', 'cut'))
    if (len(offsets) != examples + 1 or offsets[-1] != len(tokens)
        or tokens.shape != segments.shape):
      raise ValueError('arrays of other lengths')
  except FileNotFoundError:
    return None
  except Exception as error:  # Damage has many: BadZipFile, zlib's, OSError.
    _log.info('%s cannot be read (%s): tokenising again', path, error)
    return None
  with contextlib.suppress(OSError):
    os.utime(path)  # The least recently used entry is the first to go.
  return (ragged.Ragged(tokens.astype(np.int32, copy=False), offsets),
          ragged.Ragged(segments, offsets), int(cut))


def _write(
    path: str, tokens: ragged.Ragged, segments: ragged.Ragged, cut: int
) -> None:
  """Writes an entry and removes old ones; without room, it does neither.

  Args:
    path: Path of the entry.
    tokens: Tokens of each example.
    segments: Segments of the same lengths.
    cut: Number of examples that are cut.
  """
  ids = tokens.flat
  if ids.max(initial=0) < 2**16:  # Half the size, with most vocabularies.
    ids = ids.astype(np.uint16)
  size = sum(array.nbytes for array in (ids, segments.flat, tokens.offsets))
  if size > _MOST_BYTES:
    _log.info(
        'the tokens are not kept for the next run: they take %.1f GB, and the '
        'cache %.1f GB', size / 1e9, _MOST_BYTES / 1e9)
    return
  try:
    with atomic.replacing(path) as file:
      np.savez(file, tokens=ids, segments=segments.flat,
               offsets=tokens.offsets, cut=cut)
    evict.least_recent(os.path.dirname(path), _MOST_BYTES)
  except OSError as error:  # A full disk, or a folder of another user.
    _log.info('the tokens are not kept for the next run: %s', error)
