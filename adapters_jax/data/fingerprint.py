"""Hashes of examples, by which records name their data."""

from collections.abc import Iterable
import hashlib
import json
from typing import Any

from adapters_jax.data import tasks


def of_rows(examples: Iterable[Any]) -> dict[str, Any]:
  """Returns the number and the hash of some examples.

  Args:
    examples: Plain values of each example: texts, labels.

  Returns:
    {'examples': number, 'sha256': 16 hex digits}
  """
  digest, count = hashlib.sha256(), 0
  for example in examples:
    digest.update(json.dumps(example).encode() + b'\n')
    count += 1
  return {'examples': count, 'sha256': digest.hexdigest()[:16]}


def of_split(split: tasks.Split) -> dict[str, Any]:
  """Returns the number and the hash of a split's texts with their labels."""
  # Row by row: a list of all numbers takes 8 times the memory of a matrix.
  return of_rows(
      [*texts, label.tolist()] for texts, label in zip(
          split.texts, split.labels, strict=True))
