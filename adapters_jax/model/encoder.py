"""BERT (Devlin et al., 2019) in Flax linen, with adapters at its sites.

The model never knows what is frozen: it reads one parameter tree, of which a
training step differentiates a part.
"""

import dataclasses
import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from adapters_jax.layers import activations
from adapters_jax.layers import dense as dense_lib
from adapters_jax.layers import dropout
from adapters_jax.layers import layer_norm
from adapters_jax.model import sites as sites_lib


@dataclasses.dataclass(frozen=True)
class BertConfig:
  """The shape of a BERT encoder and what is put into it.

  Attributes:
    vocab_size: Word pieces.
    dim: Width of the hidden states.
    layers: Transformer layers.
    heads: Attention heads of dim / heads each.
    ffn_dim: Width of the feed-forward sublayer.
    positions: Learned positions, the longest input in tokens.
    segments: Segment (token type) embeddings.
    activation: Of the feed-forward sublayer, one of methods.ACTIVATIONS.
    dropout: Rate at the embeddings, the sublayer outputs and the head.
    attention_dropout: Rate at the attention weights.
    norm_epsilon: Of the layer norms.
    adapters: Method configs, applied in order at each site.
    dtype: Of the computation; parameters keep their own.
    attention: How attention is computed where no dropout of its weights is
      asked for: 'einsum', or an implementation of jax.nn.dot_product_attention.
    remat: Whether a layer's inner values are computed again for the gradient
      instead of kept; saves memory, costs a forward pass.
    scan: Whether all layers but the last are one, looped over parameters
      stacked at 'encoder/layers' [layers - 1, ...]. The program is as small as
      that of two layers; the checkpoints here have a path for each layer.
    batch_sharding: How hidden states [batch, ...] lie on several devices. Told
      where weights are stored in slices, so that those are gathered and not
      the hidden states; None to leave it to the compiler.
    first_layer: The lowest layer to compute; above 0 the model reads the
      hidden states that enter it. Not with `scan`.
  """
  vocab_size: int = 30522
  dim: int = 768
  layers: int = 12
  heads: int = 12
  ffn_dim: int = 3072
  positions: int = 512
  segments: int = 2
  activation: str = 'gelu'
  dropout: float = 0.1
  attention_dropout: float = 0.1
  norm_epsilon: float = 1e-12
  adapters: tuple[Any, ...] = ()
  dtype: str = 'float32'
  attention: str = 'einsum'
  remat: bool = False
  scan: bool = False
  batch_sharding: jax.sharding.Sharding | None = None
  first_layer: int = 0


def dense(config: BertConfig, features: int, name: str) -> nn.Dense:
  """Returns a linear layer, to [..., features], initialised as BERT's."""
  return nn.Dense(
      features, name=name, dtype=config.dtype,
      dot_general=dense_lib.dot_general,
      kernel_init=nn.initializers.truncated_normal(0.02))


def _norm(config: BertConfig, name: str) -> layer_norm.LayerNorm:
  return layer_norm.LayerNorm(config.norm_epsilon, name=name)


class Attention(nn.Module):
  """Multi-head self-attention with its output projection."""
  config: BertConfig
  index: int

  @nn.compact
  def __call__(
      self, x: jax.Array, mask: jax.Array, shared: sites_lib.Shared, *,
      rows: int | None, train: bool,
  ) -> jax.Array:
    """Attends.

    Args:
      x: [batch, length, dim]
      mask: [batch, length] bool, False at padding.
      shared: Of `adapt.make_shared`.
      rows: Compute the first so many positions only, None for all.
      train: Whether to drop attention weights.

    Returns:
      [batch, rows, dim]
    """
    config = self.config
    sites = sites_lib.Sites(config.adapters, self.index, mask, shared, train)
    head_dim = config.dim // config.heads

    def project(inputs, name):  # [batch, length, heads, head_dim]
      projected = sites.linear(name, dense(config, config.dim, name), inputs)
      return projected.reshape(*inputs.shape[:-1], config.heads, head_dim)

    query = project(x[:, :rows], 'query') * head_dim**-0.5
    key, value = sites.key_value(x, project(x, 'key'), project(x, 'value'))
    bias = jnp.where(mask, 0.0, -1e9).astype(x.dtype)[:, None, None, :]
    prefix = key.shape[1] - x.shape[1]  # Learned positions, for all to see.
    bias = jnp.pad(bias, ((0, 0), (0, 0), (0, 0), (prefix, 0)))
    drop = dropout.Dropout(config.attention_dropout)
    fused = config.attention != 'einsum' and rows is None
    if fused and not (train and config.attention_dropout):
      square = (*bias.shape[:2], query.shape[1], key.shape[1])
      mixed = jax.nn.dot_product_attention(
          query, key, value, jnp.broadcast_to(bias, square), scale=1.0,
          implementation=config.attention)
    else:
      scores = jnp.einsum('bqhd,bkhd->bhqk', query, key) + bias
      weights = jax.nn.softmax(scores.astype(jnp.float32)).astype(x.dtype)
      weights = drop(weights, train=train)
      mixed = jnp.einsum('bhqk,bkhd->bqhd', weights, value)
    mixed = mixed.reshape(*mixed.shape[:2], config.dim)
    return sites.linear(
        'attention_output', dense(config, config.dim, 'output'), mixed)


