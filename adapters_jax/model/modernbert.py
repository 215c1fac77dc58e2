"""A pre-norm Transformer layer: ModernBERT's (Warner et al., 2024, section 2).

mmBERT and Ettin have the same layer. It differs from `layer` in rotary
positions instead of a table, a gated feed-forward sublayer, norms before the
sublayers, and layers in which a token attends only to its neighbours.

Adapters act on the update of a sublayer before the skip connection, as in
post-norm layers; no norm follows. A parallel adapter reads the input of the
skip connection, before the norm. The site 'intermediate' is the half of the
gated layer that is activated, ffn_dim wide.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from adapters_jax import errors
from adapters_jax.layers import activations
from adapters_jax.layers import dropout
from adapters_jax.model import composed_sites
from adapters_jax.model import endings
from adapters_jax.model import layer as layer_lib
from adapters_jax.model import sites as sites_lib


def check_encoder(config: layer_lib.BertConfig) -> None:
  """Checks that the layers can hold the methods and the way to compute them.

  Args:
    config: The encoder's config.

  Raises:
    errors.UserError: a scan, or a method that needs a norm after a sublayer.
  """
  if config.scan:
    raise errors.UserError(
        f'`scan`: the layers of {config.family} differ (local or global, the '
        'first without a norm); leave it out')
  endings.check_pre_norm(config.adapters, config.family)


@functools.lru_cache(maxsize=64)
def angles(
    length: int, first: int, head_dim: int, base: float
) -> tuple[np.ndarray, np.ndarray]:
  """Returns cosines and sines of the rotary positions (Su et al., 2021, 3.2).

  Args:
    length: Number of positions.
    first: Number of the first one.
    head_dim: Width of an attention head.
    base: Base of the wavelengths.

  Returns:
    Two arrays [length, 1, head_dim / 2] float32.
  """
  # float32 throughout, as the models were trained: at position 8000 the angle
  # differs from the exact one in the fourth digit.
  powers = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
  rates = np.float32(1) / np.float32(base) ** powers
  found = np.arange(first, first + length, dtype=np.float32)[:, None] * rates
  return np.cos(found)[:, None], np.sin(found)[:, None]


def rotate(x: jax.Array, cos: np.ndarray, sin: np.ndarray) -> jax.Array:
  """Rotates pairs of features, one from each half of a head.

  Args:
    x: [batch, length, heads, head_dim]
    cos: [length, 1, head_dim / 2]
    sin: [length, 1, head_dim / 2]

  Returns:
    [batch, length, heads, head_dim] with the dtype of x.
  """
  a, b = jnp.split(x.astype(jnp.float32), 2, axis=-1)
  turned = [a * cos - b * sin, b * cos + a * sin]
  return jnp.concatenate(turned, axis=-1).astype(x.dtype)


def near(queries: np.ndarray, keys: np.ndarray, window: int) -> np.ndarray:
  """Returns which keys are neighbours of which queries.

  Args:
    queries: [queries] int positions.
    keys: [keys] int positions.
    window: Largest distance of a neighbour.

  Returns:
    [queries, keys] bool.
  """
  return np.abs(queries[:, None] - keys[None]) <= window


def blocks(
    query: jax.Array, key: jax.Array, value: jax.Array, mask: jax.Array,
    window: int,
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
  """Cuts a local attention into blocks, each with its neighbours' keys.

  A block has `window` queries. Their neighbours lie in the block, the one
  before and the one after, so attention within blocks is exact. Prefixes, the
  keys that precede the text, go to all blocks.

  Args:
    query: [batch, length, heads, head_dim]
    key: [batch, prefix + length, heads, head_dim]
    value: [batch, prefix + length, heads, head_dim]
    mask: [batch, length] bool, False at padding.
    window: Largest distance of a neighbour.

  Returns:
    query [batch * blocks, window, heads, head_dim], key and value
    [batch * blocks, prefix + 3 * window, heads, head_dim], and which keys of
    the text a query sees [batch * blocks, window, 3 * window] bool.
  """
  batch, length = mask.shape
  prefix, count = key.shape[1] - length, -(-length // window)

  def cut(x, side):  # [batch, side + blocks + side, window, ...]
    widths = [(0, 0)] * x.ndim
    widths[1] = (side * window, (side + count) * window - length)
    return jnp.pad(x, widths).reshape(batch, -1, window, *x.shape[2:])

  def around(x):  # [batch * blocks, 3 * window, ...]
    parts = cut(x, 1)
    joined = jnp.concatenate(
        [parts[:, :-2], parts[:, 1:-1], parts[:, 2:]], axis=2)
    return joined.reshape(batch * count, 3 * window, *x.shape[2:])

  def with_prefix(x):
    return jnp.concatenate(
        [jnp.repeat(x[:, :prefix], count, axis=0), around(x[:, prefix:])],
        axis=1)

  inside = np.arange(3 * window)
  seen = around(mask)[:, None] & near(
      inside[window:2 * window], inside, window)
  query = cut(query, 0).reshape(batch * count, window, *query.shape[2:])
  return query, with_prefix(key), with_prefix(value), seen


class RotaryAttention(layer_lib.Attention):
  """Multi-head self-attention with rotary positions, global or local."""

  @nn.compact
  def __call__(
      self, x: jax.Array, mask: jax.Array, shared: sites_lib.Shared, *,
      rows: int | None, train: bool,
  ) -> jax.Array:
    """Computes scaled dot-product attention.

    Args:
      x: [batch, length, dim] Normalised input of the sublayer.
      mask: [batch, length] bool, False at padding.
      shared: Shared arrays from `sites.make_shared`.
      rows: Number of leading positions to compute, None for all. Attention
        covers all positions in either case.
      train: Whether to drop attention weights.

    Returns:
      [batch, rows, dim] Output of the sublayer, before dropout and residual.
    """
    config = self.config
    sites = composed_sites.make(config, self.index, mask, shared, train)
    project = functools.partial(layer_lib.project_heads, config, sites)
    length, local = x.shape[1], self.index in config.local_layers
    cos, sin = angles(
        length, sites_lib.first_position(config.adapters), config.head_dim,
        config.rotary[local])
    query = project(x[:, :rows], 'query') * config.head_dim**-0.5
    query = rotate(query, cos[:rows], sin[:rows])
    # Keys of a prefix are learned in their rotated form. They have no distance
    # to the text, so local layers see them, too.
    key, value = sites.key_value(
        x, rotate(project(x, 'key'), cos, sin), project(x, 'value'))
    prefix, count = key.shape[1] - length, query.shape[1]
    # Below, blocks would have more keys than the text.
    if local and rows is None and length > 2 * config.window:
      query, key, value, seen = blocks(query, key, value, mask, config.window)
    else:
      seen = mask[:, None]
      if local:
        positions = np.arange(length)
        seen = seen & near(positions[:rows], positions, config.window)
    # Finite: -inf would turn a row of padding alone (filler) into NaN.
    bias = jnp.where(seen, 0.0, -1e9).astype(x.dtype)[:, None]
    bias = jnp.pad(bias, ((0, 0), (0, 0), (0, 0), (prefix, 0)))
    # As in `layer.Attention`.
    fused = config.attention != 'einsum' and rows is None and not (
        train and config.attention_dropout)
    mixed = layer_lib.attend(
        config, query, key, value, bias, fused=fused, train=train)
    mixed = mixed.reshape(x.shape[0], -1, config.dim)[:, :count]
    linear = layer_lib.dense(
        config, config.dim, 'output', bias=config.attention_bias)
    return sites.linear('attention_output', linear, mixed)


class PreNormLayer(layer_lib.Layer):
  """A pre-norm Transformer layer with adapters at its sites."""

  @nn.compact
  def __call__(
      self, x: jax.Array, mask: jax.Array, shared: sites_lib.Shared,
      relative: None, *, rows: int | None, train: bool,
  ) -> jax.Array:
    """Applies both sublayers.

    Args:
      x: [batch, length, dim] Output of the layer below.
      mask: [batch, length] bool, False at padding.
      shared: Shared arrays from `sites.make_shared`.
      relative: Unused; positions are rotary.
      rows: Number of leading positions to compute, None for all.
      train: Whether to drop out.

    Returns:
      [batch, rows, dim]
    """
    del relative
    config = self.config
    sites = composed_sites.make(config, self.index, mask, shared, train)
    drop = functools.partial(dropout.Dropout(config.dropout), train=train)
    linear = functools.partial(layer_lib.dense, config, bias=config.ffn_bias)
    # The embeddings' norm stands before the first attention.
    normal = layer_lib.norm(config, 'attention_norm')(x) if self.index else x
    update = RotaryAttention(config, self.index, name='attention')(
        normal, mask, shared, rows=rows, train=train)
    x = sites.sublayer('attention_output', x[:, :rows], drop(update), None)
    normal = layer_lib.norm(config, 'ffn_norm')(x)
    hidden = sites.linear(
        'intermediate', linear(config.ffn_dim, 'ffn_intermediate'), normal)
    hidden = activations.ACTIVATIONS[config.activation](hidden)
    hidden = hidden * sites.linear(
        'gate', linear(config.ffn_dim, 'ffn_gate'), normal)
    update = sites.linear(
        'ffn_output', linear(config.dim, 'ffn_output'), hidden)
    x = sites.sublayer('ffn_output', x, drop(update), None)
    return sites.layer_output(x)
