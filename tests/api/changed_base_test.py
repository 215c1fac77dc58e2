"""A base with other params or another config than its checkpoint's files."""

import copy
import dataclasses
import pickle

import jax
import numpy as np
import pytest

import adapters_jax as aj
from tests.adapters import bank_test

EXAMPLES = aj.Examples(['good', 'bad'] * 8, ['yes', 'no'] * 8)


@pytest.fixture(scope='module')
def adapter(base):
  return dataclasses.replace(
      bank_test.make('lora[r=2]'), base=base.identity)


@pytest.fixture(scope='module')
def folded(base, adapter):
  return aj.fold(base, adapter)


def test_what_reads_files_refuses_folded_params(folded, tmp_path):
  fast, head = folded
  with pytest.raises(aj.UserError, match='`base`: its `params` .* train reads'):
    aj.train(fast, EXAMPLES, method='lora[r=2]')
  with pytest.raises(aj.UserError, match='`params` .* export reads'):
    aj.export(head, tmp_path / 'a', 'adapterhub', base=fast)
  with pytest.raises(aj.UserError, match='`params` .* push reads'):
    aj.push(head, 'owner/name', base=fast)


def test_a_folder_of_the_folded_base_is_the_way_out(
    base, folded, adapter, tmp_path):
  aj.export(adapter, tmp_path, 'sentence_transformers', base=base)
  written = aj.load_base(tmp_path)
  written.check_unchanged('train')
  np.testing.assert_allclose(
      aj.encode(written, ['good'], pooling='mean'),
      aj.encode(folded[0], ['good'], pooling='mean'), atol=1e-6)


def test_other_changes_of_a_base(base):
  config = dataclasses.replace(base.config, dropout=0.5)
  with pytest.raises(aj.UserError, match='its `config` .*`dropout`'):
    aj.train(dataclasses.replace(base, config=config), EXAMPLES)
  own = dataclasses.replace(base, loaded=None)
  with pytest.raises(aj.UserError, match='its `params`'):
    aj.train(own, EXAMPLES)
  changed = copy.deepcopy(base)
  changed.params['pooler']['bias'] += 1  # In place.
  with pytest.raises(aj.UserError, match='its `params`'):
    changed.check_unchanged('train')


@pytest.mark.parametrize('make', [
    copy.deepcopy, lambda base: pickle.loads(pickle.dumps(base)),
    lambda base: dataclasses.replace(
        base, params=jax.tree.map(np.asarray, base.params)),
    lambda base: dataclasses.replace(base, precision='bfloat16_products')])
def test_copies_of_a_base_are_the_base(base, make):
  make(base).check_unchanged('train')
