"""Sentence embeddings: hidden states of a text, pooled to one vector."""

import dataclasses

import jax
import jax.numpy as jnp

from adapters_jax import errors

# The names of sentence-transformers.
MODES = ('mean', 'cls', 'max', 'mean_sqrt_len_tokens', 'weightedmean',
         'lasttoken')


@dataclasses.dataclass(frozen=True)
class Pooling:
  """Settings by which a text becomes a vector.

  Attributes:
    mode: One of MODES.
    normalize: Whether vectors have the length 1, so that products are cosines.
    max_length: Longest text in tokens, special tokens included; 0 for the
      longest that the encoder reads.
    prompt: Text before every text.
    lowercase: Whether to lowercase texts before they are tokenised.
    dims: Leading dimensions to keep, without scaling them to length 1; 0 for
      all.
  """
  mode: str = 'mean'
  normalize: bool = True
  max_length: int = 0
  prompt: str = ''
  lowercase: bool = False
  dims: int = 0

  def __post_init__(self):
    if self.mode not in MODES:
      raise errors.unknown('`pooling`', self.mode, MODES)

  def text(self, text: str) -> str:
    """Returns the text to tokenise."""
    text = self.prompt + text
    return text.lower() if self.lowercase else text


def pool(hidden: jax.Array, mask: jax.Array, mode: str) -> jax.Array:
  """Pools the hidden states of each text.

  Args:
    hidden: [batch, length, dim] Output of the last layer.
    mask: [batch, length] bool, False at padding.
    mode: One of MODES.

  Returns:
    [batch, dim] float32; 0 for a text without tokens, such as filler.
  """
  hidden = hidden.astype(jnp.float32)
  weights = mask.astype(jnp.float32)
  empty = ~mask.any(axis=1)[:, None]
  if mode == 'cls':
    return jnp.where(empty, 0, hidden[:, 0])
  if mode == 'max':
    largest = jnp.where(mask[..., None], hidden, -jnp.inf).max(axis=1)
    return jnp.where(empty, 0, largest)
  if mode == 'lasttoken':
    last = jnp.maximum(mask.sum(axis=1) - 1, 0)  # [batch]
    found = jnp.take_along_axis(hidden, last[:, None, None], axis=1)[:, 0]
    return jnp.where(empty, 0, found)
  if mode == 'weightedmean':  # By position (Muennighoff, 2022, SGPT).
    weights = weights * jnp.arange(1, mask.shape[1] + 1)
  total = jnp.einsum('bld,bl->bd', hidden, weights)
  count = jnp.maximum(weights.sum(axis=1, keepdims=True), 1e-9)
  return total / (
      jnp.sqrt(count) if mode == 'mean_sqrt_len_tokens' else count)


def normalized(vectors: jax.Array) -> jax.Array:
  """Scales vectors [..., dim] to length 1; zero vectors stay zero."""
  # Bound inside the root, whose gradient at 0 would be infinite.
  square = jnp.sum(jnp.square(vectors), axis=-1, keepdims=True)
  return vectors * jax.lax.rsqrt(jnp.maximum(square, 1e-24))
