"""WordPiece as BERT does it, by the `tokenizers` library."""

from collections.abc import Sequence
import json
import os

import numpy as np
import tokenizers
from tokenizers import models
from tokenizers import normalizers
from tokenizers import pre_tokenizers

from adapters_jax import errors

_SPECIAL = ('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]')


def _from_vocabulary(folder: str) -> tokenizers.Tokenizer:
  """Builds the tokenizer of a folder that has vocab.txt alone."""
  lowercase = True
  settings = os.path.join(folder, 'tokenizer_config.json')
  if os.path.exists(settings):
    with open(settings, encoding='utf-8') as file:
      lowercase = json.load(file).get('do_lower_case', True)
  vocabulary = models.WordPiece.read_file(os.path.join(folder, 'vocab.txt'))
  tokenizer = tokenizers.Tokenizer(
      models.WordPiece(
          vocabulary, unk_token='[UNK]', max_input_chars_per_word=100))
  tokenizer.add_special_tokens([t for t in _SPECIAL if t in vocabulary])
  tokenizer.normalizer = normalizers.BertNormalizer(
      clean_text=True, handle_chinese_chars=True, strip_accents=None,
      lowercase=lowercase)
  tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
  return tokenizer


def load(folder: str) -> tokenizers.Tokenizer:
  """Returns the tokenizer of a checkpoint folder, without padding or cutting.

  Args:
    folder: Has tokenizer.json, or vocab.txt (and tokenizer_config.json).

  Raises:
    options.UserError: the folder has neither file.
  """
  if os.path.exists(os.path.join(folder, 'tokenizer.json')):
    tokenizer = tokenizers.Tokenizer.from_file(
        os.path.join(folder, 'tokenizer.json'))
  elif os.path.exists(os.path.join(folder, 'vocab.txt')):
    tokenizer = _from_vocabulary(folder)
  else:
    raise errors.UserError(
        f'--checkpoint: {folder} has neither tokenizer.json nor vocab.txt')
  tokenizer.no_padding()  # Files bring settings of their own.
  tokenizer.no_truncation()
  return tokenizer


def _kept(first: int, second: int, room: int) -> tuple[int, int]:
  """Returns how many pieces of each text stay: the longer one is cut first.

  Of two that are equally long the second loses a piece, as in BERT's own code.
  (The library's 'longest_first' cuts the first one there.)
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
  """Returns (tokens, segments), each a list of [length] int32.

  Args:
    tokenizer: Of `load`.
    texts: One or two texts for each example.
    max_length: Longest result in pieces, [CLS] and [SEP] included.
  """
  parts = [
      [e.ids for e in tokenizer.encode_batch(
          list(column), add_special_tokens=False)]
      for column in zip(*texts)]
  start, end = (tokenizer.token_to_id(name) for name in ('[CLS]', '[SEP]'))
  tokens, segments = [], []
  for pieces in zip(*parts):
    if len(pieces) == 1:
      kept = (max_length - 2,)
    else:
      kept = _kept(len(pieces[0]), len(pieces[1]), max_length - 3)
    ids, kinds = [start], [0]
    for kind, (part, size) in enumerate(zip(pieces, kept)):
      ids += [*part[:size], end]
      kinds += [kind] * (len(part[:size]) + 1)
    tokens.append(np.array(ids, np.int32))
    segments.append(np.array(kinds, np.int32))
  return tokens, segments
