"""BERT (Devlin et al., 2019) and its kin in Flax, with adapters at their sites.

One encoder serves all of `families`, by switches in its config.

The model reads one parameter tree and does not know which leaves are frozen: a
training step differentiates a part of the tree.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from adapters_jax import errors
from adapters_jax.layers import dropout
from adapters_jax.layers import parameters
from adapters_jax.layers import shape_trace
from adapters_jax.methods import strings
from adapters_jax.model import bert_config
from adapters_jax.model import deberta
from adapters_jax.model import endings
from adapters_jax.model import input_checks
from adapters_jax.model import layer as layer_lib
from adapters_jax.model import modernbert
from adapters_jax.model import relative as relative_lib
from adapters_jax.model import sites as sites_lib

BertConfig = bert_config.BertConfig


class Embeddings(nn.Module):
  """Sum of word, position and segment embeddings, normalised.

  ELECTRA's are narrower than its layers: a linear layer widens the result.
  """
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
      ([batch, length, dim] embeddings, [batch, length] mask); a prompt adds to
      their length.
    """
    config = self.config
    embed = functools.partial(
        parameters.Embed, features=config.embedding_dim or config.dim,
        dtype=config.dtype,
        embedding_init=nn.initializers.truncated_normal(0.02))
    words = embed(config.vocab_size, name='words')(tokens)
    words, mask = sites_lib.embedding('words', config.adapters, words, mask)
    prompt = words.shape[1] - tokens.shape[1]  # Its length, 0 without one.
    # A prompt before the words belongs to segment 0.
    segments = jnp.pad(segments, ((0, 0), (prompt, 0)))
    x = words
    if config.rotary is None and not config.distance_buckets:
      x = x + embed(
          config.positions, name='positions')(positions(config, mask))
    if config.segments == 1:
      segments = jnp.zeros_like(segments)
    if config.segments:
      x = x + embed(config.segments, name='segments')(segments)
    x = layer_lib.norm(config, 'norm')(x)
    x = dropout.Dropout(config.dropout)(x, train=train)
    if config.embedding_dim not in (None, config.dim):
      x = layer_lib.dense(config, config.dim, 'project')(x)
    return x, mask


def positions(config: BertConfig, mask: jax.Array) -> jax.Array:
  """Returns the rows of the table of positions.

  Args:
    config: The encoder's config.
    mask: [batch, length] bool, False at padding.

  Returns:
    [batch, length] int32, or [1, length] where all texts have the same.
  """
  shift = sites_lib.first_position(config.adapters)
  if not config.first_position:
    # Padding to a round length may pass the end of the table, where a look-up
    # yields NaN, which no mask would keep from the other tokens. Longer batches
    # never come here: see `input_checks`.
    return jnp.minimum(
        jnp.arange(mask.shape[1])[None] + shift, config.positions - 1)
  # From the mask, where `transformers` looks for the token of its padding:
  # batches of this project are padded with 0, which may be another token.
  number = jnp.cumsum(mask, axis=1, dtype=jnp.int32) + shift  # From 1 on.
  return number * mask + config.first_position - 1


