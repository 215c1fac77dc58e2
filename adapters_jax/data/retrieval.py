"""Metrics of retrieval by embeddings."""

from collections.abc import Mapping, Sequence

import numpy as np

METRICS = ('ndcg@10', 'mrr@10', 'accuracy@1')
_CUT = 10  # Ranks that count.
_PART = 256  # Queries at a time: their scores are [part, documents].


def per_query(
    queries: np.ndarray, documents: np.ndarray,
    relevant: Sequence[Sequence[int]], own: Sequence[int] = (),
) -> dict[str, np.ndarray]:
  """Scores the ranking of all documents but the query itself for each query.

  NDCG as in Järvelin and Kekäläinen (2002), with gains of 0 and 1; the
  reciprocal rank of the first relevant document, 0 beyond rank 10.

  Args:
    queries: [queries, dim] Embeddings of length 1.
    documents: [documents, dim] Embeddings of length 1.
    relevant: Numbers of the relevant documents of each query, one or more.
    own: Number of the document that is the query, -1 without one; () if none
      is.

  Returns:
    {metric: [queries] float64}, for METRICS.
  """
  discounts = 1 / np.log2(np.arange(_CUT) + 2)  # [ranks]
  ideal = np.cumsum(discounts)
  found: dict[str, list[float]] = {name: [] for name in METRICS}
  for start in range(0, len(queries), _PART):
    part = queries[start:start + _PART] @ documents.T
    for scores, mine, right in zip(
        part, own[start:start + _PART], relevant[start:start + _PART]):
      # As in TREC's evaluations: a query would find itself first.
      if mine >= 0 and mine not in right:
        scores[mine] = -np.inf
    # Stable: of equally near documents the first comes first.
    ranked = np.argsort(-part, axis=1, kind='stable')[:, :_CUT]
    for row, right in zip(ranked, relevant[start:start + _PART]):
      hits = np.isin(row, right)
      first = np.flatnonzero(hits)
      found['ndcg@10'].append(
          float(discounts[:len(hits)][hits].sum())
          / ideal[min(len(right), _CUT) - 1])
      found['mrr@10'].append(1 / (first[0] + 1) if len(first) else 0.0)
      found['accuracy@1'].append(float(hits[0]))
  return {name: np.array(values) for name, values in found.items()}


def means(values: Mapping[str, np.ndarray]) -> dict[str, float]:
  """Returns the means over queries of the result of `per_query`."""
  return {name: float(one.mean()) for name, one in values.items()}
