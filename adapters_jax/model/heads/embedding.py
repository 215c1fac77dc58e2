"""Sentence embeddings: no head, but a pooling of the hidden states.

The losses compare the texts of a batch: pairs with one another, or each pair's
cosine with its score.
"""

from collections.abc import Sequence
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from adapters_jax.model import encoder as encoder_lib
from adapters_jax.model import pooling
from adapters_jax.model.heads import head


class SentenceEncoder(head.Model):
  """An encoder whose hidden states are pooled, without a head.

  Attributes:
    config: The encoder's config.
    mode: One of pooling.MODES.
    normalize: Whether embeddings have the length 1.
  """
  mode: str = 'mean'
  normalize: bool = True

  @nn.compact
  def __call__(
      self,
      tokens: jax.Array,
      segments: jax.Array,
      mask: jax.Array,
      *,
      train: bool = False,
      **columns: jax.Array,
  ) -> jax.Array:
    """Embeds a batch of texts, or of several texts each.

    Args:
      tokens: [batch, length] int32 word pieces, [CLS] first.
      segments: [batch, length] int32, 0 or 1.
      mask: [batch, length] bool, False at padding.
      train: Whether to drop out; needs the 'dropout' rng.
      **columns: tokens_1, segments_1, mask_1, tokens_2, ... of further texts
        of each example, at lengths of their own.

    Returns:
      [batch, dim] float32 embeddings; [batch, texts, dim] with columns.
    """
    encoder = encoder_lib.Bert(self.config)
    nn.share_scope(self, encoder)
    first = self._embed(encoder, tokens, segments, mask, train)
    if not columns:
      return first
    others = [
        self._embed(encoder, columns[f'tokens_{n}'], columns[f'segments_{n}'],
                    columns[f'mask_{n}'], train)
        for n in range(1, 1 + len(columns) // 3)]
    return jnp.stack([first, *others], axis=1)

  def _embed(self, encoder, tokens, segments, mask, train):
    """Returns [batch, dim] embeddings of one text each."""
    # A prompt may stand before [CLS].
    prompted = any(c.kind == 'embedding' for c in self.config.adapters)
    rows = 1 if self.mode == 'cls' and not prompted else None
    hidden = encoder(tokens, segments, mask, rows=rows, train=train)[-1]
    if rows is None:
      hidden = head.of_text(self.config, hidden, tokens.shape[1])
    found = pooling.pool(hidden, mask, self.mode)
    return pooling.normalized(found) if self.normalize else found


def _cosines(one: jax.Array, other: jax.Array) -> jax.Array:
  """Returns the cosines of each text of one side with each of the other.

  Args:
    one: [batch, dim] Embeddings of any length.
    other: [others, dim]

  Returns:
    [batch, others]
  """
  return jnp.matmul(pooling.normalized(one), pooling.normalized(other).T,
                    precision=jax.lax.Precision.HIGHEST)


def _is_real(vectors: jax.Array) -> jax.Array:
  """Returns [batch] whether rows are examples: filler has zero vectors."""
  return jnp.any(vectors != 0, axis=tuple(range(1, vectors.ndim)))


def multiple_negatives(
    vectors: jax.Array, labels: jax.Array, scale: float
) -> jax.Array:
  """Returns the cross-entropy of a text's partner among all of the batch.

  Henderson et al. (2017, section 4.4), with cosines as in
  sentence-transformers. Further columns are negatives for every text. A text is
  no negative of itself, nor of any text that it is paired with, in either
  order; and repeated candidates count once.

  Args:
    vectors: [batch, texts, dim] Embeddings: texts, partners, hard negatives.
    labels: [batch, texts] int, equal for equal texts.
    scale: Factor of the cosines, the inverse of a temperature.

  Returns:
    [batch] float32.
  """
  batch = len(vectors)
  # [candidates, dim], the partners first.
  candidates = jnp.swapaxes(vectors[:, 1:], 0, 1).reshape(
      -1, vectors.shape[-1])
  names = labels[:, 1:].T.reshape(-1)
  logits = scale * _cosines(vectors[:, 0], candidates)
  same = names[:, None] == names[None]
  real = _is_real(candidates)
  earlier = jnp.tril(same, -1) & real[None]  # [candidates, candidates]
  # Equal texts of the first column share their partners: [batch, candidates].
  alike = labels[:, None, 0] == labels[None, :, 0]
  partner = alike.astype(jnp.float32) @ same[:batch].astype(jnp.float32) > 0
  itself = labels[:, :1] == names[None]
  # Cosines have no order: the first text of a pair that has this one second.
  second = labels[:, None, 0] == labels[None, :, 1]
  reverse = second.astype(jnp.float32) @ itself.astype(jnp.float32) > 0
  excluded = ~real | earlier.any(axis=1) | partner | itself | reverse
  own = jnp.eye(batch, len(names), dtype=bool)
  logits = jnp.where(excluded & ~own, -jnp.inf, logits)
  return optax.softmax_cross_entropy_with_integer_labels(
      logits, jnp.arange(batch))


def cosent(
    vectors: jax.Array, labels: jax.Array, scale: float
) -> jax.Array:
  """Returns CoSENT's loss of the order of the pairs' cosines (Su, 2022).

  log(1 + sum of exp(scale (cos_i - cos_j)) over pairs with score_i < score_j),
  one number for the whole batch.

  Args:
    vectors: [batch, 2, dim] Embeddings.
    labels: [batch] float scores.
    scale: Factor of the cosines.

  Returns:
    [batch] float32, all equal.
  """
  cosines = jnp.sum(
      pooling.normalized(vectors[:, 0]) * pooling.normalized(vectors[:, 1]),
      axis=-1)
  real = _is_real(vectors)
  counted = (labels[:, None] < labels[None]) & real[:, None] & real[None]
  terms = jnp.where(
      counted, scale * (cosines[:, None] - cosines[None]), -jnp.inf)
  # The 1 of the logarithm is exp(0).
  terms = jnp.concatenate([jnp.zeros(1), terms.reshape(-1)])
  return jnp.broadcast_to(jax.nn.logsumexp(terms), labels.shape)


def cosine(
    vectors: jax.Array, labels: jax.Array, scale: float
) -> jax.Array:
  """Returns the squared difference of the cosine and the score of a pair.

  Reimers and Gurevych (2019, section 3).

  Args:
    vectors: [batch, 2, dim] Embeddings.
    labels: [batch] float scores in [-1, 1].
    scale: Not used.

  Returns:
    [batch] float32.
  """
  del scale
  cosines = jnp.sum(
      pooling.normalized(vectors[:, 0]) * pooling.normalized(vectors[:, 1]),
      axis=-1)
  return jnp.square(cosines - labels)


LOSSES = {'multiple_negatives': multiple_negatives, 'cosent': cosent,
          'cosine': cosine}
# Losses of pairs with scores; the others compare texts alone.
SCORED = ('cosent', 'cosine')


@functools.lru_cache  # Compiled steps are kept by their loss.
def make_loss(
    name: str, scale: float = 20.0, dims: Sequence[int] = ()
) -> head.Loss:
  """Returns a loss, perhaps summed over leading parts of the embeddings.

  Args:
    name: Key of LOSSES.
    scale: Factor of the cosines.
    dims: Numbers of leading dimensions that are trained to be embeddings of
      their own (Kusupati et al., 2022, equation 1); () for all alone.
  """
  loss = LOSSES[name]

  def nested(vectors, labels):
    return sum(loss(vectors[..., :size], labels, scale) for size in dims)

  def whole(vectors, labels):
    return loss(vectors, labels, scale)

  return nested if dims else whole


PREFIX = 'embedding_'


def row_of(mode: str) -> head.Head:
  """Returns the head of a pooling; its name records the mode in adapters."""
  return head.Head(
      PREFIX + mode,
      lambda config, outputs: SentenceEncoder(config, mode=mode),
      lambda outputs: make_loss('multiple_negatives'),
      least_classes=None, task='embeddings', dense=False,
      hub_task='sentence-similarity')


# {mode: row}
ROWS = {mode: row_of(mode) for mode in pooling.MODES}
