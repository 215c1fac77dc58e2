"""The head of masked language modelling (Devlin et al., 2019, section 3.1)."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from adapters_jax import errors
from adapters_jax.layers import activations
from adapters_jax.layers import parameters
from adapters_jax.model import encoder as encoder_lib
from adapters_jax.model import families
from adapters_jax.model import layer
from adapters_jax.model.heads import head
from adapters_jax.model.heads import tagging


def activation_of(config: encoder_lib.BertConfig) -> str:
  """Returns the activation of the head, a key of activations.ACTIVATIONS."""
  name = families.FAMILIES[config.family].masked_lm_activation
  return name or config.activation


class Transform(parameters.Module):
  """A linear layer, an activation and a layer norm, before the decoder."""
  config: encoder_lib.BertConfig

  @nn.compact
  def __call__(self, hidden: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Transforms hidden states.

    Args:
      hidden: [batch, positions, dim]

    Returns:
      ([batch, positions, width of the words], [vocabulary] bias of the decoder)
    """
    config = self.config
    width = config.embedding_dim or config.dim
    x = layer.dense(config, width, 'dense')(hidden)
    x = activations.ACTIVATIONS[activation_of(config)](x)
    bias = self.param('bias', nn.initializers.zeros, (config.vocab_size,))
    return layer.norm(config, 'norm')(x), bias


class MaskedLM(head.Model):
  """An encoder whose decoder is the transposed table of words."""

  @nn.compact
  def __call__(
      self,
      tokens: jax.Array,
      segments: jax.Array,
      mask: jax.Array,
      *,
      positions: jax.Array | None = None,
      train: bool = False,
  ) -> jax.Array:
    """Scores the vocabulary at some positions.

    Args:
      tokens: [batch, length] int32 word pieces, some of them masked.
      segments: [batch, length] int32, 0 or 1.
      mask: [batch, length] bool, False at padding.
      positions: [batch, positions] int32, those to score; all when None. The
        decoder takes most of the time, and training reads 15 % of it.
      train: Whether to drop out; needs the 'dropout' rng.

    Returns:
      [batch, positions, vocabulary] float32 logits.
    """
    hidden = self.text_states(tokens, segments, mask, train)
    if positions is not None:
      hidden = jnp.take_along_axis(hidden, positions[..., None], axis=1)
    hidden, bias = Transform(
        layer.outside_encoder(self.config), name='head')(hidden)
    hidden = self._inverted(hidden)
    words = self.get_variable('params', 'embeddings')['words']['embedding']
    logits = jnp.einsum(
        'bpd,vd->bpv', hidden, words.astype(hidden.dtype),
        preferred_element_type=jnp.float32)
    return logits + bias

  def _inverted(self, hidden: jax.Array) -> jax.Array:
    """Applies the inverses of invertible adapters, the last one first.

    Pfeiffer et al. (2020, section 4.2); at the place where `adapters` has it.
    """
    for index, config in reversed([*enumerate(self.config.adapters)]):
      if config.invertible:
        if self.config.embedding_dim not in (None, self.config.dim):
          raise errors.UserError(
              'invertible: the decoder of this family has another width than '
              'the embeddings')
        name = f'adapter_embedding_{index}'
        hidden = config.make(None, 0).apply(
            {'params': self.get_variable('params', name)}, hidden,
            method='inverse')
    return hidden


def _make(config: encoder_lib.BertConfig, outputs: Any) -> MaskedLM:
  """Returns the model; the outputs are the vocabulary."""
  del outputs
  return MaskedLM(config)


MASKED_LM = head.Head(
    'masked_lm', _make, lambda outputs: tagging.token_loss, per_token=True,
    least_classes=None, task='language_modeling', pretrained=True,
    hub_task='fill-mask', adapterhub=(head.Layout(
        'masked_lm', {'head/dense': 0, 'head/norm': 2, 'head': 3},
        {'layers': 2, 'layer_norm': True, 'bias': True},
        {'shift_labels': False}, 'vocab_size'),))
