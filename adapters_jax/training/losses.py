"""Losses of one example each."""

import jax
import jax.numpy as jnp
import optax


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """Returns [batch] losses of logits [batch, classes], labels [batch] int."""
  return optax.softmax_cross_entropy_with_integer_labels(
      logits, labels.astype(jnp.int32))


def squared_error(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """Returns [batch] losses of scores [batch, 1], labels [batch] float."""
  return jnp.square(logits[:, 0] - labels)
