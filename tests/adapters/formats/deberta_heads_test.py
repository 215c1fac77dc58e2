"""Classifiers of DeBERTa, whose activation config.json chooses."""

import dataclasses

import jax
import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.adapters.formats import adapterhub_heads
from adapters_jax.adapters.formats import peft_reading
from adapters_jax.adapters.formats import peft_writing
from adapters_jax.model import families
from tests import tiny_families
from tests.adapters.formats import family_cases

HEADS = {'tanh': 'pooler', 'relu': 'cls_relu', 'gelu': 'cls_gelu'}


def shape_of(activation):
  return families.parse_config(
      {**tiny_families.VALUES['deberta'], 'pooler_hidden_act': activation},
      'c')


@pytest.mark.parametrize('activation', [*HEADS])
def test_the_head_has_the_activation(activation):
  shape, name = shape_of(activation), HEADS[activation]
  ours = family_cases.make('deberta', 'lora[r=2]', name)
  values, tensors = peft_writing.to_tensors(ours, shape)
  assert values['modules_to_save'] == ['classifier', 'pooler']
  stem = 'base_model.model.pooler.dense'
  assert tensors[f'{stem}.weight'].shape == (12, 12)
  found = peft_reading.from_tensors(values, tensors, shape)
  assert found.head_input == name
  jax.tree.map(np.testing.assert_array_equal, found.tuned, ours.tuned)
  # The same layers in a file of AdapterHub.
  plain = {key.removeprefix('base_model.model.'): value
           for key, value in tensors.items() if 'lora' not in key}
  tree, _, _ = adapterhub_heads.read(
      {'config': None, 'model_class': 'DebertaV2ForSequenceClassification'},
      plain, shape)
  assert {*tree} == {'head', 'pooler' if name == 'pooler' else 'head_first'}
  for other in {*HEADS.values()} - {name}:
    wrong = family_cases.make('deberta', 'lora[r=2]', other)
    with pytest.raises(errors.UserError, match=f'with {activation} between'):
      peft_writing.to_tensors(wrong, shape)


def test_several_labels_after_tanh():
  ours = dataclasses.replace(
      family_cases.make('deberta', 'lora[r=2]', 'pooler'),
      head_input='multilabel_pooler')
  values, tensors = peft_writing.to_tensors(ours, shape_of('tanh'))
  assert 'base_model.model.pooler.dense.bias' in tensors
  assert 'pooler' in values['modules_to_save']


def test_other_activations():
  shape = shape_of('mish')
  ours = family_cases.make('deberta', 'lora[r=2]', 'cls_gelu')
  values, tensors = peft_writing.to_tensors(ours, shape_of('gelu'))
  with pytest.raises(errors.UserError, match='no head of this.*head=False'):
    peft_reading.from_tensors(values, tensors, shape)
  with pytest.raises(errors.UserError, match='no head of this.*head=False'):
    peft_writing.to_tensors(ours, shape)
  assert peft_reading.from_tensors(
      values, tensors, shape, head=False).outputs is None
  # A head on every position has no such layer.
  tags = family_cases.make('deberta', 'lora[r=2]', 'tags')
  assert peft_reading.from_tensors(
      *peft_writing.to_tensors(tags, shape), shape).head.name == 'tags'
