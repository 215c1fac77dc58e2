"""WordPiece as BERT does it, by the `tokenizers` library."""

from collections.abc import Sequence
import json
import os

import numpy as np
import tokenizers
from tokenizers import models
from tokenizers import normalizers
from tokenizers import pre_tokenizers
from tokenizers import processors

from adapters_jax import options

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
  tokenizer.post_processor = processors.TemplateProcessing(
      single='[CLS] $A [SEP]',
      pair='[CLS] $A [SEP] $B:1 [SEP]:1',
      special_tokens=[(t, vocabulary[t]) for t in ('[CLS]', '[SEP]')])
  return tokenizer


def load(folder: str, max_length: int) -> tokenizers.Tokenizer:
  """Returns the tokenizer of a checkpoint folder.

  Args:
    folder: Has tokenizer.json, or vocab.txt (and tokenizer_config.json).
    max_length: Longer inputs are cut to so many pieces, [CLS] and [SEP]
      included; of a pair the longer text is cut first.

  Raises:
    options.UserError: the folder has neither file.
  """
  if os.path.exists(os.path.join(folder, 'tokenizer.json')):
    tokenizer = tokenizers.Tokenizer.from_file(
        os.path.join(folder, 'tokenizer.json'))
  elif os.path.exists(os.path.join(folder, 'vocab.txt')):
    tokenizer = _from_vocabulary(folder)
  else:
    raise options.UserError(
        f'checkpoint: {folder} has neither tokenizer.json nor vocab.txt')
  tokenizer.no_padding()  # Files bring settings of their own.
  tokenizer.enable_truncation(max_length, strategy='longest_first')
  return tokenizer


def encode(
    tokenizer: tokenizers.Tokenizer, texts: Sequence[tuple[str, ...]]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
  """Returns (tokens, segments), each a list of [length] int32.

  Args:
    tokenizer: Of `load`.
    texts: One or two texts for each example.
  """
  inputs = [text[0] if len(text) == 1 else tuple(text) for text in texts]
  encodings = tokenizer.encode_batch(inputs)
  return ([np.array(e.ids, np.int32) for e in encodings],
          [np.array(e.type_ids, np.int32) for e in encodings])
