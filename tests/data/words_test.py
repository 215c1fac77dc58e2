"""Tests of data.words."""

import json

import numpy as np
import pytest
import tokenizers

from adapters_jax import errors
from adapters_jax.data import tokenization
from adapters_jax.data import words
from tests.data import tokenizer_cases
from tests.data import word_cases

FOLDER = 'tests/fixtures'


@pytest.mark.parametrize('kind', word_cases.FOLDERS)
def test_pieces_and_their_words_equal_those_of_transformers(kind, tmp_path):
  with open(f'{FOLDER}/tokenizers.json', encoding='utf-8') as file:
    files = json.load(file)[word_cases.FOLDERS[kind]]['files']
  with open(f'{FOLDER}/words.json', encoding='utf-8') as file:
    wanted = json.load(file)[kind]
  tokenizer = tokenization.load(tokenizer_cases.write(str(tmp_path), files))
  before = tokenizer.encode('film').ids
  found = words.word_pieces(words.for_words(tokenizer), word_cases.SENTENCES)
  assert [{'ids': one.ids, 'words': one.word_ids} for one in found] == wanted
  assert tokenizer.encode('film').ids == before  # A copy reads words.


def test_words_are_not_glued_where_spaces_are_pieces():
  tokenizer = tokenizer_cases.spaces_as_pieces('the', 'film', 'a')
  found, = words.word_pieces(words.for_words(tokenizer), [
      ['the', 'film', 'xy', '<mask>', 'a']])
  assert found.tokens == ['▁the', '▁film', '▁', 'x', 'y', '<mask>', '▁a']
  assert found.word_ids == [0, 1, 2, 2, 2, 3, 4]
  # As within a text, which keeps its own tokenizer.
  assert tokenizer.encode('a the film').tokens == [
      '<bos>', 'a', '▁the', '▁film', '<eos>']
  other = tokenizer_cases.spaces_as_pieces('the')
  other.normalizer = tokenizers.normalizers.Sequence([
      tokenizers.normalizers.Prepend('▁'), other.normalizer])
  assert words.for_words(other) is other


@pytest.fixture(scope='module')
def tokenizer(checkpoint):
  return tokenization.load(checkpoint)


@pytest.mark.parametrize('max_length', [3, 4, 7, 8, 40])
def test_every_word_has_one_place(tokenizer, max_length):
  sentences = [['films', 'plots', 'a', 'the', 'good', 'films', 'bad'] * 2,
               ['\u200b'], ['a'], ['plots', '\u200b', 'a']]
  labels = [[10 * row + n % 10 for n in range(len(one))]
            for row, one in enumerate(sentences)]
  examples, windows = words.cut_sentences(
      tokenizer, sentences, max_length, labels)
  assert max(map(len, examples.tokens)) <= max_length
  seen = []
  outputs = []
  for tokens, row, places, targets in zip(
      examples.tokens, windows.rows, windows.words, examples.labels):
    assert len(tokens) == len(places) == len(targets)
    assert (places >= 0).any()  # Else its loss would have no weight.
    for at in np.flatnonzero(places >= 0):
      word = sentences[row][places[at]]
      # The first piece: a plural has another one, '##s'.
      assert tokenizer.id_to_token(tokens[at]) == word.removesuffix('s')
      assert targets[at] == labels[row][places[at]]
      seen.append((row, places[at]))
    assert (targets[places < 0] == -1).all()
    outputs.append(np.eye(41)[targets + 1][:, 1:])
  assert sorted(seen) == [(row, n) for row, one in enumerate(sentences)
                          for n, word in enumerate(one) if word != '\u200b']
  found = words.read_outputs(outputs, windows, [*map(len, sentences)], 40)
  wanted = [[40 if word == '\u200b' else label for word, label in zip(*pair)]
            for pair in zip(sentences, labels)]
  assert [one.tolist() for one in found] == wanted


def test_a_word_counts_where_it_has_most_context(tokenizer):
  examples, windows = words.cut_sentences(
      tokenizer, [['a', 'good', 'film'] * 4], 8)
  # Windows of 6 pieces begin at 0, 3 and 6; the ends of a sentence are no edge.
  assert [row[row >= 0].tolist() for row in windows.words] == [
      [0, 1, 2, 3, 4], [5, 6, 7], [8, 9, 10, 11]]
  assert not examples.labelled
  # The last window is whole: it begins at 5.
  _, windows = words.cut_sentences(
      tokenizer, [(['a', 'good', 'film'] * 4)[:11]], 8)
  assert [row[row >= 0].tolist() for row in windows.words] == [
      [0, 1, 2, 3, 4], [5, 6], [7, 8, 9, 10]]


def test_a_text_is_split():
  assert words.split("Don't go, to U.N.!") == [
      ("Don't", 0), ('go', 6), (',', 8), ('to', 10), ('U', 13), ('.', 14),
      ('N', 15), ('.', 16), ('!', 17)]


@pytest.mark.parametrize('text, wanted', [
    ('हिन्दी में।', ['हिन्दी', 'में', '।']),
    ('ذَهَبَ الوَلَدُ', ['ذَهَبَ', 'الوَلَدُ']),
    ('cafe\u0301 l’e\u0301te\u0301.', ['cafe\u0301', 'l’e\u0301te\u0301', '.']),
    ('می\u200cروم, क्\u200dष', ['می\u200cروم', ',', 'क्\u200dष']),
    ('co\u00adop (a\u2060b)', ['co\u00adop', '(', 'a\u2060b', ')']),
    ('a\u200bb ❤\ufe0f=\u0338', ['a', '\u200b', 'b', '❤\ufe0f', '=\u0338']),
    ('\u0301 a', ['\u0301', 'a'])])
def test_a_word_continues_over_marks(text, wanted):
  found = words.split(text)
  assert [word for word, _ in found] == wanted
  assert all(text.startswith(word, at) for word, at in found)


def test_a_word_that_cannot_be_read(tokenizer):
  with pytest.raises(errors.UserError, match='sentence 1, word 1'):
    words.cut_sentences(tokenizer, [['a'], ['a', '\ud800']], 8)
