"""Tests of the metrics of retrieval where documents tie."""

import itertools

import numpy as np
import pytest

from adapters_jax.data import pair_examples
from adapters_jax.data import pairs
from adapters_jax.data import retrieval


def per_query(scores, relevant):
  """Returns the metrics of one query whose documents have these scores."""
  return {name: values[0] for name, values in retrieval.per_query(
      np.ones((1, 1)), np.array(scores)[:, None], [relevant]).items()}


@pytest.mark.parametrize(('scores', 'relevant'), (
    ([0.5, 0.5, 0.5, 0.5], [0]),
    ([0.5, 0.5, 0.9, 0.5, 0.1], [1, 3]),
    ([0.5, 0.5, 0.9, 0.9, 0.9], [0, 2, 4]),
    ([0.1, 0.1, 0.1, 0.9, 0.9], [0, 3])))
def test_ties_have_the_mean_over_their_orders(scores, relevant):
  count = len(scores)
  # Tiny differences make each order of the ties, equally often.
  found = [per_query(scores - 1e-6 * np.array(order), relevant)
           for order in itertools.permutations(range(count))]
  tied = per_query(scores, relevant)
  for name in retrieval.METRICS:
    assert tied[name] == pytest.approx(np.mean([one[name] for one in found]))


@pytest.mark.parametrize('count', [1, 9, 10, 11, 12, 200])
@pytest.mark.parametrize('kinds', [1, 2, 5, 1000])
def test_the_first_documents_are_those_of_a_stable_sort(count, kinds):
  rng = np.random.default_rng([count, kinds])
  for left_out in (0, 1, count // 2, count):
    scores = rng.integers(-kinds, kinds, count).astype(np.float32) / kinds
    scores[rng.permutation(count)[:left_out]] = -np.inf
    np.testing.assert_array_equal(
        retrieval._first(scores), np.argsort(-scores, kind='stable')[:10])


def test_ties_beyond_the_last_rank_that_counts():
  # Nine better documents: one of the four that tie has rank 10.
  found = per_query([0.2] * 4 + [0.9] * 9, [1])
  assert found['mrr@10'] == pytest.approx(0.25 / 10)
  assert found['ndcg@10'] == pytest.approx(0.25 / np.log2(11))
  assert found['accuracy@1'] == 0
  assert not any(per_query([0.2] * 4 + [0.9] * 10, [1]).values())


def test_ties_among_documents_of_one_kind_change_nothing():
  found = per_query([0.9, 0.9, 0.5, 0.2, 0.2], [0, 1])
  assert found == {'ndcg@10': 1.0, 'mrr@10': 1.0, 'accuracy@1': 1.0}
  assert per_query([0.9, 0.9, 0.5], [2])['mrr@10'] == 1 / 3


def test_more_relevant_documents_than_ranks_that_count():
  found = per_query(np.linspace(1, 0, 14), range(12))
  assert found == pytest.approx(dict.fromkeys(retrieval.METRICS, 1.0))


def test_parts_of_the_queries_have_documents_of_their_own(monkeypatch):
  documents = np.eye(5)
  queries = documents + 0.1  # Each finds the document of its number.
  relevant = [[0], [1], [0], [3], [4]]
  left_out = [[], [], [2], [3], []]  # Two rank all but the nearest.
  for part in (256, 2):
    monkeypatch.setattr(retrieval, '_PART', part)
    found = retrieval.per_query(queries, documents, relevant, left_out)
    # Of query 2 all four that are left tie; that of query 3 ties with none.
    np.testing.assert_allclose(found['accuracy@1'], [1, 1, 1 / 4, 0, 1])
    np.testing.assert_allclose(
        found['mrr@10'], [1, 1, (1 + 1 / 2 + 1 / 3 + 1 / 4) / 4, 1 / 5, 1])


def test_a_model_with_one_embedding_is_at_chance():
  splits = {
      'train': pairs.Pairs([(f'q{i}', f'd{i}') for i in range(95)]),
      'dev': pairs.Pairs([(f'a{i}', f'b{i}') for i in range(5)])}
  made = pair_examples.evaluation_of(
      splits, lambda texts: [np.zeros(1, np.int32) for _ in texts])
  found, _ = pair_examples.scores(
      retrieval.METRICS, np.ones((len(made.texts), 1)), made, 'dev', None)
  assert found['accuracy@1'] == pytest.approx(1 / 100)
  assert found['mrr@10'] == pytest.approx(
      sum(1 / rank for rank in range(1, 11)) / 100)
  assert found['ndcg@10'] == pytest.approx(
      sum(1 / np.log2(1 + rank) for rank in range(1, 11)) / 100)
