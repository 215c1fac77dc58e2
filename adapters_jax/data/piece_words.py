"""Words of a text's pieces, which masked language modelling masks together."""

import re

import tokenizers

NONE = -1  # Word of a special token.
SPACE = '▁'  # Stands for a space in the pieces of SentencePiece.

# Scripts that write no spaces between words: South-East Asian ones and Tibetan,
# kana, Han. There a piece is about a word, and a tokenizer's word a sentence.
_UNSPACED = re.compile(
    '[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u1980-\u19df\u1a20-\u1aaf'
    '\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua9e0-\ua9ff'
    '\uaa60-\uaadf\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]')


def numbers_of(encoding: tokenizers.Encoding, text: str) -> list[int]:
  """Returns the number of each piece's word, NONE without a word.

  A word of the tokenizer is divided before pieces that begin with a space,
  since tokenizers such as Gemma's take a whole text for one word, and at the
  characters of scripts without spaces. Pieces of one character, such as its
  bytes, stay together.

  Args:
    encoding: Pieces of the text, without special tokens.
    text: Text.
  """
  offsets = encoding.offsets if _UNSPACED.search(text) else ()
  found: list[int] = []
  number, before = NONE, None
  for place, (word, piece) in enumerate(
      zip(encoding.word_ids, encoding.tokens, strict=True)):
    if word is not None and (
        word != before or piece.startswith(SPACE) or offsets and _divides(
            text, offsets[place - 1][1], offsets[place][0])):
      number += 1
    found.append(NONE if word is None else number)
    before = word
  return found


def _divides(text: str, end: int, start: int) -> bool:
  """Returns whether words end between two pieces for lack of spaces.

  Args:
    text: Text.
    end: End of the first piece in the text.
    start: Start of the second; before `end` within a character.
  """
  return start >= end and bool(_UNSPACED.search(text, end - 1, start + 1))
