"""Tokenizer folders and texts on which this project and transformers agree."""

import json
import os
from typing import Any

import numpy as np
import tokenizers

from adapters_jax.data import templates
from adapters_jax.data import tokenization

LONG = ' '.join(f'the film {n} was good' for n in range(30))
# (text, second text or None, room for the pieces of both). An even room: of
# an odd one the first text gets more by this project's rule, the second one by
# that of the fast tokenizers.
TEXTS = (
    ('', None, 18),
    ('The café was Good, and the film a joy!', None, 40),
    (' two  spaces\tand\na line ', None, 40),
    ('un\u0301 cafe\u0301 \u0130 中国 \u00bd ﬁlm 😀', None, 60),
    ('a <mask> [MASK] </s> [SEP] @user <s> [CLS]', None, 60),
    (LONG, None, 33),
    ('How was it?', 'Good film, poor plot.', 40),
    (' a film', ' a plot', 40),
    ('', 'poor', 12),
    ('good film', LONG, 20),
    (LONG, 'good film', 20),
    (LONG, LONG, 28),
)

Rows = list[dict[str, list[int]]]


def write(folder: str, files: dict[str, Any]) -> str:
  """Writes the files of a checkpoint's tokenizer and returns the folder.

  Args:
    folder: Folder, created.
    files: {name: text, or value for JSON}
  """
  os.makedirs(folder, exist_ok=True)
  for name, content in files.items():
    with open(os.path.join(folder, name), 'w', encoding='utf-8') as file:
      file.write(content if isinstance(content, str) else json.dumps(content))
  return folder


def read(folder: str) -> dict[str, Any]:
  """Returns {name: text, or value of JSON} of the files in a folder."""
  files = {}
  for name in sorted(os.listdir(folder)):
    with open(os.path.join(folder, name), encoding='utf-8') as file:
      content = file.read()
    files[name] = json.loads(content) if name.endswith('.json') else content
  return files


def encode(folder: str, vocab_size: int) -> Rows:
  """Returns ids and segments of TEXTS.

  Args:
    folder: Folder of the tokenizer.
    vocab_size: Largest id and one.
  """
  tokenizer = tokenization.load(folder, vocab_size)
  rows = []
  for first, second, room in TEXTS:
    texts = (first,) if second is None else (first, second)
    taken = templates.template_of(tokenizer, len(texts)).size
    found = tokenization.encode(tokenizer, [texts], room + taken)
    ids, segments = (np.asarray(row[0]).tolist() for row in found)
    rows.append({'ids': ids, 'segments': segments})
  return rows


def run_transformers(folder: str) -> Rows:
  """Returns ids and segments of TEXTS by the fast tokenizer of transformers."""
  import transformers
  tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
  assert tokenizer.is_fast
  rows = []
  for first, second, room in TEXTS:
    taken = tokenizer.num_special_tokens_to_add(pair=second is not None)
    found = tokenizer(
        first, second, truncation='longest_first', max_length=room + taken)
    # Models take zeros for those that the tokenizer does not give.
    rows.append({'ids': found['input_ids'], 'segments': found.get(
        'token_type_ids', [0] * len(found['input_ids']))})
  return rows


def spaces_as_pieces(*words: str) -> tokenizers.Tokenizer:
  """Returns a tokenizer that, as Gemma's, takes a text for a single word.

  Args:
    words: Words that are one piece after a space; letters are pieces, too.
  """
  merges = [(f'▁{word}'[:end], word[end - 1]) for word in words
            for end in range(1, len(word) + 1)]
  pieces = dict.fromkeys((
      '<pad>', '<eos>', '<bos>', '<unk>', '<mask>', '▁', *map(chr, range(
          33, 127)), *map(''.join, merges)))
  tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(
      {piece: number for number, piece in enumerate(pieces)},
      list(dict.fromkeys(merges)), unk_token='<unk>'))
  tokenizer.add_special_tokens(['<bos>', '<eos>', '<mask>'])
  tokenizer.normalizer = tokenizers.normalizers.Replace(' ', '▁')
  # There is no space any more that it could split at.
  tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Split(
      ' ', 'merged_with_previous')
  tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
      '<bos> $A <eos>', '<bos> $A <eos> $B <eos>',
      [('<bos>', 2), ('<eos>', 1)])
  return tokenizer
