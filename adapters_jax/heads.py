"""Models for tasks: the encoder and what reads it."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from adapters_jax import bert
from adapters_jax import dropout


class Classifier(nn.Module):
  """BERT with a linear head on [CLS], for classes or for one score.

  Attributes:
    config: The encoder.
    outputs: Classes, or 1 for regression.
    head_input: 'cls' for the last hidden state of [CLS], 'pooler' for BERT's
      tanh layer over it, as in the authors' code.
  """
  config: bert.BertConfig
  outputs: int
  head_input: str = 'cls'

  @nn.compact
  def __call__(
      self,
      tokens: jax.Array | None = None,
      segments: jax.Array | None = None,
      mask: jax.Array | None = None,
      *,
      hidden: jax.Array | None = None,
      train: bool = False,
  ) -> jax.Array:
    """Classifies a batch.

    Args:
      tokens: [batch, length] int32 word pieces, [CLS] first.
      segments: [batch, length] int32, 0 or 1.
      mask: [batch, length] bool, False at padding.
      hidden: [batch, length, dim] In place of tokens and segments; see Bert.
      train: Whether to drop out; needs the 'dropout' rng.

    Returns:
      [batch, outputs] float32 logits (or scores).
    """
    encoder = bert.Bert(self.config)
    nn.share_scope(self, encoder)  # The head's paths beside the encoder's.
    last = encoder(
        tokens, segments, mask, hidden=hidden, rows=1, train=train)[-1]
    summary = last[:, 0]  # [batch, dim]
    if self.head_input == 'pooler':
      pooler = bert.dense(self.config, self.config.dim, 'pooler')
      summary = nn.tanh(pooler(summary))
    summary = dropout.Dropout(self.config.dropout)(summary, train=train)
    logits = bert.dense(self.config, self.outputs, 'head')(summary)
    return logits.astype(jnp.float32)
