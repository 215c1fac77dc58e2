"""The head of tagging: a class a position (Devlin et al., 2019, 5.3)."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from adapters_jax.layers import dropout
from adapters_jax.model import layer
from adapters_jax.model.heads import head


class Tagger(head.Model):
  """BERT with a linear head on every position, for a tag each.

  Attributes:
    outputs: Number of tags.
  """
  outputs: int

  @nn.compact
  def __call__(
      self,
      tokens: jax.Array,
      segments: jax.Array,
      mask: jax.Array,
      *,
      train: bool = False,
  ) -> jax.Array:
    """Scores the tags of every position.

    Args:
      tokens: [batch, length] int32 word pieces.
      segments: [batch, length] int32, 0 for a single text.
      mask: [batch, length] bool, False at padding.
      train: Whether to drop out; needs the 'dropout' rng.

    Returns:
      [batch, length, outputs] float32 logits, without the positions of a
      prompt.
    """
    hidden = self.text_states(tokens, segments, mask, train)
    hidden = dropout.Dropout(self.config.dropout)(hidden, train=train)
    logits = layer.dense(
        layer.outside_encoder(self.config), self.outputs, 'head')(hidden)
    return logits.astype(jnp.float32)


def token_loss(
    logits: jax.Array, labels: jax.Array, smoothing: float = 0.0
) -> jax.Array:
  """Returns the cross-entropy of the positions that have a label.

  Args:
    logits: [batch, length, classes]
    labels: [batch, length] int, negative where a position has no label.
    smoothing: Share of the probability that goes to all classes alike (Szegedy
      et al., 2016, section 7).

  Returns:
    [batch] Means over the labelled positions of each example, 0 without any.
  """
  labelled = labels >= 0
  losses = optax.softmax_cross_entropy_with_integer_labels(
      logits, jnp.where(labelled, labels, 0))  # [batch, length]
  if smoothing:
    even = -jax.nn.log_softmax(logits).mean(-1)
    losses = (1 - smoothing) * losses + smoothing * even
  total = jnp.sum(jnp.where(labelled, losses, 0.0), axis=-1)
  return total / jnp.maximum(labelled.sum(-1), 1)


# Cached, as compiled steps have the loss in their key.
@functools.cache
def smoothed_token_loss(smoothing: float) -> head.Loss:
  """Returns `token_loss` with smoothed labels."""
  return functools.partial(token_loss, smoothing=smoothing)


TAGS = head.Head(
    'tags', lambda config, outputs: Tagger(config, outputs),
    lambda outputs: token_loss,
    smoothed_token_loss, per_token=True, reads_words=True,
    least_classes=1,
    task='tagging', texts=('words',), adapterhub=(head.Layout('tagging'),),
    transformers='TokenClassification', peft_task='TOKEN_CLS',
    hub_task='token-classification', layer='classifier')
