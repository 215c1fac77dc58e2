"""The codec of every method: written for another library, read, compared."""

import dataclasses

import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import exchange
from adapters_jax.methods import codec
from adapters_jax.methods import strings
from adapters_jax.methods import vera
from adapters_jax.model import encoder
from tests import tiny
from tests.adapters import bank_test
from tests.methods import methods_test

# Configs of PEFT alone.
WITHIN = {
    'dora of peft': 'lora[r=2, dora=peft]',
    'prompt words': 'prompt_tuning[prompt_length=4, combine=words]',
    'prefix shifted': 'prefix_tuning_flat[prefix_length=4, '
                      'bottleneck_size=2, shift_positions=true]'}
# Configs that a library lacks, of methods that it has.
REFUSED = {
    'adapterhub': {'depth', 'inner batch norm', 'inner layer norm',
                   'multiplicative', 'ia3_inputs', 'invertible', *WITHIN},
    'peft': {'dora', 'prompt_tuning', 'prefix_tuning', 'prefix_tuning_flat'}}
TEXTS = methods_test.ALL | WITHIN


make = bank_test.make_two_layers


@pytest.fixture(scope='module')
def checkpoint(two_layers) -> str:
  """Two layers, as names of tensors count layers."""
  return two_layers


def has_codec(method, form):
  """Returns whether a method has filled in its names in a library."""
  if form == 'adapterhub':
    return method.adapterhub_architecture != '' or (
        type(method).to_adapterhub is not codec.Codec.to_adapterhub)
  return type(method).to_peft is not codec.Codec.to_peft


def hidden_states(adapter):
  batch = tiny.random_batch()
  shape = dataclasses.replace(tiny.TWO_LAYERS, adapters=adapter.methods)
  return encoder.Bert(shape).apply(
      {'params': trees.overlay(bank_test.base(layers=2), adapter.tuned)},
      batch['tokens'], batch['segments'], batch['mask'])[-1]


@pytest.mark.parametrize('form', ['adapterhub', 'peft'])
@pytest.mark.parametrize('name', [*methods_test.DISTINCT, *WITHIN])
def test_a_method_is_written_and_read_or_refused(
    name, form, checkpoint, tmp_path):
  adapter = make(TEXTS[name])
  tuned, _ = trees.split(adapter.tuned, lambda path: trees.role(path) in (
      'adapter', 'fixed', 'statistics'))
  adapter = dataclasses.replace(adapter, tuned=tuned)
  folder = str(tmp_path / 'out')
  if name in REFUSED[form] or not all(
      has_codec(method, form) for method in strings.parse(TEXTS[name])):
    with pytest.raises(errors.UserError):
      exchange.write(folder, adapter, form, checkpoint=checkpoint)
    return
  exchange.write(folder, adapter, form, checkpoint=checkpoint)
  found = exchange.read(folder, tiny.TWO_LAYERS)
  # Some leaves have another form of the same effect.
  if found.methods != adapter.methods or not trees.equal(found.tuned, tuned):
    np.testing.assert_allclose(
        hidden_states(found), hidden_states(adapter), atol=2e-5)


def test_a_dvora_is_refused_by_its_name():
  with pytest.raises(errors.UserError, match='DVoRA, which is not implemented'):
    vera.VeRA.from_adapterhub({'r': 4, 'vera_d': 0.1, 'use_dora': True}, '1.0')
