"""Tests of the texts of a batch that are no negatives of an embedding."""

import jax
import jax.numpy as jnp
import numpy as np

from adapters_jax.model.heads import embedding


def vectors_of(labels):
  """Returns [batch, texts, dim] vectors, equal for equal texts."""
  rows = np.random.default_rng(0).standard_normal((10, 5))
  rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
  return jnp.array(rows[labels], jnp.float32)


@jax.jit
def losses(vectors, labels):
  return embedding.multiple_negatives(vectors, labels, 20.0)


def losses_of(labels):
  return losses(vectors_of(labels), labels)


def test_a_text_is_no_negative_of_itself_nor_of_its_partners():
  labels = np.array([[0, 1], [1, 2], [3, 0], [4, 4]])
  vectors = np.asarray(vectors_of(labels))
  cosines = 20 * vectors[:, 0] @ vectors[:, 1].T
  # Text 1 belongs to text 0 in the other order; the fourth pair is one text.
  counted = [[0, 1, 3], [1, 3], [0, 1, 2, 3], [0, 1, 2, 3]]
  wanted = [np.log(np.exp(cosines[row, some]).sum()) - cosines[row, row]
            for row, some in enumerate(counted)]
  np.testing.assert_allclose(losses_of(labels), wanted, rtol=1e-4)


def test_negatives_that_are_texts_of_their_own_pairs_do_not_count():
  labels = np.array([[0, 1], [2, 3], [4, 5]])
  np.testing.assert_allclose(
      losses_of(np.concatenate([labels, labels[:, 1:]], axis=1)),
      losses_of(labels), rtol=1e-6)
  for own in labels[0]:
    np.testing.assert_allclose(
        losses_of(np.array([[0, 1, own]])), [0], atol=1e-6)


def test_a_text_counts_though_filler_repeats_it():
  labels = np.array([[0, 1], [0, 1], [2, 3]])
  vectors = vectors_of(labels).at[0].set(0)  # Filler: no candidate before it.
  np.testing.assert_allclose(
      losses(vectors, labels)[1:], losses_of(labels[1:]), rtol=1e-5)


def test_perfect_embeddings_of_pairs_in_both_orders():
  labels = np.array([[0, 1], [1, 0], [2, 3]])
  vectors = jnp.eye(4)[jnp.array(labels) // 2]
  np.testing.assert_allclose(losses(vectors, labels), np.zeros(3), atol=1e-6)
