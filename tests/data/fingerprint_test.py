"""Tests of the hashes of examples."""

import numpy as np

from adapters_jax.data import fingerprint
from adapters_jax.data import tasks


def test_every_part_of_an_example_counts():
  texts, labels = [('a', 'b'), ('c', 'd')], np.array([0, 1], np.int32)
  found = fingerprint.of_split(tasks.Split(texts, labels))
  # Fixed: records of other machines must name the same data the same way.
  assert found == {'examples': 2, 'sha256': 'd4ca8441f4c74480'}
  others = [
      ([('a', 'b'), ('c', 'e')], labels), (texts, labels[::-1].copy()),
      (texts[::-1], labels), ([('ab', ''), ('c', 'd')], labels),
      (texts[:1], labels[:1])]
  hashes = {fingerprint.of_split(tasks.Split(*other))['sha256']
            for other in others}
  assert len(hashes - {found['sha256']}) == len(others)


def test_labels_of_every_form_have_the_hash_of_their_list():
  for labels in (
      np.array([[0, 1, 0], [1, 1, 0]], np.float32),
      np.array([0.1, 1 / 3], np.float32), np.array([3, -1], np.int32)):
    texts = [('a',), ('b',)]
    assert fingerprint.of_split(tasks.Split(texts, labels)) == (
        fingerprint.of_rows([['a', labels.tolist()[0]],
                             ['b', labels.tolist()[1]]]))
