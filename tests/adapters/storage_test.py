"""What `save` writes, `load` reads; a failing `save` leaves the old adapter."""

import dataclasses

from flax import core
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import adapters_jax as aj
from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.methods import bottleneck
from adapters_jax.methods import lora
from tests.adapters import bank_test


@pytest.fixture(scope='module')
def adapter():
  return dataclasses.replace(
      bank_test.make('lora[r=2]'), scores={'dev': {'accuracy': 0.5}})


def cast(adapter, dtype):
  return dataclasses.replace(
      adapter, tuned=jax.tree.map(lambda leaf: dtype(leaf), adapter.tuned))


def with_bias(adapter, value):
  head = {**adapter.tuned['head'], 'bias': value}
  return dataclasses.replace(adapter, tuned={**adapter.tuned, 'head': head})


@pytest.mark.parametrize('break_it', [
    lambda other: other.scores.update(dev=object()),
    lambda other: other.settings.update(seed={1, 2}),
    lambda other: other.settings.update(max_length='long'),
    lambda other: other.settings.update(adapter_config=None),
    lambda other: other.tuned.update(head={'bias': np.full(2, np.nan)}),
    lambda other: other.tuned['head'].update(bias=np.full(2, 1e300)),
    lambda other: other.tuned['head'].pop('bias')])
def test_a_failing_save_leaves_the_adapter_before(adapter, break_it, tmp_path):
  adapter.save(tmp_path)
  other = bank_test.make('lora[r=2]', seed=1)
  break_it(other)
  with pytest.raises(errors.UserError) as found:
    other.save(tmp_path)
  assert '\n' not in str(found.value)
  assert adapter_lib.load(str(tmp_path)) == adapter


@pytest.mark.parametrize('number', [
    np.float32(0.5), np.float64(0.5), jnp.array(0.5), np.array(0.5)])
def test_numbers_of_arrays_are_pythons(adapter, number, tmp_path):
  found = dataclasses.replace(
      adapter, scores={'dev': {'loss': number}},
      settings={'learning_rate': number, 'rates': (number,)})
  assert type(found.scores['dev']['loss']) is float
  found.save(tmp_path)
  back = adapter_lib.load(str(tmp_path))
  assert back == found
  assert back.settings == {'learning_rate': 0.5, 'rates': [0.5]}


@pytest.mark.parametrize('dtype', [jnp.bfloat16, np.float16, np.float64])
def test_floats_are_saved_in_float32(adapter, dtype, tmp_path):
  found = cast(adapter, lambda leaf: np.asarray(leaf).astype(dtype))
  found.save(tmp_path)
  back = adapter_lib.load(str(tmp_path))
  for path, leaf in trees.flatten(back.tuned).items():
    wanted = np.asarray(trees.flatten(found.tuned)[path], np.float32)
    assert leaf.dtype == np.float32
    np.testing.assert_array_equal(leaf, wanted)


@pytest.mark.parametrize('method', [
    lora.LoRA(r=np.int64(2), alpha=np.float64(4)),
    lora.LoRA(r=2, alpha=np.float32(4)), lora.LoRA(r=2, alpha=jnp.array(4.)),
    lora.LoRA(r=2, sites=['query', 'value'], leave_out=np.array([1])),
    bottleneck.Bottleneck(size=np.int32(3), reduction_factor={'default': 4})])
def test_methods_of_other_numbers_and_lists(adapter, method, tmp_path):
  found = dataclasses.replace(adapter, methods=[method])
  found.save(tmp_path)
  back = adapter_lib.load(str(tmp_path))
  assert back == found and hash(back) == hash(found)


@pytest.mark.parametrize('field, value, message', [
    ('task', None, "task=None`: give a text, ''"),
    ('base', None, 'base=None`: give a text'),
    ('scores', [1], 'scores`: give a dict'),
    ('settings', None, 'settings`: give a dict, not None'),
    ('base_files', {'a': b'1'}, "a`: b'1' cannot be saved")])
def test_fields_that_load_would_refuse(adapter, field, value, message):
  with pytest.raises(errors.UserError, match=f'^`{message}'):
    dataclasses.replace(adapter, **{field: value})


def test_adapters_of_no_run_are_equal_to_their_files(adapter, tmp_path):
  bank = {'a': adapter, 'b': with_bias(adapter, np.ones(2, np.float32))}
  composed = aj.compose(bank, 'stack(a, b)')
  for number, made in enumerate((
      aj.merge(bank), composed, aj.member(composed, 'a'),
      dataclasses.replace(adapter, base='tiny@0123456789abcdef'))):
    made.save(tmp_path / str(number))
    back = adapter_lib.load(str(tmp_path / str(number)))
    assert back == made and back.settings == {}


def test_scores_that_are_nan_are_equal(adapter, tmp_path):
  scores = [{'dev': {'loss': value}} for value in (np.float32('nan'), np.nan)]
  one, other = (dataclasses.replace(adapter, scores=one) for one in scores)
  one.save(tmp_path)
  assert adapter_lib.load(str(tmp_path)) == one == other != adapter


def test_a_frozen_dict_is_a_tree(adapter, tmp_path):
  frozen = dataclasses.replace(adapter, tuned=core.freeze(adapter.tuned))
  assert frozen == adapter and type(frozen.tuned['head']) is dict
  bank = {'a': frozen, 'b': adapter}
  assert trees.equal(aj.merge(bank).tuned, aj.merge({'a': adapter}).tuned)
  frozen.save(tmp_path)
  assert adapter_lib.load(str(tmp_path)) == adapter