class Layer(nn.Module):
  """A post-norm Transformer layer, adapted at its sites."""
  config: BertConfig
  index: int

  @nn.compact
  def __call__(
      self, x: jax.Array, mask: jax.Array, shared: sites_lib.Shared, *,
      rows: int | None, train: bool,
  ) -> jax.Array:
    """Applies the layer; arguments and result are those of Attention."""
    config = self.config
    sites = sites_lib.Sites(config.adapters, self.index, mask, shared, train)
    drop = functools.partial(dropout.Dropout(config.dropout), train=train)
    update = Attention(config, self.index, name='attention')(
        x, mask, shared, rows=rows, train=train)
    x = sites.sublayer('attention_output', x[:, :rows], drop(update),
                       _norm(config, 'attention_norm'))
    hidden = sites.linear(
        'intermediate', dense(config, config.ffn_dim, 'ffn_intermediate'), x)
    hidden = activations.ACTIVATIONS[config.activation](hidden)
    update = sites.linear(
        'ffn_output', dense(config, config.dim, 'ffn_output'), hidden)
    x = sites.sublayer(
        'ffn_output', x, drop(update), _norm(config, 'ffn_norm'))
    return sites.layer_output(x)


class Embeddings(nn.Module):
  """Words, positions and segments, summed and normalised."""
  config: BertConfig

  @nn.compact
  def __call__(
      self, tokens: jax.Array, segments: jax.Array, mask: jax.Array, *,
      train: bool,
  ) -> tuple[jax.Array, jax.Array]:
    """Embeds tokens and segments [batch, length] as [batch, length, dim].

    Returns:
      The embeddings and the mask, which adapters may have lengthened.
    """
    config = self.config
    embed = functools.partial(
        nn.Embed, features=config.dim, dtype=config.dtype,
        embedding_init=nn.initializers.truncated_normal(0.02))
    words = embed(config.vocab_size, name='words')(tokens)
    words, mask = sites_lib.embedding('words', config.adapters, words, mask)
    prompt = words.shape[1] - tokens.shape[1]  # Of the first segment.
    segments = jnp.pad(segments, ((0, 0), (prompt, 0)))
    positions = jnp.arange(words.shape[1])[None] + sites_lib.first_position(
        config.adapters)
    x = (words
         + embed(config.positions, name='positions')(positions)
         + embed(config.segments, name='segments')(segments))
    x = _norm(config, 'norm')(x)
    return dropout.Dropout(config.dropout)(x, train=train), mask


class Encoder(nn.Module):
  """The stack of layers."""
  config: BertConfig

  @nn.compact
  def __call__(
      self, x: jax.Array, mask: jax.Array, *, rows: int | None, train: bool
  ) -> tuple[jax.Array, ...]:
    """Returns each layer's output, the last with its first `rows` rows only.

    What no head reads of the last layer is not computed (unless an adapter
    needs it): exact, and a twelfth to a sixth of the work. A scanned encoder
    returns the last layer's alone.
    """
    config = self.config
    last = config.layers - 1
    outputs = []
    shared = sites_lib.make_shared(config, train=train)
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
      sites_lib.check_alike(config.adapters, config.layers)
      loop = nn.scan(
          lambda layer, x, _: (apply(layer, x), None), length=last,
          variable_axes={'params': 0},
          split_rngs={'params': True, 'dropout': True})
      x, _ = loop(Layer(config, 0, name='layers'), x, None)
    else:
      for index in range(config.first_layer, last):
        x = apply(Layer(config, index, name=f'layer_{index}'), x)
        outputs.append(x)
    if config.first_layer <= last:
      x = apply(Layer(config, last, name=f'layer_{last}'), x, computed)
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
      hidden: [batch, length, dim] What enters `config.first_layer`, in place of
        tokens and segments where that is above 0.
      rows: Positions of the last layer to compute, None for all.
      train: Whether to drop out; needs the 'dropout' rng.

    Returns:
      Hidden states [batch, length, dim]: what enters the first layer, and the
      output of each; the last layer's is [batch, rows, dim]. A prompt adds to
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
  """Returns the parameters of a model of this file.

  Args:
    model: The model.
    key: Of the random numbers.
    base: Parameters that exist; the others are made freshly. (An adapter's
      initial value may depend on what it adapts.)
  """
  tokens = jnp.zeros((1, 2), jnp.int32)
  _, variables = model.apply(
      {'params': base or {}}, tokens, tokens, tokens == 0,
      rngs={'params': key}, mutable=['params'])
  return variables['params']
