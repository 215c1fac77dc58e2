"""Inputs that an encoder refuses, at the start of a user's own loop."""

import dataclasses

import jax
import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.methods import prefix as prefix_lib
from adapters_jax.methods import prompt as prompt_lib
from adapters_jax.model import encoder
from adapters_jax.model import heads
from tests import tiny
from tests import tiny_families


def trace(config, length):
  """Returns the shape of the last hidden states of a text."""
  model = encoder.Bert(config)
  tokens = jax.ShapeDtypeStruct((1, length), np.int32)
  mask = jax.ShapeDtypeStruct((1, length), bool)
  found, _ = jax.eval_shape(
      lambda *inputs: model.init_with_output(jax.random.key(0), *inputs),
      tokens, tokens, mask)
  return found[-1].shape


# Positions for 38, 44 (a table of 46 with those of padding), 38 and 38 tokens.
@pytest.mark.parametrize('case', ['bert', 'roberta', 'modernbert', 'deberta'])
def test_a_batch_may_be_as_long_as_the_longest_text_rounded_up(case):
  config = tiny_families.config(case)
  assert trace(config, 48) == (1, 48, 12)
  with pytest.raises(
      errors.UserError, match=f'^`tokens`: 49 positions, and the base has '
      f'{config.longest}; cut texts with max_length={config.longest}'):
    trace(config, 49)


@pytest.mark.parametrize('make', [
    lambda length: prefix_lib.PrefixTuning(
        prefix_length=length, shift_positions=True),
    lambda length: prompt_lib.PromptTuning(
        prompt_length=length, combine='words')])
def test_prompts_take_positions(make):
  config = tiny_families.config('bert')
  adapted = dataclasses.replace(config, adapters=(make(8),))
  assert trace(adapted, 32)[1] in (32, 40)
  with pytest.raises(errors.UserError, match='33 positions.* has 30; cut'):
    trace(adapted, 33)
  with pytest.raises(errors.UserError, match='take all positions'):
    trace(dataclasses.replace(config, adapters=(make(38),)), 2)


def test_missing_inputs_and_other_ranks_are_named():
  batch = tiny.random_batch()
  names = 'tokens', 'segments', 'mask'
  inputs = [batch[name] for name in names]
  for model in (
      heads.Classifier(tiny.TWO_LAYERS, 2), encoder.Bert(tiny.TWO_LAYERS)):
    for number, name in enumerate(names):
      given = [*inputs]
      given[number] = None
      with pytest.raises(
          errors.UserError, match=f'^`{name}`: is missing; give all inputs'):
        model.apply({'params': {}}, *given)
    with pytest.raises(
        errors.UserError, match=r'^`tokens`: its shape is \(5,\); give'):
      model.apply({'params': {}}, *(one[0] for one in inputs))


def test_a_length_that_is_a_symbol_is_traced():
  rows, length = jax.export.symbolic_shape('b, l')
  model = heads.Classifier(tiny.TWO_LAYERS, 2)
  params = tiny.init(model)
  tokens = jax.ShapeDtypeStruct((rows, length), np.int32)
  mask = jax.ShapeDtypeStruct((rows, length), bool)
  exported = jax.export.export(jax.jit(
      lambda *inputs: model.apply({'params': params}, *inputs)))(
          tokens, tokens, mask)
  batch = tiny.random_batch()
  inputs = batch['tokens'], batch['segments'], batch['mask']
  np.testing.assert_allclose(
      exported.call(*inputs), model.apply({'params': params}, *inputs),
      atol=2e-6)
