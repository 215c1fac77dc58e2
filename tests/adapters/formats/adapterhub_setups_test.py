"""Folders with a setup of AdapterHub: round trips, names and damage."""

import dataclasses
import json
import os

import jax
import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import composing
from adapters_jax.adapters import exchange
from adapters_jax.adapters.formats import adapterhub_setups
from adapters_jax.adapters.formats import places
from adapters_jax.model import composition
from tests import tiny
from tests.adapters import bank_test

SEQ = 'seq_bn[size=3, init=bert]'


make = bank_test.make_two_layers


def stack(folder):
  """Writes stack(a, b) to a folder; returns its members."""
  bank = {name: make(SEQ, seed) for seed, name in enumerate('ab')}
  exchange.write(folder, composing.compose(
      bank, 'stack(a, b, norms=last)'), 'adapterhub')
  return bank


def change(folder, **entries):
  """Replaces entries of the setup in a folder."""
  path = folder / adapterhub_setups.SETUP
  path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def single(name):
  return {'type': 'single', 'children': [name]}


def test_a_fusion_has_the_sites_of_its_members(tmp_path):
  bank = {'c': make('double_seq_bn[size=3]'),
          'a': make(SEQ, 1), 'd': make(SEQ, 2)}
  whole = composing.compose(
      bank, 'stack(c, fuse(a, d), norms=base)', head='d')
  rng = np.random.default_rng(0)
  shapes = places.leaf_shapes(whole.methods, tiny.TWO_LAYERS, whole.composition)
  whole = dataclasses.replace(whole, tuned=trees.overlay(
      whole.tuned, trees.unflatten({
          path: rng.standard_normal(leaf.shape, np.float32)
          for path, leaf in shapes.items() if trees.is_fusion(path)})))
  notes = exchange.write(tmp_path, whole, 'adapterhub')
  assert any('fails on stack(c, fuse(a, d)' in note for note in notes)
  back = exchange.read(tmp_path, tiny.TWO_LAYERS)
  assert back.setup == composing.checked_setup(bank, 'stack(c, fuse(a, d))')
  jax.tree.map(np.testing.assert_array_equal, back.tuned, whole.tuned)


@pytest.mark.parametrize(
    'name', ['/evil', '../evil', '..', 'a/b', 'a\\b', 'a,b', 'a.b', ' ', ''])
def test_names_that_lead_elsewhere(name, tmp_path):
  folder = tmp_path / 'x'
  stack(folder)
  change(folder, adapter_setup={
      'type': 'Stack', 'children': [single('a'), single(name)]})
  for call in (lambda: exchange.read(folder, tiny.TWO_LAYERS),
               lambda: adapterhub_setups.files(str(folder))):
    with pytest.raises(errors.UserError, match='setup.json.*without dots, sl'):
      call()
  if not name:
    return  # `compose` refuses it.
  evil = str(tmp_path) + name if name.startswith('/') else name
  bank = {evil: make(SEQ), 'b': make(SEQ, 1)}
  one = composing.compose(bank, composition.Stack(evil, 'b', norms='last'))
  for named, adapter in (('adapter', one), (name, bank['b'])):
    with pytest.raises(errors.UserError, match='without dots, slashes'):
      exchange.write(tmp_path / 'y', adapter, 'adapterhub', name=named)
  assert os.listdir(tmp_path) == ['x']


@pytest.mark.parametrize('setup, message', [
    ({'type': 'Stack', 'children': []}, 'children'),
    ({'type': 'single', 'children': ''}, 'children'),
    ({'type': 'single', 'children': [3]}, 'without dots'),
    ({'type': 'Fuse', 'children': [
        single('a'), {'type': 'Stack', 'children': [single('b')]}]},
     'fuse of names'),
    ({'type': 'Parallel', 'children': [single('a')]}, 'not Parallel'),
    ([], 'type')])
def test_damaged_setups(setup, message, tmp_path):
  stack(tmp_path)
  change(tmp_path, adapter_setup=setup)
  with pytest.raises(errors.UserError, match=message):
    exchange.read(tmp_path, tiny.TWO_LAYERS)


@pytest.mark.parametrize('head', ['c', True, ['a'], {'type': 'Stack'}])
def test_heads_of_no_member(head, tmp_path):
  bank = stack(tmp_path)
  change(tmp_path, head_setup=head)
  with pytest.raises(errors.UserError, match='head_setup.*head=False'):
    exchange.read(tmp_path, tiny.TWO_LAYERS)
  found = exchange.read(tmp_path, tiny.TWO_LAYERS, head=False)
  assert found.outputs is None
  change(tmp_path, head_setup='b')
  np.testing.assert_array_equal(
      exchange.read(tmp_path, tiny.TWO_LAYERS).tuned['head']['kernel'],
      bank['b'].tuned['head']['kernel'])


@pytest.mark.parametrize('text, message', [
    ('stack(lora, other)', 'LoRA'), ('stack(par, seq)', 'parallel'),
    ('stack(seq, inv)', 'first member'), ('fuse(seq, gated)', 'gates'),
    ('fuse(seq, after)', 'ln_after'), ('fuse(seq, early)', 'of the last'),
    ('fuse(stack(seq, twin), twin)', 'names'),
    ('average(seq, twin)', 'not average')])
def test_setups_that_differ_there(text, message, tmp_path):
  texts = {
      'lora': 'lora[r=2]', 'other': 'lora[r=3]', 'par': 'par_bn[size=2]',
      'seq': SEQ, 'twin': SEQ, 'inv': 'seq_bn_inv[size=3]',
      'gated': 'seq_bn[size=3, use_gating=True]',
      'after': 'seq_bn[size=3, ln_after=True]',
      'early': 'seq_bn[size=3, original_ln_before=False]'}
  bank = {name: make(texts[name]) for name in texts if name in text}
  whole = composing.compose(
      bank, f'{text[:-1]}, norms=base)', head=next(iter(bank)))
  with pytest.raises(errors.UserError, match=f'(?s){message}.*aj.member'):
    exchange.write(tmp_path, whole, 'adapterhub')
  assert not os.listdir(tmp_path)
