"""BERT (Devlin et al., 2019) in Flax linen, with adapters at its sites.

The model does not know which parameters are frozen: it reads one tree, and a
training step differentiates part of it.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from adapters_jax.layers import dropout
from adapters_jax.model import layer as layer_lib
from adapters_jax.model import sites as sites_lib

BertConfig = layer_lib.BertConfig


class Embeddings(nn.Module):
  """Sum of word, position and segment embeddings, normalised."""
  config: BertConfig

  @nn.compact
  def __call__(
      self, tokens: jax.Array, segments: jax.Array, mask: jax.Array, *,
      train: bool,
  ) -> tuple[jax.Array, jax.Array]:
    """Embeds a batch.

    Args:
      tokens: [batch, length] int32 word pieces.
      segments: [batch, length] int32, 0 or 1.
      mask: [batch, length] bool, False at padding.
      train: Whether to drop out.

    Returns:
      ([batch, length, dim] embeddings, [batch, length] mask), both longer than
      the arguments if there is a prompt.
    """
    config = self.config
    embed = functools.partial(
        nn.Embed, features=config.dim, dtype=config.dtype,
        embedding_init=nn.initializers.truncated_normal(0.02))
    words = embed(config.vocab_size, name='words')(tokens)
    words, mask = sites_lib.embedding('words', config.adapters, words, mask)
    prompt = words.shape[1] - tokens.shape[1]
    # A prompt belongs to the first segment, 0.
    segments = jnp.pad(segments, ((0, 0), (prompt, 0)))
    positions = jnp.arange(words.shape[1])[None] + sites_lib.first_position(
        config.adapters)
    x = (words
         + embed(config.positions, name='positions')(positions)
         + embed(config.segments, name='segments')(segments))
    x = layer_lib.norm(config, 'norm')(x)
    return dropout.Dropout(config.dropout)(x, train=train), mask


class Encoder(nn.Module):
  """The Transformer layers, one after the other."""
  config: BertConfig

  @nn.compact
  def __call__(
      self, x: jax.Array, mask: jax.Array, *, rows: int | None, train: bool
  ) -> tuple[jax.Array, ...]:
    """Computes the outputs of the layers.

    Args:
      x: [batch, length, dim] Input of the first layer.
      mask: [batch, length] bool, False at padding.
      rows: Number of leading positions to return of the last layer, None for
        all.
      train: Whether to drop out.

    Returns:
      Output [batch, length, dim] of each layer, the last one [batch, rows,
      dim]. A scanned encoder returns the last alone.
    """
    config = self.config
    last = config.layers - 1
    outputs = []
    shared = sites_lib.make_shared(config, train=train)
    # Positions of the last layer that no head reads are not computed, unless an
    # adapter needs them. That is exact, and most of one layer's work: a twelfth
    # to a sixth of the encoder's.
    computed = None if sites_lib.needs_all_rows(config.adapters) else rows

    def keep(x):
      if config.batch_sharding is None:
        return x
      return jax.lax.with_sharding_constraint(x, config.batch_sharding)

    def apply(layer, x, rows=None):
      def call(layer, x, mask, shared):
        return layer(x, mask, shared, rows=rows, train=train)

      call = nn.remat(call) if config.remat else call
      return keep(call(layer, keep(x), mask, shared))

    if config.scan:
      # The last layer stays outside: it computes fewer rows.
      sites_lib.check_alike(config.adapters, config.layers)
      loop = nn.scan(
          lambda layer, x, _: (apply(layer, x), None), length=last,
          variable_axes={'params': 0},
          split_rngs={'params': True, 'dropout': True})
      x, _ = loop(layer_lib.Layer(config, 0, name='layers'), x, None)
    else:
      for index in range(config.first_layer, last):
        x = apply(layer_lib.Layer(config, index, name=f'layer_{index}'), x)
        outputs.append(x)
    if config.first_layer <= last:
      x = apply(
          layer_lib.Layer(config, last, name=f'layer_{last}'), x, computed)
      outputs.append(x[:, :rows])
    return tuple(outputs)


class Bert(nn.Module):
  """Embeddings and encoder."""
  config: BertConfig

  @nn.compact
  def __call__(
      self,
      tokens: jax.Array | None = None,
      segments: jax.Array | None = None,
      mask: jax.Array | None = None,
      *,
      hidden: jax.Array | None = None,
      rows: int | None = None,
      train: bool = False,
  ) -> tuple[jax.Array, ...]:
    """Encodes a batch.

    Args:
      tokens: [batch, length] int32 word pieces.
      segments: [batch, length] int32, 0 or 1.
      mask: [batch, length] bool, False at padding.
      hidden: [batch, length, dim] Input of layer `config.first_layer`, in place
        of tokens and segments where that is above 0.
      rows: Number of leading positions of the last layer to return, None for
        all.
      train: Whether to drop out; needs the 'dropout' rng.

    Returns:
      Hidden states: the input of the first layer and the output of each,
      [batch, length, dim], but [batch, rows, dim] of the last. A prompt adds to
      their length.
    """
    config = self.config
    if config.first_layer:
      x = hidden.astype(config.dtype)
    else:
      embeddings = Embeddings(config, name='embeddings')
      x, mask = embeddings(tokens, segments, mask, train=train)
      x, mask = sites_lib.embedding('embedding', config.adapters, x, mask)
    encoder = Encoder(config, name='encoder')
    return (x, *encoder(x, mask, rows=rows, train=train))


def init(
    model: nn.Module, key: jax.Array, base: dict[str, Any] | None = None
) -> dict[str, Any]:
  """Initialises the parameters of a model.

  Args:
    model: `Bert` or a model of `heads`.
    key: Scalar random key.
    base: Existing parameters, which are kept; only the others are initialised.
      The initial values of an adapter may depend on them.

  Returns:
    The whole parameter tree.
  """
  # Parameters have the same shapes for any batch, so the smallest will do.
  tokens = jnp.zeros((1, 2), jnp.int32)
  _, variables = model.apply(
      {'params': base or {}}, tokens, tokens, tokens == 0,
      rngs={'params': key}, mutable=['params'])
  return variables['params']
