"""Tests of data.pair_examples."""

import numpy as np

from adapters_jax.data import pair_examples
from adapters_jax.data import pairs


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
  queries, relevant, own = found.queries('dev')
  assert {texts[query]: rows for query, rows in zip(
      queries, relevant, strict=True)} == {'b': [0, 1], 'a': [1]}
  assert own == [-1, -1]


def test_queries_that_are_documents():
  found = pair_examples.evaluation_of({
      'train': pairs.Pairs([('x', 'y')]),
      'dev': pairs.Pairs([('a', 'b'), ('b', 'a')])}, encode)
  _, relevant, own = found.queries('dev')
  assert sorted(zip(relevant, own, strict=True)) == [([0], 1), ([1], 0)]


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