class Encoder(parameters.Module):
  """The stack of Transformer layers."""
  config: BertConfig

  @nn.compact
  def __call__(
      self, x: jax.Array, mask: jax.Array, *, rows: int | None, train: bool
  ) -> tuple[jax.Array, ...]:
    """Computes the outputs of the layers.

    Args:
      x: [batch, length, dim] Input of the first layer.
      mask: [batch, length] bool, False at padding.
      rows: Number of leading positions of the last layer to return, None for
        all.
      train: Whether to drop out.

    Returns:
      Output [batch, length, dim] of each layer, but [batch, rows, dim] of the
      last. A scanned encoder returns the last output only.
    """
    config = self.config
    last = config.layers - 1
    outputs = []
    kind = _layer_class(config)
    shape_only = shape_trace.current()
    if shape_only and not shape_only.encoder:
      layers = range(config.first_layer, config.layers)
      return (*(x for _ in layers[1:]), x[:, :rows])
    shared = sites_lib.make_shared(config, train=train)
    relative = self._distances(x.shape[1])
    # The last layer computes only the positions that the head reads, unless an
    # adapter needs all. The result is the same, and most of one layer's work is
    # saved, a twelfth to a sixth of the encoder's.
    computed = None if sites_lib.needs_all_rows(config.adapters) else rows

    def keep(x):
      if config.batch_sharding is None:
        return x
      return jax.lax.with_sharding_constraint(x, config.batch_sharding)

    def apply(layer, x, rows=None):
      if shape_only and not config.scan and shape_only.repeats(
          layer.index, sites_lib.leaves_key(config, layer.index)):
        return x  # As wide as the layer's output.
      # `rows` and `train` are closed over: remat would trace them.
      def call(layer, x, mask, shared, relative):
        return layer(x, mask, shared, relative, rows=rows, train=train)

      call = nn.remat(call) if config.remat else call
      return keep(call(layer, keep(x), mask, shared, relative))

    if config.scan:
      # The last layer is not scanned, as it may compute fewer rows.
      sites_lib.check_alike(
          config.adapters, config.layers, config.adapted_from)
      loop = nn.scan(
          lambda layer, x, _: (apply(layer, x), None), length=last,
          variable_axes={'params': 0},
          split_rngs={'params': True, 'dropout': True})
      x, _ = loop(kind(config, 0, name='layers'), x, None)
    else:
      for index in range(config.first_layer, last):
        x = apply(kind(config, index, name=f'layer_{index}'), x)
        outputs.append(x)
    # At first_layer = layers the input is already the last layer's output.
    if config.first_layer <= last:
      x = apply(kind(config, last, name=f'layer_{last}'), x, computed)
      if config.pre_norm:
        x = layer_lib.norm(config, 'final_norm')(x)
      outputs.append(x[:, :rows])
    return tuple(outputs)

  def _distances(self, length: int) -> jax.Array | None:
    """Returns the layers' argument `relative`; None for most families."""
    config, init = self.config, nn.initializers.truncated_normal(0.02)
    if config.distance_buckets:
      table = self.param(
          'relative_embeddings', init,
          (2 * config.distance_buckets, config.dim))
      return layer_lib.norm(config, 'relative_norm')(table)
    if not config.relative_bias:
      return None
    table = self.param(
        'relative_bias', init, (relative_lib.BUCKETS, config.heads))
    return relative_lib.bias(table, length)


def _layer_class(config: BertConfig) -> type[layer_lib.Layer]:
  """Returns the class of the layers; raises if it cannot hold the methods."""
  for method in config.adapters:
    strings.check_layers(
        (method,), config.layers, f'`adapters`: {type(method).__name__}')
  endings.check(config.adapters, config.composition, config.layers)
  if not config.pre_norm:
    sites_lib.check_gate(config.adapters, config.family)
  if config.distance_buckets:
    return deberta.DisentangledLayer
  if not config.pre_norm:
    return layer_lib.Layer
  modernbert.check_encoder(config)
  return modernbert.PreNormLayer


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
      hidden: [batch, length, dim] Input of layer `config.first_layer`, instead
        of tokens and segments where that is above 0; None where it is 0.
      rows: Number of leading positions of the last layer to return, None for
        all.
      train: Whether to drop out; needs the 'dropout' rng.

    Returns:
      Hidden states [batch, length, dim]: the input of the first layer and the
      output of each layer, but [batch, rows, dim] of the last. A prompt adds to
      their length.

    Raises:
      errors.UserError: `hidden` for a model with embeddings, or none for one
        without; tokens without segments or mask, or more of them than the
        encoder reads.
    """
    config = self.config
    if config.first_layer and hidden is not None:
      x = hidden.astype(config.dtype)
    elif not config.first_layer and hidden is None:
      input_checks.check(config, tokens, segments, mask)
      embeddings = Embeddings(config, name='embeddings')
      x, mask = embeddings(tokens, segments, mask, train=train)
      x, mask = sites_lib.embedding('embedding', config.adapters, x, mask)
    else:
      raise errors.UserError(
          '`hidden`: is the input of a model whose `first_layer` is above 0; '
          f'with {config.first_layer} give '
          f'{"it" if config.first_layer else "tokens and segments"} alone')
    encoder = Encoder(config, name='encoder')
    return (x, *encoder(x, mask, rows=rows, train=train))


def init(
    model: nn.Module, key: jax.Array, base: dict[str, Any] | None = None
) -> dict[str, Any]:
  """Initialises the parameters of a model.

  Args:
    model: `Bert` or a model of `heads`.
    key: Scalar random key.
    base: Existing parameters to keep; all others are initialised. Initial
      values of an adapter may depend on them.

  Returns:
    The whole parameter tree.
  """
  # Shapes of parameters do not depend on the batch, so a tiny one suffices.
  tokens = jnp.zeros((1, 2), jnp.int32)
  # `apply` with mutable parameters keeps existing ones; `model.init` cannot.
  _, variables = model.apply(
      {'params': base or {}}, tokens, tokens, tokens == 0,
      rngs={'params': key}, mutable=['params'])
  return variables['params']
