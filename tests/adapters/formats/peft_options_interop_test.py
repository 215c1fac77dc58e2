"""Options of the real `peft` and of transformers that change an adapter."""

import jax
import pytest

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters.formats import adapterhub
from adapters_jax.adapters.formats import peft as peft_lib
from adapters_jax.model import families
from adapters_jax.model import heads
from adapters_jax.model import pretrained
from tests import tiny_families
from tests.adapters.formats import families_interop_test as interop
from tests.adapters.formats import family_cases
from tests.fixtures import make_method_fixtures as fixtures

adapters = pytest.importorskip('adapters')
peft = pytest.importorskip('peft')

pytestmark = pytest.mark.interop


def saved(folder, case, config, **extra):
  """Saves a random adapter of PEFT; returns its outputs."""
  model = peft.get_peft_model(interop.make_model(
      case, 'ForSequenceClassification', num_labels=3, **extra), config)
  fixtures.randomize_named(
      model, lambda name: model.get_parameter(name).requires_grad, 4)
  model.save_pretrained(str(folder))
  return interop.run(model, case).logits.numpy()


def outputs(case, adapter, shape):
  base = pretrained.from_hugging_face(tiny_families.tensors(case), shape.family)
  batch = family_cases.batch(case)
  return jax.device_get(heads.make(
      shape, adapter.methods, adapter.outputs, adapter.head_input).apply(
          {'params': trees.overlay(base, adapter.tuned)}, batch['tokens'],
          batch['segments'], batch['mask']))


def test_a_site_scaled_at_its_input_in_one_layer_alone(tmp_path):
  query = 'encoder.layer.{}.attention.self.query'
  wanted = saved(tmp_path, 'bert', peft.IA3Config(
      task_type='SEQ_CLS', feedforward_modules=[query.format(0)],
      target_modules=[query.format(0), query.format(1), 'value']))
  found = peft_lib.read(str(tmp_path), tiny_families.config('bert'))
  interop.assert_close(family_cases.outputs('bert', found), wanted)
  peft_lib.write(str(tmp_path / 'b'), found, tiny_families.config('bert'))
  again = peft_lib.read(str(tmp_path / 'b'), tiny_families.config('bert'))
  assert again.methods == found.methods
  interop.assert_close(family_cases.outputs('bert', again), wanted)


def test_repeated_layers(tmp_path):
  saved(tmp_path, 'bert', peft.LoraConfig(
      task_type='SEQ_CLS', r=2, target_modules=['query'],
      layer_replication=[[1, 2], [0, 1]]))
  with pytest.raises(errors.UserError, match='layer_replication'):
    peft_lib.read(str(tmp_path), tiny_families.config('bert'))


def test_all_linear_layers_of_electra(tmp_path):
  shape = tiny_families.config('electra-small')
  wanted = saved(tmp_path / 'a', 'electra-small', peft.LoraConfig(
      task_type='SEQ_CLS', r=2, target_modules='all-linear'))
  found = peft_lib.read(
      str(tmp_path / 'a'), shape, base=lambda: pretrained.from_hugging_face(
          tiny_families.tensors('electra-small'), shape.family))
  interop.assert_close(outputs('electra-small', found, shape), wanted)
  peft_lib.write(str(tmp_path / 'b'), found, shape)
  model = peft.PeftModel.from_pretrained(interop.make_model(
      'electra-small', 'ForSequenceClassification', num_labels=3),
      str(tmp_path / 'b'))
  interop.assert_close(
      interop.run(model, 'electra-small').logits.numpy(), wanted)


@pytest.mark.parametrize('activation', ['tanh', 'relu', 'gelu'])
def test_activations_of_deberta(activation, tmp_path):
  extra = {'pooler_hidden_act': activation}
  shape = families.parse_config(
      {**tiny_families.VALUES['deberta'], **extra}, 'c')
  wanted = saved(tmp_path / 'a', 'deberta', peft.LoraConfig(
      task_type='SEQ_CLS', r=2, target_modules=['query_proj'],
      modules_to_save=['classifier', 'pooler']), **extra)
  found = peft_lib.read(str(tmp_path / 'a'), shape)
  interop.assert_close(outputs('deberta', found, shape), wanted)
  peft_lib.write(str(tmp_path / 'b'), found, shape)
  model = peft.PeftModel.from_pretrained(interop.make_model(
      'deberta', 'ForSequenceClassification', num_labels=3, **extra),
      str(tmp_path / 'b'))
  interop.assert_close(interop.run(model, 'deberta').logits.numpy(), wanted)


def test_activations_of_deberta_in_adapterhub(tmp_path):
  extra = {'pooler_hidden_act': 'tanh'}
  shape = families.parse_config(
      {**tiny_families.VALUES['deberta'], **extra}, 'c')
  model = interop.make_model(
      'deberta', 'ForSequenceClassification', num_labels=3, **extra)
  adapters.init(model)
  model.add_adapter('n', config='lora[r=2]', set_active=True)
  fixtures.randomize_named(
      model, lambda name: '.n.' in name or 'classifier' in name
      or 'pooler' in name, 4)
  model.save_adapter(str(tmp_path), 'n')
  found = adapterhub.read(str(tmp_path), shape)[1]
  assert found.head_input == 'pooler'
  interop.assert_close(
      outputs('deberta', found, shape),
      interop.run(model, 'deberta').logits.numpy())
