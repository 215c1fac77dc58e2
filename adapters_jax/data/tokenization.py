"""BERT's WordPiece, by the `tokenizers` library."""

from collections.abc import Sequence
import json
import os

import numpy as np
import tokenizers
from tokenizers import models
from tokenizers import normalizers
from tokenizers import pre_tokenizers
from tokenizers import processors

from adapters_jax import errors
from adapters_jax.data import templates

_SPECIAL = ('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]')


def _from_vocabulary(folder: str) -> tokenizers.Tokenizer:
  """Builds the tokenizer of a folder without tokenizer.json."""
  lowercase = True  # BERT's released files have no tokenizer_config.json.
  settings = os.path.join(folder, 'tokenizer_config.json')
  if os.path.exists(settings):
    with open(settings, encoding='utf-8') as file:
      lowercase = json.load(file).get('do_lower_case', True)
  vocabulary = models.WordPiece.read_file(os.path.join(folder, 'vocab.txt'))
  if absent := [name for name in ('[CLS]', '[SEP]') if name not in vocabulary]:
    raise errors.UserError(
        f'`checkpoint`: {folder}/vocab.txt has no {" and no ".join(absent)}; '
        'give a tokenizer.json')
  tokenizer = tokenizers.Tokenizer(
      models.WordPiece(
          vocabulary, unk_token='[UNK]', max_input_chars_per_word=100))
  tokenizer.add_special_tokens([t for t in _SPECIAL if t in vocabulary])
  # strip_accents=None follows `lowercase`, as in BERT.
  tokenizer.normalizer = normalizers.BertNormalizer(
      clean_text=True, handle_chinese_chars=True, strip_accents=None,
      lowercase=lowercase)
  tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
  tokenizer.post_processor = processors.BertProcessing(
      ('[SEP]', vocabulary['[SEP]']), ('[CLS]', vocabulary['[CLS]']))
  return tokenizer


def load(folder: str) -> tokenizers.Tokenizer:
  """Loads the tokenizer of a checkpoint, without padding or truncation.

  Args:
    folder: Folder with tokenizer.json, or with vocab.txt and perhaps
      tokenizer_config.json.

  Raises:
    errors.UserError: the folder has neither file.
  """
  if os.path.exists(os.path.join(folder, 'tokenizer.json')):
    tokenizer = tokenizers.Tokenizer.from_file(
        os.path.join(folder, 'tokenizer.json'))
  elif os.path.exists(os.path.join(folder, 'vocab.txt')):
    tokenizer = _from_vocabulary(folder)
  else:
    raise errors.UserError(
        f'`checkpoint`: {folder} has neither tokenizer.json nor vocab.txt')
  # tokenizer.json may contain both; lengths are set by `encode` and batching.
  tokenizer.no_padding()
  tokenizer.no_truncation()
  return tokenizer


def _kept(first: int, second: int, room: int) -> tuple[int, int]:
  """Divides the room for pieces between two texts.

  The longer text is cut first, piece by piece; of two equally long ones the
  second loses a piece. That is the rule of BERT's released code. (The library's
  'longest_first' cuts the first of two equally long texts.)

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


def encode(
    tokenizer: tokenizers.Tokenizer, texts: Sequence[tuple[str, ...]],
    max_length: int,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
  """Tokenises examples, with the special tokens of the tokenizer.

  Args:
    tokenizer: Tokenizer from `load`.
    texts: One or two texts for each example.
    max_length: Largest number of tokens, special tokens included.

  Returns:
    (tokens, segments), each with [length] int32 for every example.

  Raises:
    errors.UserError: a `max_length` without room for text, or a tokenizer
      without special tokens.
  """
  if not texts:
    return [], []
  parts = [  # [parts][examples]; special tokens are added after the cut.
      [e.ids for e in tokenizer.encode_batch(
          list(column), add_special_tokens=False)]
      for column in zip(*texts)]
  template = templates.of(tokenizer, len(parts))
  room = template.room(max_length)
  tokens, segments = [], []
  for pieces in zip(*parts):
    kept = (room,)
    if len(pieces) == 2:
      kept = _kept(len(pieces[0]), len(pieces[1]), room)
    ids, kinds = template.fill(
        [part[:size] for part, size in zip(pieces, kept)])
    tokens.append(np.array(ids, np.int32))
    segments.append(np.array(kinds, np.int32))
  return tokens, segments
