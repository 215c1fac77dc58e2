"""Losses of heads against numbers by hand, and names of heads."""


import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from adapters_jax import errors
from adapters_jax.model import heads
from adapters_jax.model.heads import multilabel
from tests import tiny

LOGITS = np.array([[2.0, -1.0, 0.5], [0.0, 1.0, -3.0]], np.float32)


def test_smoothed_cross_entropy():
  loss = heads.HEADS['cls'].make_smoothed(0.3)
  assert loss is heads.HEADS['pooler'].make_smoothed(0.3)  # One program.
  labels = np.array([0, 2])
  targets = 0.7 * np.eye(3)[labels] + 0.1
  wanted = -(targets * special.log_softmax(LOGITS, -1)).sum(-1)
  np.testing.assert_allclose(loss(LOGITS, labels), wanted, rtol=1e-5)


def test_binary_cross_entropy():
  labels = np.array([[1, 0, 2.5], [0, 0, 0]], np.float32)
  row = heads.HEADS['multilabel']

  def by_hand(smoothing):
    present = np.where(labels > 0, 1 - smoothing / 2, smoothing / 2)
    terms = -(present * np.log(special.expit(LOGITS))
              + (1 - present) * np.log(special.expit(-LOGITS)))
    return (np.where(labels > 0, labels, 1) * terms).mean(-1)

  np.testing.assert_allclose(
      row.make_loss(3)(jnp.asarray(LOGITS), labels), by_hand(0), rtol=1e-5)
  np.testing.assert_allclose(
      row.make_smoothed(0.2)(jnp.asarray(LOGITS), labels), by_hand(0.2),
      rtol=1e-5)
  assert row.make_smoothed(0.2) is multilabel.smoothed(0.2)


@pytest.mark.parametrize('form, head_input, name', [
    ('single', 'cls', 'cls'), ('multilabel', 'cls_relu', 'multilabel_cls_relu'),
    ('multiple_choice', 'pooler', 'multiple_choice_pooler')])
def test_heads_of_forms(form, head_input, name):
  assert heads.of_form(form, head_input).name == name


def test_choices_are_scored_like_texts():
  config = tiny.CONFIG
  model = heads.HEADS['multiple_choice'].make(config, 1)
  batch = tiny.random_batch(batch=6)
  inputs = [batch[name] for name in ('tokens', 'segments', 'mask')]
  params = tiny.drawn(model)
  alone = tiny.apply(heads.Classifier(config, 1), params, *inputs)
  together = tiny.apply(model, params, *(
      array.reshape(2, 3, -1) for array in inputs))
  np.testing.assert_allclose(together, alone.reshape(2, 3), atol=1e-6)


def test_choices_have_fewer_heads():
  with pytest.raises(errors.UserError, match='give cls or pooler'):
    heads.of_form('multiple_choice', 'cls_gelu')
