"""Fields that a caller gives to the constructors of methods."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax import methods
from adapters_jax.methods import base
from adapters_jax.methods import lora
from adapters_jax.methods import strings
from adapters_jax.methods import values
from adapters_jax.model import composition

CONFIGS = {type(config): config
           for configs in methods.CONFIGS.values() for config in configs}


def subclasses(kind):
  """Returns the classes of a package that derive from one, at any depth."""
  for one in kind.__subclasses__():
    if one.__module__.startswith('adapters_jax.'):
      yield one
      yield from subclasses(one)


def test_every_class_is_tested():
  assert {kind for kind in subclasses(base.Method)
          if 'make' not in kind.__abstractmethods__} == {*CONFIGS}


@pytest.mark.parametrize('kind', CONFIGS, ids=lambda kind: kind.__name__)
def test_lists_and_numbers_of_numpy_are_those_of_texts(kind):
  config = CONFIGS[kind]
  names = {field.name for field in dataclasses.fields(kind)}
  lists = {name: list(getattr(config, name))
           for name in names & {'sites', 'leave_out'}}
  numbers = {
      name: np.asarray(value)[()] for name in names
      if isinstance(value := getattr(config, name), (bool, int, float))}
  made = config.with_fields(**lists, **numbers)
  assert made == config and hash(made) == hash(config)
  assert repr(made) == repr(config)
  assert strings.parse(strings.render((made,))) == (config,)


@pytest.mark.parametrize('fields, message', [
    ({'r': 2.5}, '`r=2.5`: give int'), ({'r': True}, '`r=True`: give int'),
    ({'r': np.array([2])}, '`r=.*: give int'),
    ({'sites': 'query'}, "`sites='query'`: give a list of 'query', 'key', "
     "'value', 'attention_output', 'intermediate', 'gate', 'ffn_output'$"),
    ({'sites': [['query']]}, "`sites=.*: give a list of 'query', 'key'"),
    ({'sites': ['qeury']}, '`sites`: .*did you mean query'),
    ({'init': 3}, "`init=3`: give one of 'lora', 'bert'$"),
    ({'dora': True}, "`dora=True`: give one of '', 'adapters', 'peft'$"),
    ({'leave_out': ['0']}, '`leave_out=.*: give a list of int$'),
    ({'alpha': float('inf')}, '`alpha=inf`: give a finite number'),
    ({'dropout': np.float32('nan')}, '`dropout=.*: give a finite number')])
def test_values_of_other_types(fields, message):
  with pytest.raises(errors.UserError, match=f'^{message}') as found:
    lora.LoRA(**fields)
  assert '\n' not in str(found.value)


@pytest.mark.parametrize('text, message', [
    ('lora[sites=all-linear]', "sites='all-linear': give a list of 'query', "),
    ('seq_bn[sites=all]', "give a list of 'attention_output', 'ffn_output'$"),
    ('seq_bn[scaling=[1]]', "give float or one of 'learned', 'channel'$"),
    ('seq_bn[residual_before_ln=3]', "give bool or 'post_add'$"),
    ('seq_bn[layers=3]', 'give a list of int or None$'),
    ('seq_bn[activation=3]', "give one of 'gelu', "),
    ('compacter[phm_c_init=3]', "give one of 'normal', 'uniform'$"),
    ('invertible[activation=3]', "give one of 'gelu', "),
    ('loreft[activation=3]', "give one of 'gelu', "),
    ('prefix_tuning[activation=3]', "give one of 'gelu', "),
    ('prompt_tuning[combine=3]', "give one of 'prefix', 'prefix_after_bos', "),
    ('prompt_tuning[prompt_init_text=3]', 'give str or None$')])
def test_texts_of_other_types_name_the_choices(text, message):
  with pytest.raises(errors.UserError, match=message):
    strings.parse(text)


@pytest.mark.parametrize('kind', CONFIGS, ids=lambda kind: kind.__name__)
def test_fields_of_texts_have_choices(kind):
  # An entry of `reduction_factor` is (layer, factor).
  free = {'prompt_init_text', 'reduction_factor'}
  texts = {field.name for field in dataclasses.fields(kind)
           if 'str' in str(field.type)}
  assert texts - free == {*kind.choices}


def test_scalars_are_numbers_of_python():
  for value, wanted in (
      (np.float64(0.5), 0.5), (np.array(3), 3), (jnp.int32(3), 3),
      (jnp.bfloat16(0.5), 0.5), (jnp.bool_(True), True), ('a', 'a')):
    found = values.scalar(value)
    assert found == wanted and type(found) is type(wanted)
  for value in (np.arange(2), jnp.arange(1), jax.random.key(0)):
    assert values.scalar(value) is value

  def traced(value):
    assert values.scalar(value) is value
    return value

  jax.eval_shape(traced, jnp.int32(3))


def test_fields_of_a_setup():
  setup = composition.Average('a', 'b', weights=jnp.array([2., 1.]))
  assert setup == composition.Average('a', 'b', weights=[np.float64(2), 1])
  assert str(setup) == 'average(a, b, weights=[2.0, 1.0])'
  with pytest.raises(errors.UserError, match='weights=.*a finite number'):
    composition.Average('a', 'b', weights=[float('inf'), 1])
