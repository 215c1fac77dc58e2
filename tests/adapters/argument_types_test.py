"""Arguments of another order or type: one line that names the argument."""

import dataclasses
import pathlib

import numpy as np
import pytest

import adapters_jax as aj
from adapters_jax import trees
from adapters_jax.adapters import bank as bank_lib
from tests.adapters import bank_test
from tests.adapters import merging_test


@pytest.fixture(scope='module')
def adapter():
  return merging_test.adapter('lora[r=2]')


@pytest.mark.parametrize('call, message', [
    (lambda base, one: aj.drop_layers(one, base, 1),
     '`base`: .*drop_layers.base, adapter, layers., not Adapter'),
    (lambda base, one: aj.drop_layers(base, 'a', 1), '`adapter`: .*not str'),
    (lambda base, one: aj.drop_layers(base, {'a': one}, 1),
     '`adapter`: give an Adapter, not dict'),
    *((lambda base, one, layers=layers: aj.drop_layers(base, one, layers),
       '`layers=.*give an integer, 0 to 1')
      for layers in ('1', [0], 1.5, True, None, -1, 3)),
    (lambda base, one: aj.fold(base.config, one),
     '`base`: .*fold.base, adapter., not BertConfig'),
    (lambda base, one: aj.fold(base, 'a'), '`adapter`: .*fold.*, not str'),
    (lambda base, one: aj.fusion_attention(one, base, ['a']),
     '`base`: .*fusion_attention.*, not Adapter'),
    (lambda base, one: aj.fusion_attention(base, {'a': one}, ['a']),
     '`adapter`: give an Adapter, not dict'),
    *((lambda base, one, size=size: aj.fusion_attention(
        base, one, ['a'], batch_size=size), '`batch_size=.*an integer of 1')
      for size in (0, '8', 1.5, True)),
    (lambda base, one: aj.compose([one], 'a'), '`bank`: .*not list'),
    (lambda base, one: aj.compose({'a': 'folder'}, 'a'),
     r"`bank\['a'\]`: .*not str"),
    (lambda base, one: aj.member('folder', 'a'), '`adapter`: .*not str'),
    (lambda base, one: aj.export('folder', 'out'), '`adapter`: .*not str'),
    (lambda base, one: aj.export(one, 'out', base='minilm-l6'),
     '`base`: give a Base, not str; load_base'),
    *((lambda base, one, name=name: aj.export(
        one, 'out', 'adapterhub', base=base, name=name), '`name=.*give a text')
      for name in (3, None, '')),
    *((lambda base, one, name=name: aj.push(one, name),
       "`name=.*give 'owner/name'") for name in (3, None, 'film')),
    (lambda base, one: aj.load_adapter('out', 'minilm-l6'),
     '`base`: give a Base, not str; load_base'),
    (lambda base, one: aj.load_adapter(3), '`path`: .*not int')])
def test_faults(base, adapter, call, message):
  with pytest.raises(aj.UserError, match=message) as found:
    call(base, adapter)
  assert '\n' not in str(found.value)


@pytest.mark.parametrize('call, message', [
    (lambda base, one: bank_lib.summary({'a': one}, 'minilm-l6'),
     '`base`: give a Base or its params, not str'),
    (lambda base, one: bank_lib.activate({'a': one}, 'a', base.config),
     '`base`: give a Base or its params, not BertConfig')])
def test_faults_of_functions_on_trees(base, adapter, call, message):
  with pytest.raises(aj.UserError, match=f'^{message}'):
    call(base, adapter)


def test_a_base_stands_for_its_tree(base):
  adapter = dataclasses.replace(
      bank_test.make('lora[r=2]'), base=base.identity)
  bank = {'a': adapter}
  assert bank_lib.summary(bank, base) == bank_lib.summary(bank, base.params)
  model, params = bank_lib.activate(bank, 'a', base.config, base.params)
  for shape, tree in ((base, None), (base, base.params), (base.config, base)):
    own, leaves = bank_lib.activate(bank, 'a', shape, tree)
    assert own == model and trees.equal(leaves, params)


def test_integers_of_numpy_and_paths(base, adapter, tmp_path):
  dropped = aj.drop_layers(base, adapter, np.int64(1))
  assert dropped == aj.drop_layers(base, adapter, 1)
  adapter.save(str(tmp_path / 'a'))
  loaded = aj.load_adapter(pathlib.Path(tmp_path / 'a'))
  assert loaded.method == 'lora[r=2]'
