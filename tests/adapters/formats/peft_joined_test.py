"""Adapters of ModernBERT's joined layers in PEFT's form."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.adapters.formats import peft
from adapters_jax.adapters.formats import peft_joined
from adapters_jax.adapters.formats import peft_reading
from adapters_jax.adapters.formats import peft_writing
from adapters_jax.model import heads
from adapters_jax.model import shapes
from tests import tiny_families
from tests.adapters.formats import family_cases

CASE = 'modernbert'
SHAPE = tiny_families.config(CASE)
QKV = '["query", "key", "value"]'
STEM = 'base_model.model.model.layers.1.'
NAME = f'{STEM}attn.Wqkv.lora_'


def written(text, **changed):
  return peft_writing.to_tensors(
      family_cases.make(CASE, text, None, **changed), SHAPE)


def product(tensors, values, module):
  scale = values['lora_alpha'] / (
      values['r']**0.5 if values['use_rslora'] else values['r'])
  return scale * (tensors[f'{module}.lora_B.weight']
                  @ tensors[f'{module}.lora_A.weight'])


@pytest.mark.parametrize('kind, scale', (('lora', 4), ('rslora', 8 / 2**0.5)))
def test_loras_of_parts_are_one_of_the_summed_rank(kind, scale):
  ours = family_cases.make(
      CASE, f'{kind}[r=2, sites=["query", "value", "attention_output", '
      '"intermediate"]]', None)
  values, tensors = peft_writing.to_tensors(ours, SHAPE)
  assert values['r'] == 4
  assert values['target_modules'] == ['Wqkv', 'attn.Wo', 'Wi']
  layer = ours.tuned['encoder']['layer_1']
  found = product(tensors, values, f'{STEM}attn.Wqkv').T  # [12, 36]
  for site, columns in (('query', found[:, :12]), ('value', found[:, 24:])):
    own = layer['attention'][f'adapter_{site}_0']
    np.testing.assert_allclose(columns, scale * own['a'] @ own['b'], rtol=1e-4)
  assert not found[:, 12:24].any()
  # The other layers have the rank too, with zeros.
  own = layer['adapter_intermediate_0']
  found = product(tensors, values, f'{STEM}mlp.Wi').T  # [12, 40]
  np.testing.assert_allclose(
      found[:, :20], scale * own['a'] @ own['b'], rtol=1e-5)
  assert not found[:, 20:].any()
  assert tensors[f'{STEM}attn.Wo.lora_A.weight'].shape == (4, 12)


def test_equal_first_factors_stay_one(tmp_path):
  values, tensors = written(f'lora[r=2, sites={QKV}]')
  tensors = {key: value[:2] if 'lora_A' in key else value[:, :2]
             for key, value in tensors.items()}
  adapter = peft_reading.from_tensors({**values, 'r': 2}, tensors, SHAPE)
  assert [config.sites for config in adapter.methods] == [
      ('query', 'key', 'value')]
  notes = peft.write(str(tmp_path), adapter, SHAPE, model='owner/base')
  values = json.loads((tmp_path / peft.CONFIG).read_text())
  assert values['r'] == 2 and values['target_modules'] == ['Wqkv']
  assert not any('rank' in note for note in notes)
  again = peft.read(str(tmp_path), SHAPE)
  jax.tree.map(np.testing.assert_array_equal, again.tuned, adapter.tuned)


def test_a_note_names_the_rank(tmp_path):
  adapter = family_cases.make(CASE, f'lora[r=2, sites={QKV}]', None)
  notes = peft.write(str(tmp_path), adapter, SHAPE)
  assert any('rank 6' in note for note in notes)


@pytest.mark.parametrize('text, message', (
    ('dora[r=2, dora=peft]', 'DoRA of .*Wqkv.* covers key.*sites='),
    ('dora[r=2, dora=peft, sites=["intermediate"]]', 'covers gate'),
    ('vera[r=2]', 'one layer.*LoRA, DoRA and IA3'),
    ('ia3_inputs[sites=["query"]]', 'IA3 at inputs.*covers key, value'),
    (f'ia3_inputs[sites={QKV}]', 'adapter differ')))
def test_what_peft_cannot_hold(text, message):
  with pytest.raises(errors.UserError, match=message):
    written(text)


def test_the_gate_of_the_feed_forward_sublayer(tmp_path):
  values, tensors = written('lora[r=2, sites=["intermediate"]]')
  # A gate that changes nothing is left out, any other one is at its site.
  assert peft_reading.from_tensors(values, tensors, SHAPE).methods[0].sites == (
      'intermediate',)
  tensors[f'{STEM}mlp.Wi.lora_B.weight'][-1] = 1
  ours = peft_reading.from_tensors(values, tensors, SHAPE)
  assert {config.sites: config.leave_out for config in ours.methods} == {
      ('intermediate',): (), ('gate',): (0, 2, 3)}
  for text in ('lora[r=2, sites=["gate"]]',
               'dora[r=2, dora=peft, sites=["intermediate", "gate"]]',
               'ia3[sites=["gate"]]'):
    adapter = family_cases.make(CASE, text, None)
    peft.write(str(tmp_path), adapter, SHAPE)
    values = json.loads((tmp_path / peft.CONFIG).read_text())
    assert values['target_modules'] == ['Wi']
  with pytest.raises(errors.UserError, match='vera_lambda_b.*query, key'):
    peft_joined.split(
        {'layers.1.attn.Wqkv.vera_lambda_b': np.ones(36)}, 'modernbert')
  bert = heads.Classifier(dataclasses.replace(
      tiny_families.config('bert'), adapters=adapter.methods), 2)
  with pytest.raises(errors.UserError, match='bert have no gate'):
    shapes.of(bert)


def test_heads_with_a_norm(tmp_path):
  with pytest.raises(errors.UserError, match='a norm.*head_input=cls_norm'):
    peft_writing.to_tensors(family_cases.make(CASE, 'lora[r=2]'), SHAPE)
  with pytest.raises(errors.UserError, match='ForTokenClas.*`head=False`'):
    peft_writing.to_tensors(family_cases.make(CASE, 'lora[r=2]', 'tags'), SHAPE)
  ours = family_cases.make(
      CASE, 'lora[r=2, sites=["attention_output"]]', 'cls_norm')
  peft.write(str(tmp_path), ours, SHAPE)
  values = json.loads((tmp_path / peft.CONFIG).read_text())
  assert values['modules_to_save'] == ['classifier', 'head']
  again = peft.read(str(tmp_path), SHAPE)
  assert again.head_input == 'cls_norm'
  jax.tree.map(np.testing.assert_array_equal, again.tuned, ours.tuned)
  means = dataclasses.replace(SHAPE, classifier_pooling='mean')
  assert peft.read(str(tmp_path), means).head_input == 'mean_norm'
  with pytest.raises(errors.UserError, match='head_input=mean_norm'):
    peft_writing.to_tensors(ours, means)
  # PEFT saves the last layer alone by default; the others are the base's.
  values, tensors = peft_writing.to_tensors(ours, SHAPE)
  few = {key: value for key, value in tensors.items() if '.head.' not in key}
  with pytest.raises(errors.UserError, match="modules_to_save=.'classifier'"):
    peft_reading.from_tensors(values, few, SHAPE)
  base = {part: ours.tuned[part] for part in ('head_first', 'head_norm')}
  whole = peft_reading.from_tensors(values, few, SHAPE, base=lambda: base)
  jax.tree.map(np.testing.assert_array_equal, whole.tuned, ours.tuned)
  other = dataclasses.replace(SHAPE, classifier_pooling='')
  with pytest.raises(errors.UserError, match='ModernBert.*`head=False`'):
    peft_reading.from_tensors(values, tensors, other)
  bare = peft_reading.from_tensors(values, tensors, other, head=False)
  assert bare.outputs is None
