"""Tokenised pairs of texts, and the texts among which queries rank."""

from collections.abc import Callable, Iterable, Mapping, Sequence
import dataclasses
from typing import Any

import numpy as np

from adapters_jax.data import examples as examples_lib
from adapters_jax.data import fingerprint
from adapters_jax.data import metrics
from adapters_jax.data import pairs as pairs_lib
from adapters_jax.data import retrieval

# Training documents added to those that dev and test queries rank.
_DISTRACTORS = 1000
_SEED = 0  # Not the run's seed: all runs draw the same documents.

# Numbers of the texts; indices of the relevant documents of each, and of those
# that it does not rank.
Queries = tuple[np.ndarray, list[list[int]], list[list[int]]]
# (texts) -> [length] int32 tokens of each
Encode = Callable[[Iterable[str]], Sequence[np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """Texts of an evaluation, each embedded once.

  Attributes:
    texts: Distinct texts of dev and test, and documents of training.
    pairs: {split: [pairs, 2] int, numbers of the two texts of each pair}, of
      dev and test.
    documents: [documents] int, numbers of the texts that queries rank.
    partners: {number of a text: numbers of the texts that it is paired with,
      without score, in any split and order}.
  """
  texts: examples_lib.Examples
  pairs: dict[str, np.ndarray]
  documents: np.ndarray
  partners: Mapping[int, Iterable[int]]
  _queries: dict[str, Queries] = dataclasses.field(
      default_factory=dict, init=False, repr=False, compare=False)

  def queries(self, split: str) -> Queries:
    """Returns the queries of a split, the distinct first texts of its pairs.

    They are made once, as every evaluation asks for them.

    Args:
      split: Name of the split.

    Returns:
      ([queries] int numbers of their texts; for each query indices into
      `documents` of the relevant ones, and of those that it does not rank)
    """
    if split not in self._queries:
      self._queries[split] = self._queries_of(split)
    return self._queries[split]

  def _queries_of(self, split: str) -> Queries:
    """Returns the result of `queries`."""
    first, second = self.pairs[split].T
    queries = np.unique(first)
    place = {number: at for at, number in enumerate(self.documents)}
    relevant: dict[int, list[int]] = {query: [] for query in queries}
    for query, document in dict.fromkeys(zip(first, second, strict=True)):
      relevant[query].append(place[document])
    # Left out: the query itself, which would rank first, and its partners in
    # other pairs, which are correct too.
    left_out = [
        sorted({place[number] for number in (query, *self.partners[query])
                if number in place}.difference(right))
        for query, right in relevant.items()]
    return queries, list(relevant.values()), left_out


def evaluation_of(
    splits: Mapping[str, pairs_lib.Pairs], encode: Encode
) -> Evaluation:
  """Returns the texts that evaluate embeddings.

  Args:
    splits: {'train', 'dev' and perhaps 'test': pairs}. Queries rank documents
      of training too, where pairs have no scores.
    encode: Tokeniser.
  """
  # The third texts of dev and test, negatives, are not ranked.
  given = {name: [pair[:2] for pair in splits[name].texts]
           for name in splits if name != 'train'}
  texts = dict.fromkeys(
      text for some in given.values() for pair in some for text in pair)
  documents = dict.fromkeys(
      second for some in given.values() for _, second in some)
  if splits['dev'].scores is None:
    known = [text for text in dict.fromkeys(
        pair[1] for pair in splits['train'].texts) if text not in documents]
    order = np.random.default_rng(_SEED).permutation(len(known))
    documents.update(dict.fromkeys(
        known[row] for row in sorted(order[:_DISTRACTORS])))
    texts.update(documents)
  numbers = {text: number for number, text in enumerate(texts)}
  partners: dict[int, set[int]] = {
      number: set() for number in numbers.values()}
  for split in splits.values():
    for one, other, *_ in (
        *split.texts, *split.left_out) if split.scores is None else ():
      if one in numbers and other in numbers:
        partners[numbers[one]].add(numbers[other])
        partners[numbers[other]].add(numbers[one])
  tokens = encode(texts)
  return Evaluation(
      examples_lib.Examples(
          tokens, [np.zeros_like(row) for row in tokens],
          np.zeros(len(texts), np.int32)),
      {name: np.array([[numbers[text] for text in pair] for pair in some])
       for name, some in given.items()},
      np.array([numbers[text] for text in documents]), partners)


def scores(
    names: Sequence[str], vectors: np.ndarray,
    evaluation: Evaluation, split: str, labels: Any,
) -> tuple[dict[str, float], np.ndarray]:
  """Returns (metrics, cosines [pairs] or first metric of each query).

  Args:
    names: Metrics.
    vectors: [texts, dim] Embeddings of length 1.
    evaluation: Texts and the pairs among them.
    split: Name of the split.
    labels: [pairs] scores, or None.
  """
  if labels is not None:
    first, second = evaluation.pairs[split].T
    cosines = np.sum(vectors[first] * vectors[second], axis=-1)
    return metrics.compute(names, labels, cosines), cosines
  queries, relevant, left_out = evaluation.queries(split)
  found = retrieval.per_query(
      vectors[queries], vectors[evaluation.documents], relevant, left_out)
  means = retrieval.means(found)
  return {name: means[name] for name in names}, found[names[0]]


def examples_of(
    pairs: pairs_lib.Pairs, encode: Encode
) -> examples_lib.Examples:
  """Returns tokenised pairs; labels are scores, or numbers of the texts.

  Args:
    pairs: Pairs of a split.
    encode: Tokeniser.
  """
  columns = [encode(column) for column in zip(*pairs.texts, strict=True)]
  labels = pairs.scores
  if labels is None:
    numbers: dict[str, int] = {}
    labels = np.array([[numbers.setdefault(text, len(numbers))
                        for text in texts] for texts in pairs.texts], np.int32)
  # Batches of columns do not read segments: they are 0.
  return examples_lib.Examples(
      columns[0], columns[0], labels, columns=tuple(columns[1:]))


def fingerprint_of(pairs: pairs_lib.Pairs) -> dict[str, Any]:
  """Returns the number and the hash of pairs with their scores."""
  scores = ([None] * len(pairs) if pairs.scores is None
            else pairs.scores.tolist())
  return fingerprint.of_rows(
      [*texts, score] for texts, score in zip(
          pairs.texts, scores, strict=True))
