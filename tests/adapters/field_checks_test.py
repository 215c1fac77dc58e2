"""Tests of an adapter's fields, equality and hash."""

import dataclasses
import json

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import adapters_jax as aj
from adapters_jax import errors
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import batcher
from adapters_jax.adapters import compiled
from adapters_jax.adapters import readings
from tests.adapters import bank_test


@pytest.mark.parametrize('field, value, message', [
    ('threshold', 2., 'threshold=2.0`: give a number from 0 to 1'),
    ('threshold', float('nan'), 'threshold=nan'),
    ('threshold', '0.5', "threshold='0.5'"),
    ('threshold', True, 'threshold=True'),
    ('labels', ('a', 'a'), "labels`: 'a' is there twice"),
    ('labels', 'ab', "labels`: give a tuple of strings, not 'ab'"),
    ('labels', (1, 2), 'labels`: give a tuple of strings'),
    ('texts', 'text', "texts`: give a tuple of strings, not 'text'"),
    ('head_input', 'nope', "head_input`: unknown 'nope'"),
    ('head_input', None, "head_input`: unknown 'None'"),
    ('hidden_activation', 'geluu', "hidden_activation`: unknown 'geluu'"),
    ('family', 'brt', "family`: unknown 'brt'.*bert"),
    ('max_length', '8', "max_length='8'`: give a whole number"),
    ('max_length', 0, 'max_length=0'), ('max_length', 8., 'max_length=8.0'),
    ('max_length', True, 'max_length=True'),
    ('methods', 'lora[r=2]', 'methods`: give a tuple of configs'),
    ('methods', [None], 'methods`: give a tuple of configs'),
    ('tuned', None, 'tuned`: give a dict of arrays, not NoneType'),
    ('tuned', {0: np.ones(2)}, 'tuned`: 0: the key 0 is no string'),
    ('tuned', {'encoder': {'layer_0': {1: np.ones(2), 'a': np.ones(2)}}},
     'tuned`: encoder/layer_0/1: the key 1 is no string'),
    ('tuned', {'encoder': {'norm': {'scale': [1., 2.]}}},
     'tuned`: encoder/norm/scale is no array but of type list'),
    ('tuned', {'encoder': {'norm': {'scale': 0.5}}}, 'tuned`: .*type float'),
    ('tuned', {'head': [1, 2]}, 'tuned`: head is no array but of type list'),
    ('tuned', {'head': {'bias': None}}, 'tuned`: head/bias .*type NoneType'),
    ('tuned', {'head': np.ones(2)}, 'tuned` has no head/bias'),
    ('tuned', {'head': {'kernel': np.ones((2, 2))}},
     'tuned` has no head/bias'),
    ('tuned', {'head': {'bias': {'a': np.ones(2)}}}, 'tuned` has no head/bias'),
    ('setup', 'stack(a, b)', 'setup`: give a block or None')])
def test_wrong_fields_are_named(field, value, message):
  adapter = bank_test.make('lora[r=2]')
  with pytest.raises(errors.UserError, match=f'^`{message}'):
    dataclasses.replace(adapter, **{field: value})


def test_fields_of_numpy_and_lists_are_saved(tmp_path):
  adapter = dataclasses.replace(
      bank_test.make('lora[r=2]'), threshold=np.float32(0.25),
      max_length=np.int64(9), labels=['no', 'yes'], texts=['text'])
  adapter.save(tmp_path)
  back = adapter_lib.load(str(tmp_path))
  assert (back.threshold, back.max_length) == (0.25, 9)
  assert (back.labels, back.texts) == (('no', 'yes'), ('text',))


def test_a_tree_may_hold_tracers_and_shapes():
  adapter = bank_test.make('lora[r=2]')

  def outputs_of(tuned):
    return dataclasses.replace(adapter, tuned=tuned).outputs

  assert jax.jit(outputs_of)(adapter.tuned) == 2
  assert outputs_of(jax.eval_shape(lambda: adapter.tuned)) == 2
  frozen = flax.core.freeze(adapter.tuned)
  assert dataclasses.replace(adapter, tuned=frozen) == adapter


