"""Tests of LoRA on the pooler, and below the layers, in PEFT's files."""

import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.adapters.formats import adapterhub
from adapters_jax.adapters.formats import peft_reading
from adapters_jax.adapters.formats import peft_writing
from adapters_jax.model import pretrained
from adapters_jax import trees
from tests import tiny_families
from tests.adapters.formats import family_cases
from tests.adapters.formats import format_cases

SHAPE = format_cases.SHAPE
STEM = 'base_model.model.bert.pooler.dense.'


def file_of(**changed):
  """Returns (entries, tensors) of LoRA of rank 2 on queries and the pooler."""
  adapter = format_cases.make('lora[r=2, alpha=8, leave_out=[0]]')
  values, tensors = peft_writing.to_tensors(adapter, SHAPE)
  rng = np.random.default_rng(0)
  a = rng.standard_normal((2, SHAPE.dim))
  b = rng.standard_normal((SHAPE.dim, 2))
  tensors = {**tensors, f'{STEM}lora_A.weight': a, f'{STEM}lora_B.weight': b}
  return {**values, **changed}, tensors, b @ a


def pooler():
  rng = np.random.default_rng(1)
  return {'pooler': {'kernel': rng.standard_normal((SHAPE.dim, SHAPE.dim)),
                     'bias': rng.standard_normal(SHAPE.dim)}}


@pytest.mark.parametrize('changed, scale', [
    ({}, 4), ({'use_rslora': True}, 8 / 2**0.5),
    ({'alpha_pattern': {'pooler.dense': 2}}, 1)])
def test_a_lora_of_the_pooler_is_added_to_the_base(changed, scale):
  values, tensors, update = file_of(**changed)
  found = peft_reading.from_tensors(values, tensors, SHAPE, base=pooler)
  base = pooler()['pooler']
  np.testing.assert_allclose(
      found.tuned['pooler']['kernel'], base['kernel'] + scale * update.T,
      atol=1e-5)
  np.testing.assert_allclose(
      found.tuned['pooler']['bias'], base['bias'], rtol=1e-6)
  # The other layers are those of a file without it.
  plain = peft_reading.from_tensors(values, {
      key: value for key, value in tensors.items() if STEM not in key}, SHAPE)
  assert found.methods == plain.methods


def test_what_cannot_be_added_is_refused():
  values, tensors, _ = file_of()
  with pytest.raises(errors.UserError, match='give `base`'):
    peft_reading.from_tensors(values, tensors, SHAPE)
  with pytest.raises(errors.UserError, match='no pooler of this shape'):
    peft_reading.from_tensors(values, tensors, SHAPE, base=dict)
  tensors[f'{STEM}lora_magnitude_vector'] = np.ones(SHAPE.dim)
  with pytest.raises(errors.UserError, match='plain LoRA alone'):
    peft_reading.from_tensors(values, tensors, SHAPE, base=pooler)


def test_the_layer_that_widens_the_embeddings_of_electra():
  shape = tiny_families.config('electra-small')
  tensors = tiny_families.tensors('electra-small')
  ours = family_cases.make('electra-small', 'lora[r=2]', 'peft')
  values, whole = peft_writing.to_tensors(ours, shape)
  rng = np.random.default_rng(0)
  a, b = rng.standard_normal((2, 10)), rng.standard_normal((12, 2))
  stem = 'base_model.model.electra.embeddings_project'
  found = peft_reading.from_tensors(
      values, {**whole, f'{stem}.lora_A.weight': a, f'{stem}.lora_B.weight': b},
      shape, base=lambda: pretrained.from_hugging_face(tensors, 'electra'))
  project = found.tuned['embeddings']['project']
  scale = ours.methods[0].scale
  np.testing.assert_allclose(
      project['kernel'],
      (tensors['embeddings_project.weight'] + scale * b @ a).T, atol=1e-5)
  np.testing.assert_array_equal(
      project['bias'], tensors['embeddings_project.bias'])
  with pytest.raises(errors.UserError, match='embeddings/project/.* no place'):
    adapterhub.to_tensors('a', found, 'electra')
  # PEFT's file has it as a whole layer.
  values, whole = peft_writing.to_tensors(found, shape)
  assert values['modules_to_save'] == ['classifier', 'embeddings_project']
  again = peft_reading.from_tensors(values, whole, shape)
  assert again.methods == ours.methods
  for path, leaf in trees.flatten(found.tuned).items():
    np.testing.assert_array_equal(trees.flatten(again.tuned)[path], leaf)
