"""Sentences, and pairs of them, of the benchmark of embeddings.

Film reviews, which every machine has after a download of 0.5 MB.
"""

from adapters_jax.data import tasks

BATCH_SIZE = 32  # Pairs a step, and texts a batch that is embedded.


def texts(count: int) -> list[str]:
  """Returns the first distinct sentences of the training data.

  Args:
    count: Number of sentences.
  """
  train = tasks.load(tasks.find('movie_sentiment'), '')['train']
  return list(dict.fromkeys(text for text, *_ in train.texts))[:count]


def pairs(count: int) -> list[tuple[str, str]]:
  """Returns pairs of successive sentences.

  Args:
    count: Number of pairs.
  """
  found = texts(2 * count)
  return list(zip(found[::2], found[1::2], strict=True))
