"""A post-norm Transformer layer (Devlin et al., 2019)."""

import dataclasses
import functools
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from adapters_jax.layers import activations
from adapters_jax.layers import bfloat16
from adapters_jax.layers import dense as dense_lib
from adapters_jax.layers import dropout
from adapters_jax.layers import layer_norm
from adapters_jax.layers import parameters
from adapters_jax.model import bert_config
from adapters_jax.model import composed_sites
from adapters_jax.model import sites as sites_lib

BertConfig = bert_config.BertConfig


def dense(
    config: BertConfig, features: int, name: str, *, bias: bool = True
) -> parameters.Dense:
  """Makes a linear layer with BERT's initialisation.

  Args:
    config: The encoder's config.
    features: Width of the output.
    name: Name in the parameter tree.
    bias: Whether the layer has a bias.
  """
  products = bfloat16 if config.products == 'bfloat16' else dense_lib
  return parameters.Dense(
      features, use_bias=bias, name=name, dtype=config.dtype,
      dot_general=products.dot_general,
      kernel_init=nn.initializers.truncated_normal(0.02))


def outside_encoder(config: BertConfig) -> bert_config.BertConfig:
  """Returns a config for pooler and head, whose products are not rounded.

  They cost next to nothing in float32, and logits stay precise.

  Args:
    config: The encoder's config.
  """
  return dataclasses.replace(config, products='float32')


def norm(config: BertConfig, name: str) -> layer_norm.LayerNorm:
  """Makes a layer norm with BERT's epsilon.

  Args:
    config: The encoder's config.
    name: Name in the parameter tree.
  """
  return layer_norm.LayerNorm(
      config.norm_epsilon, config.norm_bias, name=name)


def scores(
    config: BertConfig, query: jax.Array, key: jax.Array
) -> jax.Array:
  """Multiplies queries by keys.

  Args:
    config: The encoder's config.
    query: [batch, queries, heads, head_dim]
    key: [batch, keys, heads, head_dim]

  Returns:
    [batch, heads, queries, keys]
  """
  if config.products == 'bfloat16':
    return bfloat16.attention_scores(query, key)
  return jnp.einsum('bqhd,bkhd->bhqk', query, key)


def _mix(config, weights, value):
  """Sums values by weights; shapes as in `bfloat16.mix`."""
  if config.products == 'bfloat16':
    return bfloat16.mix(weights, value)
  return jnp.einsum('bhqk,bkhd->bqhd', weights, value)


def attend(
    config: BertConfig, query: jax.Array, key: jax.Array, value: jax.Array,
    bias: jax.Array, *, fused: bool, train: bool,
) -> jax.Array:
  """Mixes values by the softmax of the scores, inside the calling module.

  Args:
    config: The encoder's config.
    query: [batch, queries, heads, head_dim], already scaled.
    key: [batch, keys, heads, head_dim]
    value: [batch, keys, heads, head_dim]
    bias: [batch, 1 or heads, 1 or queries, keys] Addend to the scores.
    fused: Whether to use the implementation of the config, which does not drop
      weights; training on an odd number of positions falls back to einsum.
    train: Whether to drop attention weights.

  Returns:
    [batch, queries, dim]
  """
  # The gradients of cuDNN's attention need even numbers of positions.
  odd = query.shape[1] % 2 or key.shape[1] % 2
  if fused and not (train and odd):
    square = (*bias.shape[:2], query.shape[1], key.shape[1])
    mixed = jax.nn.dot_product_attention(
        query, key, value, jnp.broadcast_to(bias, square), scale=1.0,
        implementation=config.attention)
  else:
    products = scores(config, query, key) + bias
    # float32, since bfloat16 has too few digits for the sum over positions.
    weights = jax.nn.softmax(products.astype(jnp.float32))
    weights = weights.astype(query.dtype)
    weights = dropout.Dropout(config.attention_dropout)(weights, train=train)
    mixed = _mix(config, weights, value)
  return mixed.reshape(*mixed.shape[:2], config.dim)


def project_heads(
    config: BertConfig, sites: sites_lib.Sites, x: jax.Array, name: str
) -> jax.Array:
  """Makes the heads' queries, keys or values, inside the calling module.

  Args:
    config: The encoder's config.
    sites: The layer's sites.
    x: [batch, length, dim] Input of the attention.
    name: 'query', 'key' or 'value': name of the linear layer and of its site.

  Returns:
    [batch, length, heads, head_dim]
  """
  linear = dense(config, config.dim, name, bias=config.attention_bias)
  projected = sites.linear(name, linear, x)
  return projected.reshape(*x.shape[:-1], config.heads, config.head_dim)


