"""Heads of several labels and of choices in `adapters`, PEFT, transformers."""

import dataclasses

import jax
import numpy as np
import pytest

from adapters_jax import trees
from adapters_jax.adapters.formats import adapterhub
from adapters_jax.adapters.formats import peft as peft_lib
from adapters_jax.model import heads
from adapters_jax.model import pretrained
from tests import tiny_families
from tests.adapters.formats import families_interop_test as families
from tests.adapters.formats import family_cases
from tests.adapters.formats import format_cases as common
from tests.fixtures import make_method_fixtures as fixtures
from tests.methods import method_cases
from tests.methods import parity_test as parity

torch = pytest.importorskip('torch')
adapters = pytest.importorskip('adapters')
peft = pytest.importorskip('peft')
transformers = pytest.importorskip('transformers')

pytestmark = pytest.mark.interop

SHAPE, CHOICES = method_cases.SHAPE, 2
BASE = parity.pretrained.from_hugging_face(method_cases.base_tensors())


def batch_of(form, inputs):
  """Returns a batch; of choices [batch, 2, length], another row the second."""
  if form == 'multilabel':
    return inputs
  return {name: np.stack([array, np.roll(array, 1, 0)], 1)
          for name, array in inputs.items()}


def logits_there(model, batch, segments=True):
  named = {'input_ids': batch['tokens'], 'attention_mask': batch['mask']}
  if segments:
    named['token_type_ids'] = batch['segments']
  with torch.no_grad():
    return model.eval()(**{
        name: torch.from_numpy(array).long()
        for name, array in named.items()}).logits.numpy()


def logits_here(adapter, batch, shape=SHAPE, base=BASE):
  model = heads.make(
      shape, adapter.methods, adapter.outputs, adapter.head_input)
  return jax.device_get(model.apply(
      {'params': trees.overlay(base, adapter.tuned)}, batch['tokens'],
      batch['segments'], batch['mask']))


def make(form, text, pooled):
  """Returns an adapter with random leaves and a head."""
  adapter = common.make(text)
  tuned = dict(adapter.tuned)
  if form == 'multiple_choice':
    tuned['head'] = jax.tree.map(
        lambda leaf: leaf[..., :1], tuned['head'])
  labels = ('a', 'b', 'c') if form == 'multilabel' else ('0', '1')
  return dataclasses.replace(
      adapter, tuned=tuned, labels=labels,
      head_input=form + ('_pooler' if pooled else ''))


@pytest.mark.parametrize('form', ['multilabel', 'multiple_choice'])
@pytest.mark.parametrize('layers', [1, 2])
def test_heads_of_adapters_here_and_back(form, layers, tmp_path):
  batch = batch_of(form, method_cases.batch('lora'))
  model = fixtures.make_bert(adapters.BertAdapterModel)
  model.add_adapter('n', config='lora[r=2]')
  if form == 'multilabel':
    model.add_classification_head(
        'n', num_labels=3, layers=layers, multilabel=True,
        id2label={0: 'a', 1: 'b', 2: 'c'})
  else:
    model.add_multiple_choice_head('n', num_choices=CHOICES, layers=layers)
  fixtures.randomize_named(model, lambda name: '.n.' in name, 4)
  model.set_active_adapters('n')
  model.save_adapter(str(tmp_path / 'theirs'), 'n')
  adapter = adapterhub.read(str(tmp_path / 'theirs'), SHAPE)[1]
  assert adapter.head_input == form + ('_pooler' if layers == 2 else '')
  assert adapter.labels == (
      ('a', 'b', 'c') if form == 'multilabel' else ('0', '1'))
  wanted = logits_there(model, batch)
  np.testing.assert_allclose(
      logits_here(adapter, batch), wanted, atol=1e-5, rtol=1e-5)
  adapterhub.write(str(tmp_path / 'ours'), 'm', adapter, BASE, SHAPE)
  again = fixtures.make_bert(adapters.BertAdapterModel)
  again.load_adapter(
      str(tmp_path / 'ours'), use_safetensors=True, set_active=True)
  np.testing.assert_allclose(
      logits_there(again, batch), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('form', ['multilabel', 'multiple_choice'])
def test_heads_of_transformers_in_peft(form, tmp_path):
  batch = batch_of(form, method_cases.batch('lora'))
  adapter = make(form, 'lora[r=3]', pooled=True)
  folder = str(tmp_path / 'ours')
  peft_lib.write(folder, adapter, SHAPE)
  model = (fixtures.make_bert(transformers.BertForMultipleChoice)
           if form == 'multiple_choice' else fixtures.make_bert(
               transformers.BertForSequenceClassification, num_labels=3,
               problem_type='multi_label_classification'))
  model = peft.PeftModel.from_pretrained(model, folder)
  wanted = logits_here(adapter, batch)
  np.testing.assert_allclose(
      logits_there(model, batch), wanted, atol=1e-5, rtol=1e-5)
  model.save_pretrained(str(tmp_path / 'theirs'))
  again = peft_lib.read(str(tmp_path / 'theirs'), SHAPE)
  # Of several labels the file says as little as of one.
  assert again.head_input == (
      'multiple_choice_pooler' if form == 'multiple_choice' else 'pooler')
  np.testing.assert_allclose(
      logits_here(again, batch), wanted, atol=1e-5, rtol=1e-5)


def test_a_fresh_head_of_choices_of_peft(tmp_path):
  batch = batch_of('multiple_choice', method_cases.batch('lora'))
  model = peft.get_peft_model(
      fixtures.make_bert(transformers.BertForMultipleChoice),
      peft.LoraConfig(target_modules=['query'], init_lora_weights=False,
                      modules_to_save=['classifier']))
  model.save_pretrained(str(tmp_path))
  adapter = peft_lib.read(str(tmp_path), SHAPE)
  np.testing.assert_allclose(
      logits_here(adapter, batch), logits_there(model, batch), atol=1e-5,
      rtol=1e-5)


def test_choices_of_a_family_whose_classifier_has_a_layer_of_its_own(tmp_path):
  case = 'roberta'
  shape = tiny_families.config(case)
  adapter = family_cases.make(case, 'lora[r=2]')
  tuned = {**adapter.tuned, 'head': jax.tree.map(
      lambda leaf: leaf[..., :1], adapter.tuned['head'])}
  adapter = dataclasses.replace(
      adapter, tuned=tuned, head_input='multiple_choice_pooler')
  base = pretrained.from_hugging_face(tiny_families.tensors(case), shape.family)
  batch = batch_of('multiple_choice', family_cases.batch(case))
  peft_lib.write(str(tmp_path), adapter, shape)
  model = peft.PeftModel.from_pretrained(
      families.make_model(case, 'ForMultipleChoice'), str(tmp_path))
  wanted = logits_here(adapter, batch, shape, base)
  np.testing.assert_allclose(
      logits_there(model, batch, segments=False), wanted, atol=1e-5, rtol=1e-5)
  again = peft_lib.read(str(tmp_path), shape)
  assert again.head_input == 'multiple_choice_pooler'
  np.testing.assert_allclose(
      logits_here(again, batch, shape, base), wanted, atol=1e-6)
