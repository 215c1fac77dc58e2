"""The head of several labels a text: a sigmoid for each, on [CLS]."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import optax

from adapters_jax.model.heads import classification
from adapters_jax.model.heads import head


def binary_cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """Returns the mean over the labels of their binary cross-entropies.

  Args:
    logits: [batch, labels]
    labels: [batch, labels] float, 0 where a label is absent, else the weight of
      its term, usually 1.

  Returns:
    [batch] float32.
  """
  return _loss(logits, labels, 0.0)


# Cached, as compiled steps have the loss in their key.
@functools.cache
def smoothed(smoothing: float) -> head.Loss:
  """Returns `binary_cross_entropy` with smoothed labels.

  The target of a label is 1 - smoothing / 2 if present, else smoothing / 2.

  Args:
    smoothing: Share of the probability that is spread over present and absent.
  """
  return lambda logits, labels: _loss(logits, labels, smoothing)


def _loss(logits, labels, smoothing):
  present = labels > 0
  terms = optax.sigmoid_binary_cross_entropy(
      logits, present * (1 - smoothing) + smoothing / 2)
  return jnp.mean(jnp.where(present, labels, 1) * terms, axis=-1)  # [batch]


def _row(plain: head.Head) -> head.Head:
  """Returns the head of several labels with the module of a classifier."""
  return dataclasses.replace(
      plain, name=head.name_of('multilabel', plain.name),
      make_loss=lambda outputs: binary_cross_entropy,
      make_smoothed=smoothed, multilabel=True, least_classes=1,
      adapterhub=tuple(
          dataclasses.replace(layout, kind='multilabel_classification')
          for layout in plain.adapterhub))


# Listed after the classifiers in HEADS: PEFT's files do not distinguish them,
# so that the first match, a classifier, is read.
ROWS = tuple(map(_row, (
    classification.CLS, classification.POOLER, classification.CLS_GELU,
    classification.CLS_RELU, classification.CLS_NORM,
    classification.MEAN_NORM)))
