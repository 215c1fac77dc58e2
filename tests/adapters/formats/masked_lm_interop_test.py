"""Heads of masked language modelling exchanged with the real `adapters`."""

import json
import os

import jax
import numpy as np
import pytest

from adapters_jax import trees
from adapters_jax.adapters.formats import adapterhub
from adapters_jax.model import heads
from adapters_jax.model import pretrained
from tests import tiny_families
from tests.adapters.formats import families_interop_test as families
from tests.adapters.formats import family_cases
from tests.adapters.formats import masked_lm_test as cases
from tests.fixtures import make_method_fixtures as fixtures

adapters = pytest.importorskip('adapters')

pytestmark = pytest.mark.interop


def logits_here(case, adapter):
  base = pretrained.from_hugging_face(
      tiny_families.tensors(case), adapter.family)
  inputs = family_cases.batch(case)
  model = heads.make(tiny_families.config(case), adapter.methods,
                     adapter.outputs, adapter.head_input)
  return jax.device_get(model.apply(
      {'params': trees.overlay(base, adapter.tuned)}, inputs['tokens'],
      inputs['segments'], inputs['mask']))


@pytest.mark.parametrize(
    'text', ('seq_bn_inv[reduction_factor=4]', 'lora[r=2]'))
@pytest.mark.parametrize('case', ('bert', *family_cases.ADAPTERHUB))
def test_both_ways(case, text, tmp_path):
  if families.narrow(case, text):
    pytest.skip('refused: the library has it before the wider layer')
  shape, ours = tiny_families.config(case), cases.make(case, text)
  wanted = logits_here(case, ours)
  adapterhub.write(str(tmp_path / 'a'), 'n', ours, {}, shape)
  for safe in (True, False):
    model = families.make_model(case, 'AdapterModel')
    model.load_adapter(
        str(tmp_path / 'a'), use_safetensors=safe, set_active=True)
    families.assert_close(families.run(model, case).logits.numpy(), wanted)
  model.save_adapter(str(tmp_path / 'b'), 'n', use_safetensors=False)
  with open(os.path.join(tmp_path, 'b', adapterhub.HEAD_CONFIG)) as file:
    theirs = json.load(file)['config']
  with open(os.path.join(tmp_path, 'a', adapterhub.HEAD_CONFIG)) as file:
    assert json.load(file)['config'] == theirs
  base = pretrained.from_hugging_face(tiny_families.tensors(case), shape.family)
  # Their file has the decoder too.
  again = adapterhub.read(str(tmp_path / 'b'), shape, base=lambda: base)[1]
  jax.tree.map(np.testing.assert_array_equal, again.tuned['head'],
               ours.tuned['head'])
  families.assert_close(logits_here(case, again), wanted)


@pytest.mark.parametrize('case, text', (
    ('bert', 'lora[r=2]'), ('roberta', 'lora[r=2]'),
    ('distilbert', 'seq_bn_inv[reduction_factor=4]')))
def test_heads_of_transformers(case, text, tmp_path, monkeypatch):
  model = families.make_model(case, 'ForMaskedLM')
  adapters.init(model)
  model.add_adapter('n', config=text, set_active=True)
  start = tiny_families.names_of(case)['prefix']
  fixtures.randomize_named(
      model, lambda name: '.n.' in name or not name.startswith(start), 4)
  model.save_adapter(str(tmp_path), 'n', with_head=True, use_safetensors=False)
  shape = tiny_families.config(case)
  base = pretrained.from_hugging_face(tiny_families.tensors(case), shape.family)
  adapter = adapterhub.read(str(tmp_path), shape, base=lambda: base)[1]
  assert adapter.head_input == 'masked_lm'
  wanted = families.run(model, case).logits.numpy()
  if 'inv' in text:
    # `adapters` 1.3.0 has the inverse in its own heads alone.
    assert np.abs(logits_here(case, adapter) - wanted).max() > 0.1
    monkeypatch.setattr(
        heads.masked_lm.MaskedLM, '_inverted', lambda _, hidden: hidden)
  families.assert_close(logits_here(case, adapter), wanted)
