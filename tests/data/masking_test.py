"""Tests of the choice of masks; tests/experiments has those of its runs."""

from unittest import mock

import numpy as np
import pytest

from adapters_jax.data import masking
from adapters_jax.data import ragged
from adapters_jax.data import tokenization
from tests.data import piece_words_test
from tests.data import tokenizer_cases

URL = 'https://example.com/a-b'
HOW = masking.Masking(0.2, True, 4, 50)


def shares_of(texts, row=0, seeds=400):
  """Returns the share of masks at each piece of an encoded text."""
  tokens, words = texts.tokens[row], texts.words[row]
  counts = np.zeros(len(tokens))
  for seed in range(seeds):
    positions = masking.mask_text(
        tokens, words, HOW, np.random.default_rng([seed]))[1]
    counts[positions] += 1
  return counts[words >= 0] / seeds


@pytest.mark.parametrize('kind, text', [
    ('xlm_roberta_json', '中国' * 10), ('xlm_roberta_json', 'was' * 5),
    ('bert_uncased', 'was' * 5), ('modernbert_json', 'ไทย' * 5),
    ('gemma', 'so the film was a joy to us'), ('gemma', URL),
    ('gemma', 'plot')])
def test_every_piece_of_a_text_that_is_one_word_is_masked(kind, text, tmp_path):
  tokenizer = (
      tokenizer_cases.spaces_as_pieces('the', 'film', 'was', 'a', 'joy', 'us')
      if kind == 'gemma' else piece_words_test.of_fixture(kind, tmp_path))
  shares = shares_of(masking.encode_words(tokenizer, [text], 80))
  assert len(shares) > 2
  budget = HOW.most(len(shares)) / len(shares)
  assert shares.mean() == pytest.approx(budget, rel=0.4)
  # Words of several pieces differ, as they may exceed the rest of the share.
  assert shares.min() > 0.4 * budget and shares.max() < 2.5 * budget


def test_a_long_word_among_others_is_masked_piece_by_piece():
  tokenizer = tokenizer_cases.spaces_as_pieces('the', 'film', 'joy')
  texts = masking.encode_words(
      tokenizer, [f' the film{" joy" * 4} {URL}'], 80)
  # Of 30 pieces, 6 are masked.
  assert texts.words[0].tolist() == [
      -1, 0, 1, 2, 3, 4, 5, *[6] * (len(URL) + 1), -1]
  assert HOW.most(len(texts.words[0]) - 2) == 6
  np.testing.assert_allclose(shares_of(texts), 0.2, atol=0.08)


def test_texts_of_several_chunks_have_the_pieces_of_texts_alone():
  tokenizer = tokenizer_cases.spaces_as_pieces('the', 'film', 'joy')
  given = [' the film', '', ' joy' * 9, ' film joy the', ' the']
  with mock.patch.object(tokenization, '_CHUNK', 2):
    found = masking.encode_words(tokenizer, given, 6)
  alone = [masking.encode_words(tokenizer, [text], 6) for text in given]
  for name in ('tokens', 'segments', 'words'):
    rows = getattr(found, name)
    assert isinstance(rows, ragged.Ragged)  # Arrays of their own take more.
    assert {row.dtype for row in rows} == {np.dtype(np.int32)}
    assert [row.tolist() for row in rows] == [
        row.tolist() for one in alone for row in getattr(one, name)]
  assert len(found) == len(found.labels) > len(given)
  assert not len(masking.encode_words(tokenizer, [''], 6))
  assert not len(masking.encode_words(tokenizer, [], 6))


def test_masks_of_records_stay():
  """A word of a few pieces is whole, or its leading pieces are masked."""
  tokens, words = np.arange(10, 18), np.array([-1, 0, 1, 1, 1, 2, 3, -1])
  how = masking.Masking(0.3, True, 4, 50)
  assert [masking.mask_text(
      tokens, words, how, np.random.default_rng(seed))[1].tolist()
          for seed in range(12, 20)] == [
              [2, 3], [5, 6], [1, 6], [1, 5], [2, 3], [1, 5], [1, 5], [1, 6]]
  assert masking.mask_text(tokens, words, how, np.random.default_rng(2))[
      0].tolist() == [10, 11, 12, 13, 14, 14, 4, 17]


def test_masks_of_batches_stay():
  """Each row of each step has masks of its own, each example of an evaluation
  those of its number."""
  count, words = 3, np.array([-1, 0, 1, 2, 3, 4, 5, -1])
  tokens = [np.arange(10, 18, dtype=np.int32)] * count
  texts = masking.Texts(
      tokens, [0 * one for one in tokens], np.zeros(count, np.int32),
      words=[words] * count)
  how = masking.Masking(0.3, False, 4, 50)
  schedule = masking.MaskedSchedule(texts, (8,), count, 7, masking=how)
  assert [schedule.batch(step)['positions'].tolist() for step in range(3)] == [
      [[2, 3], [1, 2], [2, 5]], [[4, 5], [4, 5], [4, 6]],
      [[4, 5], [1, 2], [1, 6]]]
  for size in (2, 3):
    found = {}
    for rows, batch in masking.masked_eval_batches(
        texts, (8,), size, None, how):
      found |= dict(zip(rows.tolist(), batch['positions'].tolist()))
    assert found == {0: [2, 5], 1: [2, 6], 2: [3, 5]}