class Attention(nn.Module):
  """Multi-head self-attention with its output projection.

  Attributes:
    config: The encoder's config.
    index: Number of the layer.
  """
  config: BertConfig
  index: int

  @nn.compact
  def __call__(
      self, x: jax.Array, mask: jax.Array, shared: sites_lib.Shared,
      relative: jax.Array | None, *, rows: int | None, train: bool,
  ) -> jax.Array:
    """Computes scaled dot-product attention (Vaswani et al., 2017, 3.2).

    Args:
      x: [batch, length, dim] Input of the sublayer.
      mask: [batch, length] bool, False at padding.
      shared: Shared arrays from `sites.make_shared`.
      relative: [1, heads, length, length] Addend to the attention scores, or
        None.
      rows: Number of leading positions to compute, None for all. Attention
        covers all positions in either case.
      train: Whether to drop attention weights.

    Returns:
      [batch, rows, dim] Output of the sublayer, before dropout and residual.
    """
    config = self.config
    sites = composed_sites.make(config, self.index, mask, shared, train)
    project = functools.partial(project_heads, config, sites)
    # Scaled once, in the query; both implementations below scale by 1.
    query = project(x[:, :rows], 'query') * config.head_dim**-0.5
    key, value = sites.key_value(x, project(x, 'key'), project(x, 'value'))
    # Finite: -inf would turn a row of padding alone (filler) into NaN.
    bias = jnp.where(mask, 0.0, -1e9).astype(x.dtype)[:, None, None, :]
    prefix = key.shape[1] - x.shape[1]  # Learned positions, never masked.
    widths = ((0, 0), (0, 0), (0, 0), (prefix, 0))
    bias = jnp.pad(bias, widths)
    if relative is not None:
      # Learned positions are at no distance from the tokens.
      bias = bias + jnp.pad(relative[:, :, :rows], widths).astype(x.dtype)
    # Not in these cases: fused kernels draw their own dropout bits, which other
    # devices cannot reproduce, and a single row of queries is too little work.
    fused = config.attention != 'einsum' and rows is None
    # cuDNN has no gradient of a bias that the batch shares.
    if train and (config.attention_dropout or relative is not None):
      fused = False
    mixed = attend(config, query, key, value, bias, fused=fused, train=train)
    return sites.linear(
        'attention_output', dense(config, config.dim, 'output'), mixed)


class Layer(nn.Module):
  """A post-norm Transformer layer with adapters at its sites.

  Attributes:
    config: The encoder's config.
    index: Number of the layer.
    attention_class: Class of the first sublayer.
  """
  config: BertConfig
  index: int
  attention_class: ClassVar[type[nn.Module]] = Attention

  @nn.compact
  def __call__(
      self, x: jax.Array, mask: jax.Array, shared: sites_lib.Shared,
      relative: jax.Array | None, *, rows: int | None, train: bool,
  ) -> jax.Array:
    """Applies both sublayers.

    Args:
      x: [batch, length, dim] Output of the layer below.
      mask: [batch, length] bool, False at padding.
      shared: Shared arrays from `sites.make_shared`.
      relative: Argument of the attention, computed once for all layers.
      rows: Number of leading positions to compute, None for all.
      train: Whether to drop out.

    Returns:
      [batch, rows, dim]
    """
    config = self.config
    sites = composed_sites.make(config, self.index, mask, shared, train)
    # One module, called twice: each call draws a new key from the rng.
    drop = functools.partial(dropout.Dropout(config.dropout), train=train)
    update = self.attention_class(config, self.index, name='attention')(
        x, mask, shared, relative, rows=rows, train=train)
    x = sites.sublayer('attention_output', x[:, :rows], drop(update),
                       norm(config, 'attention_norm'))
    hidden = sites.linear(
        'intermediate', dense(config, config.ffn_dim, 'ffn_intermediate'), x)
    hidden = activations.ACTIVATIONS[config.activation](hidden)
    update = sites.linear(
        'ffn_output', dense(config, config.dim, 'ffn_output'), hidden)
    x = sites.sublayer(
        'ffn_output', x, drop(update), norm(config, 'ffn_norm'))
    return sites.layer_output(x)
