"""Adapters and arguments that `merge` refuses, and those that it takes."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest

from adapters_jax.adapters import bank as bank_lib
from adapters_jax.adapters import composing
from adapters_jax.adapters import merge_checks
from adapters_jax.adapters import merge_rules
from adapters_jax.adapters import merging
from adapters_jax.api import face
from adapters_jax import errors
from adapters_jax import trees
from tests.adapters import merging_test
from tests.methods import methods_test as common


@pytest.fixture(scope='module')
def bank():
  return {name: merging_test.adapter('lora[r=2]', seed)
          for seed, name in enumerate('ab')}


def changed(bank, **values):
  """Returns the bank with another second adapter."""
  return {**bank, 'b': dataclasses.replace(bank['b'], **values)}


@pytest.mark.parametrize('rank', (0, 2))
def test_readers_of_other_inputs_do_not_merge(bank, rank):
  pairs = changed(bank, texts=('first', 'second'))
  for found in (pairs, dict(reversed(pairs.items()))):
    with pytest.raises(errors.UserError, match='differ in their number of tex'):
      face.merge(found, rank=rank)
  # Without a head, the number is that of a default.
  face.merge({name: dataclasses.replace(adapter, tuned=trees.split(
      adapter.tuned, lambda path: trees.role(path) != 'head')[0])
              for name, adapter in pairs.items()}, rank=rank)


@pytest.mark.parametrize('changes, message', [
    ({'hidden_activation': 'gelu_tanh'},
     r"activation \(the base's and gelu_tanh\); merge adapters that agree"),
    ({'base': 'other@0'}, r'base \(tiny@1 and other@0\)'),
    ({'family': 'roberta'}, r'family of encoders \(bert and roberta\)')])
def test_the_difference_is_named(bank, changes, message):
  bank = {**bank, 'a': dataclasses.replace(bank['a'], base='tiny@1')}
  with pytest.raises(errors.UserError, match=message):
    face.merge(changed(bank, **changes))


def test_stacks_name_the_difference_too(bank):
  for changes, message in (
      ({'hidden_activation': 'gelu'},
       r"'b' has another activation than 'a' \(gelu, the base's\)"),
      ({'head_input': 'pooler'}, r'another head than .* \(pooler, cls\)')):
    with pytest.raises(errors.UserError, match=message):
      bank_lib.stack(changed(bank, **changes), 'ab')
  # Setups of equal names may have members of other methods.
  setups = {}
  for name, text in (('a', 'lora[r=2]'), ('b', 'lora[r=3]')):
    member = merging_test.adapter(text)
    setups[name] = composing.compose(
        {'x': member, 'y': member}, 'stack(x, y, norms=last)')
  with pytest.raises(errors.UserError, match=r'of lora\[r=3\].*of lora\[r=2'):
    bank_lib.stack(setups, 'ab')


@pytest.mark.parametrize('rank', (0, 2))
def test_the_order_of_the_bank_decides_nothing(bank, rank):
  bank = {'a': dataclasses.replace(bank['a'], max_length=8),
          'b': dataclasses.replace(
              bank['b'], max_length=40, base='tiny@1', base_files={'f': '0'})}
  for names in itertools.permutations(bank):
    merged = face.merge({name: bank[name] for name in names}, rank=rank)
    assert (merged.max_length, merged.base, merged.base_files) == (
        40, 'tiny@1', {'f': '0'})


@pytest.mark.parametrize('how', ('dare', 'ties'))
def test_all_numbers_are_kept_with_an_integer(bank, how):
  found = {}
  for density in (1, 1.0, np.int64(1)):
    combine = merge_rules.combination(how, 2, None, density, 0)
    found[str(type(density))] = merging.merge(
        bank, 'ab', combine, common.base()).tuned
  first, *others = found.values()
  for other in others:
    jax.tree.map(np.testing.assert_array_equal, first, other)
  if how == 'dare':  # Nothing is dropped: the mean.
    mean = merging.merge(bank, 'ab', merge_rules.average(2), common.base())
    jax.tree.map(np.testing.assert_array_equal, first, mean.tuned)


@pytest.mark.parametrize('call, message', [
    (lambda bank: face.merge(list(bank.values())), '`bank`: .*not list'),
    (lambda bank: face.merge(bank['a']), '`bank`: .*not Adapter'),
    (lambda bank: face.merge({**bank, 'b': 'folder'}),
     r"`bank\['b'\]`: .*not str; load_adapter"),
    *((lambda bank, values=values: face.merge(bank, **values), message)
      for values, message in (
          ({'how': None}, '`how=None`'), ({'how': ['ties']}, '`how='),
          ({'rank': 2.5}, '`rank=2.5`: give an integer, 0 or more'),
          ({'rank': '2'}, "`rank='2'`"), ({'rank': True}, '`rank=True`'),
          ({'rank': -1}, '`rank=-1`'), ({'seed': 0.5}, '`seed=0.5`'),
          ({'seed': 2**32}, '`seed=.*0 to 4,294,967,295'),
          ({'density': 'x'}, "`density='x'`"),
          ({'density': None}, '`density=None`'),
          ({'base': 'minilm-l6'}, '`base`: give a Base, not str'),
          ({'weights': [np.inf, 1]}, '`weights`: .*finite.*inf'),
          ({'weights': [0.5, None]}, '`weights`: .*not None'),
          ({'weights': [2e38, -2e38]}, '`weights`: their sum is too large'),
          ({'weights': [0.5, '1']}, "`weights`: .*not '1'"),
          ({'weights': 0.5}, '`weights`: give a list, not float'),
          ({'weights': {'a': 1}}, "`weights`: there is none for 'b'"),
          ({'weights': {'a': 1, 'c': 1}}, "`weights`: unknown 'c'")))])
def test_arguments_of_other_types_are_named(bank, call, message):
  with pytest.raises(errors.UserError, match=message) as found:
    call(bank)
  assert '\n' not in str(found.value)


def test_weights_by_name_or_in_order(bank):
  for weights in ({'b': 2, 'a': -1}, [-1, 2], np.array([-1.0, 2.0]),
                  jax.numpy.array([-1.0, 2.0])):
    assert merge_checks.weights_of(bank, weights) == [-1.0, 2.0]
  assert merge_checks.weights_of(bank, None) is None


@pytest.mark.parametrize('text, rank, how', [
    ('lora[r=2]', 0, 'average'), ('lora[r=2]', 2, 'ties'), ('ia3', 0, 'dare'),
    pytest.param('lora[r=2]', 2, 'linear', marks=pytest.mark.slow)])
def test_jaxs_options_leave_the_numbers_alone(text, rank, how):
  bank = {name: merging_test.adapter(text, seed)
          for seed, name in enumerate('ab')}
  combine = merge_rules.combination(how, 2, None, 0.5, 0)

  def merged():
    if rank:
      return merging.merge_products(bank, 'ab', combine, common.base(), rank)
    return merging.merge(bank, 'ab', combine, common.base())

  wanted = merged().tuned
  with jax.numpy_dtype_promotion('strict'), jax.numpy_rank_promotion('raise'):
    jax.tree.map(np.testing.assert_array_equal, merged().tuned, wanted)
  with jax.enable_x64(True):
    found = trees.flatten(merged().tuned)
  assert {str(leaf.dtype) for leaf in found.values()} == {'float32'}
  if how != 'dare':  # Its draw has the width of JAX's default.
    for path, leaf in trees.flatten(wanted).items():
      np.testing.assert_allclose(found[path], leaf, atol=1e-5, err_msg=path)


def test_a_threshold_of_all_is_kept(bank, caplog):
  bank = {name: dataclasses.replace(one, threshold=0.25)
          for name, one in bank.items()}
  assert face.merge(bank).threshold == 0.25
  assert face.merge({'a': bank['a']}).threshold == 0.25
  assert not caplog.records


@pytest.mark.parametrize('value', [None, 0.5])
def test_thresholds_that_differ_are_dropped_and_logged(bank, value, caplog):
  bank = {'a': dataclasses.replace(bank['a'], threshold=0.25),
          'b': dataclasses.replace(bank['b'], threshold=value)}
  assert face.merge(bank).threshold is None
  assert f"'a': 0.25, 'b': {value}" in caplog.text


@pytest.mark.parametrize('threshold', [0.1, 0.3, 2 / 3, 1.0])
def test_thresholds_are_those_of_the_second_class(bank, threshold, caplog):
  one = dataclasses.replace(
      bank['a'], labels=('bad', 'good'), threshold=threshold)
  # The same classes and decisions in the other order.
  other = dataclasses.replace(
      one, labels=('good', 'bad'), threshold=1 - threshold,
      tuned={**one.tuned, 'head': jax.tree.map(
          lambda leaf: leaf[..., ::-1], one.tuned['head'])})
  merged = face.merge({'a': one, 'b': other})
  assert (merged.labels, merged.threshold) == (('bad', 'good'), threshold)
  back = face.merge({'b': other, 'a': one})
  assert (back.labels, back.threshold) == (('good', 'bad'), 1 - threshold)
  assert not caplog.records


def test_one_number_for_reversed_classes_is_no_agreement(bank, caplog):
  bank = {'a': dataclasses.replace(
      bank['a'], labels=('bad', 'good'), threshold=0.3),
          'b': dataclasses.replace(
              bank['b'], labels=('good', 'bad'), threshold=0.3)}
  assert face.merge(bank).threshold is None
  assert "for 'good' ('a': 0.3, 'b': 0.7)" in caplog.text
  # Of several labels, the threshold is that of each.
  several = {name: dataclasses.replace(one, head_input='multilabel')
             for name, one in bank.items()}
  assert face.merge(several).threshold == 0.3
  caplog.clear()
  several['b'] = dataclasses.replace(several['b'], threshold=0.4)
  assert face.merge(several).threshold is None
  assert "several thresholds ('a': 0.3, 'b': 0.4)" in caplog.text
