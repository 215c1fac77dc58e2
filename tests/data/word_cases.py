"""Sentences of words, and their pieces by transformers' tokenizers."""

from typing import Any

_WORDS = (
    'The', 'café', 'was', 'Good', ',', 'and', 'the', 'film', 'a', 'joy', '!',
    'CAFÉ', 'un\u0301', 'İ', '中国', '½', '😀', '@user', "don't", '"', '(',
    'end-to-end', '...', 'x' * 30, '<mask>', '\u200b', 'plot', 'poor')
# 50 sentences; every word comes first, last and after every kind of word.
SENTENCES = [
    [_WORDS[(start * 5 + number * (start % 7 + 1)) % len(_WORDS)]
     for number in range(1 + start % 11)] for start in range(50)]
# {kind: folder of tests/fixtures/tokenizers.json}
FOLDERS = {
    'WordPiece': 'bert_uncased', 'cased WordPiece': 'bert_cased',
    'WordPiece of MPNet': 'mpnet_json', 'byte-level BPE': 'roberta',
    'BPE of ModernBERT': 'modernbert_json', 'Unigram': 'xlm_roberta_json'}


def run_transformers(folder: str) -> list[dict[str, Any]]:
  """Returns the ids and the word of each piece of SENTENCES.

  Args:
    folder: Folder of a tokenizer.
  """
  import transformers
  # Words of RoBERTa need it, by the library's own error message.
  tokenizer = transformers.AutoTokenizer.from_pretrained(
      folder, add_prefix_space=True)
  rows = []
  for words in SENTENCES:
    found = tokenizer(
        words, is_split_into_words=True, add_special_tokens=False)
    rows.append({'ids': found['input_ids'], 'words': found.word_ids()})
  return rows
