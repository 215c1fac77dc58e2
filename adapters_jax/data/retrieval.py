"""Metrics of retrieval by embeddings."""

from collections.abc import Mapping, Sequence

import numpy as np

METRICS = ('ndcg@10', 'mrr@10', 'accuracy@1')
_CUT = 10  # Ranks that count.
_PART = 256  # Queries at a time: their scores are [part, documents].


def per_query(
    queries: np.ndarray, documents: np.ndarray,
    relevant: Sequence[Sequence[int]],
    left_out: Sequence[Sequence[int]] = (),
) -> dict[str, np.ndarray]:
  """Scores the ranking of the documents for each query.

  NDCG as in Järvelin and Kekäläinen (2002), with gains of 0 and 1; the
  reciprocal rank of the first relevant document, 0 beyond rank 10. Documents
  with equal scores count as in the mean over their orders.

  Args:
    queries: [queries, dim] Embeddings of length 1.
    documents: [documents, dim] Embeddings of length 1.
    relevant: Numbers of the relevant documents of each query, one or more.
    left_out: Numbers of the documents that each query does not rank; () if all
      rank all.

  Returns:
    {metric: [queries] float64}, for METRICS.
  """
  discounts = 1 / np.log2(np.arange(_CUT) + 2)  # [ranks]
  ideal = np.cumsum(discounts)
  found: dict[str, list[float]] = {name: [] for name in METRICS}
  for start in range(0, len(queries), _PART):
    part = queries[start:start + _PART] @ documents.T
    for scores, others in zip(part, left_out[start:start + _PART]):
      scores[list(others)] = -np.inf
    for scores, right in zip(part, relevant[start:start + _PART]):
      row = _first(scores)
      best = ideal[min(len(right), _CUT) - 1]
      if _tied(scores, row, right):
        hits, reciprocal = _expected(scores, row, right)
        found['ndcg@10'].append(float((discounts[:len(hits)] * hits).sum())
                                / best)
      else:
        hits = np.isin(row, right)
        first = np.flatnonzero(hits)
        reciprocal = 1 / (first[0] + 1) if len(first) else 0.0
        found['ndcg@10'].append(float(discounts[:len(hits)][hits].sum())
                                / best)
      found['mrr@10'].append(reciprocal)
      found['accuracy@1'].append(float(hits[0]))
  return {name: np.array(values) for name, values in found.items()}


def _first(scores: np.ndarray) -> np.ndarray:
  """Returns [ranks] the numbers of the best documents, in stable order.

  Args:
    scores: [documents] Scores.
  """
  below = -scores
  chosen = np.arange(len(scores))
  if len(scores) > _CUT:  # Sorting them all takes ten times as long.
    last = np.partition(below, _CUT - 1)[_CUT - 1]
    chosen = np.flatnonzero(~(below > last))  # All that tie with it, too.
  return chosen[np.argsort(below[chosen], kind='stable')[:_CUT]]


def _tied(
    scores: np.ndarray, row: np.ndarray, right: Sequence[int]
) -> bool:
  """Returns whether relevant documents tie with others for ranks that count.

  Args:
    scores: [documents] Scores.
    row: [ranks] Numbers of the first documents.
    right: Numbers of the relevant ones.
  """
  values, counts = np.unique(scores[list(right)], return_counts=True)
  return any(np.count_nonzero(scores == value) > count
             for value, count in zip(values, counts)
             if value >= scores[row[-1]])


def _expected(
    scores: np.ndarray, row: np.ndarray, right: Sequence[int]
) -> tuple[np.ndarray, float]:
  """Returns the means over all orders of the documents with equal scores.

  Otherwise a model that gives all texts the same embedding would find the
  documents in their order, those of dev and test first.

  Args:
    scores: [documents] Scores.
    row: [ranks] Numbers of the first documents, in one of the orders.
    right: Numbers of the relevant ones.

  Returns:
    ([ranks] probability that a rank has a relevant document, expected
    reciprocal rank of the first one)
  """
  hits = np.zeros(len(row))
  reciprocal, start, missed = 0.0, 0, 1.0
  while start < len(row):
    alike = scores == scores[row[start]]
    count = int(np.count_nonzero(alike))
    share = int(np.count_nonzero(alike[list(right)]))
    hits[start:start + count] = share / count
    for place in range(min(count, len(row) - start)):
      # Of the `count - place` documents left, if none of them came before.
      now = min(1.0, share / (count - place))
      reciprocal += missed * now / (start + place + 1)
      missed *= 1 - now
    start += count
  return hits, reciprocal


def means(values: Mapping[str, np.ndarray]) -> dict[str, float]:
  """Returns the means over queries of the result of `per_query`."""
  return {name: float(one.mean()) for name, one in values.items()}
