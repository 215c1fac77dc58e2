"""Tests of data.piece_words."""

import json

import pytest

from adapters_jax.data import piece_words
from adapters_jax.data import tokenization
from tests.data import tokenizer_cases


def words_of(tokenizer, text):
  """Returns the pieces of each word, joined by bars."""
  one, = tokenization.pieces(tokenizer, [text], [0])
  found = {}
  for number, piece in zip(piece_words.numbers_of(one, text), one.tokens):
    found.setdefault(number, []).append(piece)
  assert [*found] == [*range(len(found))]  # In order, without gaps.
  return ['|'.join(pieces) for pieces in found.values()]


def of_fixture(kind, folder):
  with open('tests/fixtures/tokenizers.json', encoding='utf-8') as file:
    files = json.load(file)[kind]['files']
  return tokenization.load(tokenizer_cases.write(str(folder), files))


def test_words_begin_at_pieces_with_a_space():
  tokenizer = tokenizer_cases.spaces_as_pieces('the', 'film')
  assert words_of(tokenizer, 'the film  was') == [
      't|h|e', '▁film', '▁', '▁|w|a|s']


def test_words_of_other_tokenizers_stay(tmp_path):
  tokenizer = of_fixture('bert_uncased', tmp_path)
  text = 'The café was end-to-end ▁ poor!'
  one, = tokenization.pieces(tokenizer, [text], [0])
  assert piece_words.numbers_of(one, text) == one.word_ids


@pytest.mark.parametrize('kind, text, wanted', [
    ('xlm_roberta_json', 'film中国中国', [
        '▁fi|l|m', '中', '国', '中', '国']),
    ('xlm_roberta_json', '中a国', ['▁中', 'a', '国']),
    # Three bytes each.
    ('modernbert_json', 'ไทa', [
        'à|¹|Ħ', 'à|¸|Ĺ', 'a'])])
def test_scripts_without_spaces_are_divided(kind, text, wanted, tmp_path):
  assert words_of(of_fixture(kind, tmp_path), text) == wanted
