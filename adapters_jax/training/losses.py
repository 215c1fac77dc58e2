"""Losses, one number for each example."""

import jax
import jax.numpy as jnp
import optax


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """Returns the cross-entropy of classes.

  Args:
    logits: [batch, classes]
    labels: [batch] int, classes.

  Returns:
    [batch] float32.
  """
  return optax.softmax_cross_entropy_with_integer_labels(
      logits, labels.astype(jnp.int32))


def squared_error(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """Returns the squared error of scores.

  Args:
    logits: [batch, 1] Predicted scores.
    labels: [batch] float, true scores.

  Returns:
    [batch] float32.
  """
  return jnp.square(logits[:, 0] - labels)  # [batch]


def span_loss(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """Returns the cross-entropy of the first and last token of an answer.

  Args:
    logits: [batch, length, 2] Logits of first and last tokens.
    labels: [batch, 2] int, positions of the answer's ends.

  Returns:
    [batch] Means over the two ends (Devlin et al., 2019, section 4.2).
  """
  ends = optax.softmax_cross_entropy_with_integer_labels(
      logits, labels, axis=1)  # [batch, 2]
  return ends.mean(-1)
