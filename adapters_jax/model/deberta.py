"""Disentangled attention: DeBERTa-v3's (He et al., 2021).

The scores add the match of a token's content to the distance of another one:
c2p, queries against the keys of distances, and p2c, keys against the queries of
distances (He et al., 2020, equation 4). All layers share a table of embedded
distances, of which each layer makes keys and queries by its own linear layers,
adapters at their sites included.

A gather of each pair's distance from products with the whole table would hold
[batch, heads, length, 2 * buckets] for both terms, and its gradient would be a
scatter. `slide` needs [batch, heads, length, length + 63] and moves by reshapes
alone: for 4 texts of 512 tokens, value and gradient of both terms take 0.71 of
the processor time and 305 instead of 365 MB (128 tokens: 0.79, 24 and 35 MB).
The table costs two products of the layer's width over at most 2 * buckets rows,
whatever the batch.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from adapters_jax.layers import dropout
from adapters_jax.model import composed_sites
from adapters_jax.model import layer as layer_lib
from adapters_jax.model import sites as sites_lib

_BLOCK = 64  # Narrower blocks need less memory, but more of the table's copies.


def buckets(distances: np.ndarray, count: int, longest: int) -> np.ndarray:
  """Returns the buckets of distances: one each up to count / 2, then wider.

  Args:
    distances: [...] int, query minus key.
    count: Number of buckets of a direction.
    longest: Number of positions; the distance below it is in the last bucket.

  Returns:
    [...] int, of the sign of the distance.
  """
  middle = count // 2
  far = np.maximum(np.abs(distances), middle).astype(np.float32)
  # float32, as the models were trained.
  ratio = np.log(far / np.float32(middle)) / np.log(
      np.float32((longest - 1) / middle))
  wide = np.ceil(ratio * np.float32(middle - 1)).astype(int) + middle
  return np.where(
      np.abs(distances) <= middle, distances, np.sign(distances) * wide)


@functools.lru_cache(maxsize=64)
def distance_rows(
    config: layer_lib.BertConfig, queries: int, keys: int
) -> np.ndarray:
  """Returns the rows of the table for distances, in ascending order.

  Args:
    config: The encoder's config.
    queries: Number of queries, at the leading positions.
    keys: Number of keys.

  Returns:
    [queries + keys - 1] int.
  """
  count = config.distance_buckets
  found = buckets(np.arange(1 - keys, queries), count, config.positions)
  return np.clip(found + count, 0, 2 * count - 1)


def slide(
    config: layer_lib.BertConfig, x: jax.Array, table: jax.Array,
    block: int = _BLOCK,
) -> jax.Array:
  """Multiplies each vector by table rows, whose start moves by one per vector.

  Args:
    config: The encoder's config.
    x: [batch, n, heads, head_dim]
    table: [n + m - 1, heads, head_dim]
    block: Vectors that share a window of block + m - 1 rows.

  Returns:
    [batch, heads, n, m]: x[i] times table[n - 1 - i + j] at [i, j].
  """
  batch, count, heads, depth = x.shape
  others = len(table) - count + 1
  block = min(block, count)
  groups = -(-count // block)
  missing = groups * block - count
  width = block + others - 1
  x = jnp.pad(x, ((0, 0), (0, missing), (0, 0), (0, 0)))
  x = x.reshape(batch, groups, block, heads, depth).swapaxes(0, 1)
  table = jnp.pad(table, ((missing, 0), (0, 0), (0, 0)))
  starts = block * np.arange(groups)[::-1]
  windows = jnp.stack([table[start:start + width] for start in starts])
  products = layer_lib.scores(
      config, x.reshape(groups, batch * block, heads, depth), windows)
  products = products.reshape(groups, heads, batch, block * width)
  if block > 1:
    # In lines one shorter, each vector's products begin one place earlier.
    first, size = block - 1, block * (width - 1)
    products = products[..., first:first + size]
  found = products.reshape(groups, heads, batch, block, -1)[..., :others]
  found = jnp.transpose(found, (2, 1, 0, 3, 4))
  return found.reshape(batch, heads, groups * block, others)[:, :, :count]


class DisentangledAttention(layer_lib.Attention):
  """Multi-head self-attention with scores of content and distance."""

  @nn.compact
  def __call__(
      self, x: jax.Array, mask: jax.Array, shared: sites_lib.Shared,
      relative: jax.Array, *, rows: int | None, train: bool,
  ) -> jax.Array:
    """Computes disentangled attention.

    Args:
      x: [batch, length, dim] Input of the sublayer.
      mask: [batch, length] bool, False at padding.
      shared: Shared arrays from `sites.make_shared`.
      relative: [2 * buckets, dim] Normalised embeddings of distances.
      rows: Number of leading positions to compute, None for all. Attention
        covers all positions in either case.
      train: Whether to drop attention weights and entries of the table.

    Returns:
      [batch, rows, dim] Output of the sublayer, before dropout and residual.
    """
    config = self.config
    sites = composed_sites.make(config, self.index, mask, shared, train)
    length = x.shape[1]
    needed = distance_rows(config, length if rows is None else rows, length)
    used = slice(needed.min(), needed.max() + 1)
    if any(method.kind == 'linear' and method.needs_all_rows
           for method in config.adapters):
      # Gates average over the rows, which must not depend on the padding.
      used = slice(0, len(relative))
    table = dropout.Dropout(config.dropout)(
        relative[used].astype(x.dtype), train=train)[None]
    known = np.ones(table.shape[:2], bool)

    def project(name, inputs):
      linear = layer_lib.dense(config, config.dim, name)
      return [
          y.reshape(*y.shape[:-1], config.heads, config.head_dim)
          for y in sites.linears(name, linear, inputs)]

    # Three terms, each with the variance of one.
    scale = (3 * config.head_dim)**-0.5
    query, far_query = project('query', [(x[:, :rows], mask), (table, known)])
    key, far_key = project('key', [(x, mask), (table, known)])
    query = query * scale
    needed = needed - used.start  # The cache keeps the array.
    terms = slide(config, query, far_key[0, needed[::-1]]) + slide(
        config, key, far_query[0, needed] * scale).swapaxes(2, 3)
    (value,) = project('value', [(x, mask)])
    key, value = sites.key_value(x, key, value)
    # Finite: -inf would turn a row of padding alone (filler) into NaN.
    bias = terms.astype(x.dtype) + jnp.where(mask, 0.0, -1e9).astype(
        x.dtype)[:, None, None, :]
    # Learned positions are at no distance from the tokens.
    bias = jnp.pad(
        bias, ((0, 0), (0, 0), (0, 0), (key.shape[1] - length, 0)))
    # As in `layer.Attention`; the addend needs a gradient in any case.
    fused = config.attention != 'einsum' and rows is None and not train
    mixed = layer_lib.attend(
        config, query, key, value, bias, fused=fused, train=train)
    return sites.linear(
        'attention_output', layer_lib.dense(config, config.dim, 'output'),
        mixed)


class DisentangledLayer(layer_lib.Layer):
  """A post-norm Transformer layer with disentangled attention."""
  attention_class = DisentangledAttention
