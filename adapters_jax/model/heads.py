"""Models of tasks: an encoder with a head."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from adapters_jax.layers import dropout
from adapters_jax.model import encoder as encoder_lib
from adapters_jax.model import layer
from adapters_jax.model import sites

INPUTS = ('cls', 'pooler', 'tokens')  # See `make`.


class Classifier(nn.Module):
  """BERT with a linear head on [CLS], for classes or for one score.

  Attributes:
    config: The encoder's config.
    outputs: Number of classes, or 1 for regression.
    head_input: Input of the head: 'cls' for the last hidden state of [CLS], or
      'pooler' for BERT's tanh layer on it, as in the authors' code.
  """
  config: encoder_lib.BertConfig
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
      hidden: [batch, length, dim] Input of the encoder's first layer, instead
        of tokens and segments; see `encoder.Bert`.
      train: Whether to drop out; needs the 'dropout' rng.

    Returns:
      [batch, outputs] float32 logits or scores.
    """
    encoder = encoder_lib.Bert(self.config)
    # Without a prefix, the encoder's paths are those of every base.
    nn.share_scope(self, encoder)
    last = encoder(
        tokens, segments, mask, hidden=hidden, rows=1, train=train)[-1]
    summary = last[:, 0]  # [batch, dim]
    head_config = layer.outside_encoder(self.config)
    if self.head_input == 'pooler':
      pooler = layer.dense(head_config, self.config.dim, 'pooler')
      summary = nn.tanh(pooler(summary))
    summary = dropout.Dropout(self.config.dropout)(summary, train=train)
    logits = layer.dense(head_config, self.outputs, 'head')(summary)
    return logits.astype(jnp.float32)


class SpanSelector(nn.Module):
  """BERT with a linear head on every position (Devlin et al., 2019, 4.2).

  Attributes:
    config: The encoder's config.
  """
  config: encoder_lib.BertConfig

  @nn.compact
  def __call__(
      self,
      tokens: jax.Array,
      segments: jax.Array,
      mask: jax.Array,
      *,
      train: bool = False,
  ) -> jax.Array:
    """Scores each position as the start and as the end of the answer.

    Args:
      tokens: [batch, length] int32 word pieces.
      segments: [batch, length] int32, 0 in the question, 1 in the paragraph.
      mask: [batch, length] bool, False at padding.
      train: Whether to drop out; needs the 'dropout' rng.

    Returns:
      [batch, length, 2] float32 logits, -1e9 at padding, without the positions
      of a prompt.
    """
    encoder = encoder_lib.Bert(self.config)
    nn.share_scope(self, encoder)
    hidden = encoder(tokens, segments, mask, train=train)[-1]
    if hidden.shape[1] != tokens.shape[1]:  # A prompt lengthened the text.
      hidden = hidden[:, sites.text_rows(
          self.config.adapters, tokens.shape[1])]
    logits = layer.dense(
        layer.outside_encoder(self.config), 2, 'head')(hidden)
    # Finite, so that the loss of filler (padding alone) is not NaN.
    return jnp.where(mask[..., None], logits.astype(jnp.float32), -1e9)


def make(
    shape: encoder_lib.BertConfig, configs: tuple[Any, ...], outputs: int,
    head_input: str,
) -> Classifier | SpanSelector:
  """Makes the model of a base with adapters and a head.

  Args:
    shape: Config of the base.
    configs: Method configs of the adapters.
    outputs: Number of outputs of the head.
    head_input: 'cls' or 'pooler' for a classifier, 'tokens' for a head with two
      outputs on every position.

  Returns:
    A SpanSelector for 'tokens', else a Classifier.
  """
  config = dataclasses.replace(shape, adapters=configs)
  if head_input == 'tokens':
    return SpanSelector(config)
  return Classifier(config, outputs, head_input)