@pytest.mark.parametrize('number', [np.float32, np.float64, jnp.float32])
def test_scalars_of_numpy_and_jax_are_numbers(number):
  adapter = dataclasses.replace(
      bank_test.make('lora[r=2]'), threshold=number(0.25),
      max_length=jnp.int32(9))
  assert (adapter.threshold, adapter.max_length) == (0.25, 9)
  assert {type(adapter.threshold), type(adapter.max_length)} == {float, int}
  for value in (jnp.float32(9), jnp.bool_(True), jnp.array([9])):
    with pytest.raises(errors.UserError, match='^`max_length='):
      dataclasses.replace(adapter, max_length=value)


def test_a_list_of_methods_is_a_tuple(checkpoint):
  adapter = bank_test.make('lora[r=2]')
  listed = dataclasses.replace(adapter, methods=[*adapter.methods])
  assert listed == adapter and hash(listed) == hash(adapter)
  base = aj.load_base(checkpoint)
  assert aj.predict(base, listed, ['good']) == aj.predict(
      base, adapter, ['good'])


def test_labels_that_do_not_fit_the_head(checkpoint, tmp_path):
  base = aj.load_base(checkpoint)
  adapter = bank_test.make('lora[r=2]')
  other = dataclasses.replace(adapter, labels=('a', 'b', 'c'))
  message = '`labels`: the head has 2 outputs, not 3'
  for call in (lambda: other.save(tmp_path / 'a'),
               lambda: compiled.check_adapter(base, other),
               lambda: aj.predict(base, other, ['good']),
               lambda: batcher.Batcher(base, {'film': other}),
               lambda: aj.export(other, tmp_path / 'b', 'peft', base=base),
               lambda: aj.push(other, 'me/film')):
    with pytest.raises(errors.UserError, match=message):
      call()
  assert not [*tmp_path.iterdir()]
  # Head and labels may be replaced one after the other.
  kernel, bias = np.zeros((12, 3), np.float32), np.zeros(3, np.float32)
  wide = dataclasses.replace(other, tuned={
      **other.tuned, 'head': {'kernel': kernel, 'bias': bias}})
  assert aj.predict(base, wide, ['good'])[0].label == 'a'
  dataclasses.replace(other, tuned={
      name: part for name, part in other.tuned.items() if name != 'head'}
                      ).save(tmp_path / 'c')


def test_a_damaged_folder_names_its_file(tmp_path):
  bank_test.make('lora[r=2]').save(tmp_path)
  path = tmp_path / 'config.json'
  values = json.loads(path.read_text())
  del values['sha256']
  for part, name, value in ((values, 'labels', ['a', 'a']),
                            (values['adapter'], 'head_input', 'nope')):
    before, part[name] = part[name], value
    path.write_text(json.dumps(values))
    with pytest.raises(errors.UserError, match=f'{path}: `{name}`'):
      adapter_lib.load(str(tmp_path))
    part[name] = before


def test_equal_numbers_are_equal(tmp_path):
  one, again, other = (
      bank_test.make('lora[r=2]', seed) for seed in (0, 0, 1))
  assert one == again and hash(one) == hash(again)
  assert one != other and other in [one, other]
  assert [one, other].index(other) == 1
  assert len({one, again, other}) == 2
  assert one != dataclasses.replace(one, task='x') and one != 'lora'
  assert one != bank_test.make('lora[r=1]')
  one.save(tmp_path)
  back = dataclasses.replace(adapter_lib.load(str(tmp_path)), settings={})
  assert back == one and back in {one}


def test_data_and_predictions_are_keys():
  for make in (lambda: aj.Examples(['a', 'b'], ['x', 'y']),
               lambda: aj.Pairs([('a', 'b'), ('c', 'd')], np.array([0.5, 1])),
               lambda: aj.TaggedExamples([['a']], [['O']])):
    one, other = make(), make()
    assert one == one and one != other  # By identity.
    assert other in [one, other] and len({one, other}) == 2
  one, again, other = (readings.Prediction(
      label, {'yes': 0.5, 'no': 0.5}) for label in ('yes', 'yes', 'no'))
  assert one == again and len({one, again, other}) == 2
