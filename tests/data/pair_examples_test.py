"""Tests of data.pair_examples."""

import numpy as np
import pytest

from adapters_jax.data import pair_examples
from adapters_jax.data import pairs
from adapters_jax.data import retrieval


def encode(texts):
  return [np.array([*map(ord, text)], np.int32) for text in texts]


def test_queries_and_their_documents():
  found = pair_examples.evaluation_of({
      'train': pairs.Pairs([('a', 'x'), ('b', 'y')]),
      'dev': pairs.Pairs([('b', 'w', 'n'), ('a', 'z', 'm'), ('b', 'z', 'n')]),
      'test': pairs.Pairs([('c', 'x')])}, encode)
  texts = [chr(tokens[0]) for tokens in found.texts.tokens]
  # Documents of dev and test, then those of training; no negatives.
  assert [texts[row] for row in found.documents] == ['w', 'z', 'x', 'y']
  assert sorted(texts) == ['a', 'b', 'c', 'w', 'x', 'y', 'z']
  queries, relevant, left_out = found.queries('dev')
  # The documents that they have in training are right too.
  assert {texts[query]: rows for query, *rows in zip(
      queries, relevant, left_out, strict=True)} == {
          'b': [[0, 1], [3]], 'a': [[1], [2]]}
  # Every evaluation asks for them.
  assert found.queries('dev') is found.queries('dev')
  assert [texts[query] for query in found.queries('test')[0]] == ['c']


def test_queries_that_are_documents():
  found = pair_examples.evaluation_of({
      'train': pairs.Pairs([('x', 'y')]),
      'dev': pairs.Pairs([('a', 'b'), ('b', 'a')])}, encode)
  _, relevant, left_out = found.queries('dev')
  assert sorted(zip(relevant, left_out, strict=True)) == [
      ([0], [1]), ([1], [0])]


# Query i has the documents 4 i to 4 i + 3.
SEVERAL = [(f'q{i // 4}', f'd{i}') for i in range(40)]


def perfect(text):
  """Returns the embedding that a query has in common with its documents."""
  number = int(text[1:])
  return np.eye(10)[number if text[0] == 'q' else number // 4]


@pytest.mark.parametrize('splits', [
    pairs.hold_out(pairs.Pairs(SEVERAL), 0.1, 0.2),
    {'train': pairs.Pairs(SEVERAL[:4]), 'dev': pairs.Pairs(SEVERAL[4::2]),
     'test': pairs.Pairs(SEVERAL[5::2])},
    # In the other order, of which cosines know nothing.
    {'train': pairs.Pairs([two[::-1] for two in SEVERAL[::4]] + SEVERAL[::4]),
     'dev': pairs.Pairs(SEVERAL[1::4])}])
def test_a_perfect_model_ranks_perfectly(splits):
  texts = []

  def read(given):
    texts.extend(given)
    return encode(texts)

  found = pair_examples.evaluation_of(splits, read)
  vectors = np.array([*map(perfect, texts)])
  for split in splits.keys() - {'train'}:
    assert pair_examples.scores(
        retrieval.METRICS, vectors, found, split, None)[0] == dict.fromkeys(
            retrieval.METRICS, 1.0)


def test_pairs_with_scores_are_no_partners():
  found = pair_examples.evaluation_of({
      'train': pairs.Pairs([('a', 'x')], [0.0]),
      'dev': pairs.Pairs([('a', 'z')])}, encode)
  assert found.queries('dev')[1:] == ([[0]], [[]])


def test_labels_are_scores_or_name_equal_texts():
  given = [('a', 'xx'), ('b', 'xx'), ('a', 'y')]
  found = pair_examples.examples_of(pairs.Pairs(given), encode)
  np.testing.assert_array_equal(found.labels, [[0, 1], [2, 1], [0, 3]])
  assert [len(row) for row in found.columns[0]] == [2, 2, 1]
  scored = pairs.Pairs(given, scores=[1, 2, 0.5])
  np.testing.assert_array_equal(
      pair_examples.examples_of(scored, encode).labels, [1, 2, 0.5])
  assert (pair_examples.fingerprint_of(scored)
          != pair_examples.fingerprint_of(pairs.Pairs(given)))
