"""Tests of exports that no base accompanies."""

import dataclasses
import json

import pytest

from adapters_jax import errors
from adapters_jax.adapters import exchange
from adapters_jax.adapters.formats import adapterhub
from adapters_jax.adapters.formats import peft
from tests import tiny_families
from tests.adapters.formats import family_cases
from tests.adapters.formats import masked_lm_test


@pytest.mark.parametrize('case, head_input, entry, value', [
    ('deberta', 'cls_relu', 'pooler_hidden_act', 'relu'),
    ('modernbert', 'mean_norm', 'classifier_pooling', 'mean')])
def test_a_classifier_that_the_config_chooses(
    case, head_input, entry, value, tmp_path):
  adapter, target = family_cases.make(case, 'lora[r=2]', head_input), (
      tmp_path / 'x')
  with pytest.raises(
      errors.UserError, match='^`base`: the head depends on .*config.json'):
    exchange.write(target, adapter, 'peft')
  assert not target.exists()
  base = tiny_families.write_checkpoint(case, str(tmp_path / 'base'))
  path = tmp_path / 'base' / 'config.json'
  path.write_text(json.dumps({**json.loads(path.read_text()), entry: value}))
  exchange.write(target, adapter, 'peft', checkpoint=base)
  assert (target / peft.CONFIG).exists()


@pytest.mark.parametrize('case, head_input', [
    ('deberta', 'tags'), ('deberta', None), ('roberta', 'pooler')])
def test_heads_of_which_the_config_says_nothing(case, head_input, tmp_path):
  exchange.write(tmp_path, family_cases.make(
      case, 'lora[r=2]', head_input, norms=True), 'peft')
  assert (tmp_path / peft.CONFIG).exists()


@pytest.mark.parametrize('case, hidden, written', [
    ('bert', '', None), ('bert', 'gelu_tanh', 'gelu_new'),
    ('roberta', '', 'gelu')])
def test_the_activation_of_masked_language_modelling(
    case, hidden, written, tmp_path):
  adapter = dataclasses.replace(
      masked_lm_test.make(case, 'lora[r=2]'), hidden_activation=hidden)
  if written is None:
    with pytest.raises(errors.UserError, match='^`base`: the head depends'):
      exchange.write(tmp_path, adapter, 'adapterhub')
    return
  exchange.write(tmp_path, adapter, 'adapterhub')
  values = json.loads((tmp_path / adapterhub.HEAD_CONFIG).read_text())
  assert values['config']['activation_function'] == written
