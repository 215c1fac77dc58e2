"""The head of classes and scores: a linear layer on [CLS]."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from adapters_jax.layers import activations
from adapters_jax.layers import dropout
from adapters_jax.model import encoder as encoder_lib
from adapters_jax.model import layer
from adapters_jax.model import pooling
from adapters_jax.model.heads import head


# {head with a layer of its own: activation after it}
HIDDEN = {'cls_gelu': 'gelu', 'cls_relu': 'relu'}
# Heads with a layer without bias, GELU and a layer norm, as in ModernBERT.
NORMED = ('cls_norm', 'mean_norm')


class Classifier(head.Model):
  """BERT with a linear head on [CLS], for classes or for one score.

  Attributes:
    outputs: Number of classes, or 1 for regression.
    head_input: Input of the head: 'cls' for the last hidden state of [CLS];
      'pooler' for BERT's tanh layer on it, as in the authors' code; a key of
      HIDDEN for a new layer on it; one of NORMED for a new layer and a norm, on
      [CLS] or on the mean of the text.
  """
  outputs: int
  head_input: str = 'cls'

  @property
  def rows(self) -> int | None:
    """Number of leading positions that the head reads; None for all."""
    return None if self.head_input == 'mean_norm' else 1

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
    last = encoder(tokens, segments, mask, hidden=hidden, rows=self.rows,
                   train=train)[-1]
    if self.rows is None:
      summary = pooling.pool(
          head.of_text(self.config, last, mask.shape[1]), mask, 'mean')
    else:
      summary = last[:, 0]  # [batch, dim]
    head_config = layer.outside_encoder(self.config)
    if self.head_input == 'pooler':
      pooler = layer.dense(head_config, self.config.dim, 'pooler')
      summary = nn.tanh(pooler(summary))
    elif self.head_input in HIDDEN:
      first = layer.dense(head_config, self.config.dim, 'head_first')
      summary = activations.ACTIVATIONS[HIDDEN[self.head_input]](
          first(summary))
    elif self.head_input in NORMED:
      first = layer.dense(
          head_config, self.config.dim, 'head_first', bias=False)
      summary = layer.norm(head_config, 'head_norm')(
          activations.gelu(first(summary)))
    summary = dropout.Dropout(self.config.dropout)(summary, train=train)
    logits = layer.dense(head_config, self.outputs, 'head')(summary)
    return logits.astype(jnp.float32)


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """Returns the cross-entropy of classes.

  Args:
    logits: [batch, classes]
    labels: [batch] int, classes.

  Returns:
    [batch] float32.
  """
  return optax.softmax_cross_entropy_with_integer_labels(
      logits, labels.astype(jnp.int32))


# Cached, as compiled steps have the loss in their key.
@functools.cache
def smoothed_cross_entropy(smoothing: float) -> head.Loss:
  """Returns the cross-entropy of smoothed classes.

  The target is 1 - smoothing for the label, plus smoothing / classes for every
  class (Szegedy et al., 2016, section 7).

  Args:
    smoothing: Share of the probability that is spread over the classes.
  """

  def loss(logits, labels):
    targets = optax.smooth_labels(
        jax.nn.one_hot(labels, logits.shape[-1]), smoothing)
    return optax.softmax_cross_entropy(logits, targets)  # [batch]

  return loss


def squared_error(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """Returns the squared error of scores.

  Args:
    logits: [batch, 1] Predicted scores.
    labels: [batch] float, true scores.

  Returns:
    [batch] float32.
  """
  return jnp.square(logits[:, 0] - labels)  # [batch]


def _make_loss(outputs: int) -> head.Loss:
  """Returns the loss of classes, or of a single score."""
  return cross_entropy if outputs > 1 else squared_error


CLS = head.Head(
    'cls', lambda config, outputs: Classifier(config, outputs), _make_loss,
    smoothed_cross_entropy,
    adapterhub=(head.Layout(
        'classification', values={'layers': 1, 'use_pooler': False},
        written={'bias': True}),))
# In the `adapters` library, two layers with tanh between them are a pooler of
# the task's own, and the only ones that can save a tuned pooler.
POOLER = head.Head(
    'pooler', lambda config, outputs: Classifier(config, outputs, 'pooler'),
    _make_loss, smoothed_cross_entropy, pooled=True,
    adapterhub=(
        head.Layout(
            'classification', {'pooler': 1, 'head': 4},
            {'layers': 2, 'activation_function': 'tanh', 'use_pooler': False},
            {'bias': True}),
        head.Layout(
            'classification', values={'layers': 1, 'use_pooler': True})),
    transformers='SequenceClassification', peft_task='SEQ_CLS')


def _with_layer(name: str) -> head.Head:
  """Returns the head of two layers of the task's own, a key of HIDDEN."""
  return head.Head(
      name, lambda config, outputs: Classifier(config, outputs, name),
      _make_loss, smoothed_cross_entropy,
      adapterhub=(head.Layout(
          'classification', {'head_first': 1, 'head': 4},
          {'layers': 2, 'activation_function': HIDDEN[name],
           'use_pooler': False}, {'bias': True}),),
      transformers='SequenceClassification', peft_task='SEQ_CLS')


def _with_norm(name: str) -> head.Head:
  """Returns the head with a norm, one of NORMED."""
  return head.Head(
      name, lambda config, outputs: Classifier(config, outputs, name),
      _make_loss, smoothed_cross_entropy,
      transformers='SequenceClassification', peft_task='SEQ_CLS')


# Heads of ELECTRA and DeBERTa, of DistilBERT, and of ModernBERT in
# transformers.
CLS_GELU, CLS_RELU = _with_layer('cls_gelu'), _with_layer('cls_relu')
CLS_NORM, MEAN_NORM = map(_with_norm, NORMED)
