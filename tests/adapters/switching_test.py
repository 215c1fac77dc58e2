"""Tests of adapters whose layers are switched off as data."""

import dataclasses

import jax
import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import composing
from adapters_jax.adapters import dropping
from adapters_jax.adapters import mixed
from adapters_jax.adapters import prediction
from adapters_jax.adapters import switching
from tests import outputs
from tests.adapters import bank_test

TEXTS = ['a good film', 'very dull plot']
# `methods_test` has all methods, with their defaults.
METHODS = ['adapter_plus[reduction_factor=4]', 'ia3[alpha=2]', 'loreft',
           'houlsby[size=3]|lora[r=2]', pytest.param(
               'bottleneck[size=3,ln_after=True]', marks=pytest.mark.slow)]


make = bank_test.make_two_layers


@pytest.fixture(scope='module')
def base(two_layers_base):
  """Two layers, as each is switched on its own."""
  return two_layers_base


@pytest.mark.parametrize('method', METHODS)
def test_neutral_leaves_leave_the_base(method, base):
  adapter = make(method)
  off = switching.neutral(adapter.tuned, adapter.methods, base.params)
  assert jax.tree.map(np.shape, off) == jax.tree.map(np.shape, adapter.tuned)
  # Norms of the embeddings are in no layer; `drop_layers` restores them.
  off['embeddings'] = jax.tree.map(np.asarray, {
      'norm': base.params['embeddings']['norm']})
  found = outputs.logits(
      base, dataclasses.replace(adapter, tuned=off), TEXTS)
  bare = dropping.drop_layers(base, adapter, base.config.layers)
  np.testing.assert_allclose(
      found, outputs.logits(base, bare, TEXTS), atol=2e-5)
  assert abs(found - outputs.logits(base, adapter, TEXTS)).max() > 1e-2


@pytest.mark.parametrize('method', (
    'prefix_tuning[prefix_length=2]', 'dora[r=2]', 'ia3[use_gating=True]',
    'seq_bn[reduction_factor=4,original_ln_after=False]',
    'seq_bn[reduction_factor=4,original_ln_after=False,'
    'residual_before_ln=post_add]', 'loreft[activation=relu]',
    'compacter[reduction_factor=3,phm_dim=2,shared_W_phm=True]'))
def test_methods_without_such_leaves_are_named(method):
  adapter = make(method)
  with pytest.raises(errors.UserError, match='cannot be switched off'):
    switching.neutral(adapter.tuned, adapter.methods)
  assert type(adapter.methods[0]).__name__ in switching.reason(adapter)


def test_layers_are_switched_without_another_program(base):
  lora, small = make('lora[r=2]'), make('lora[r=1]', 1)
  fixed = make('prefix_tuning[prefix_length=2]', 2)
  switches = switching.place(
      base, {'lora': lora, 'small': small, 'fixed': fixed})
  assert list(switches.fixed) == ['fixed']
  names = ['small', 'lora', 'fixed']

  def ask(*layers, restore_norms=False):
    placed = switches.without(layers, restore_norms)
    return np.array(prediction.values(
        base, placed.bank, names, TEXTS[:1] * 3, 8, placed)[0])

  whole, count = ask(), mixed.make_step(switches.on.layouts)._cache_size()
  lower = ask(0)
  found = [lower[:2], ask(1)[:2], ask(0, 1)[:2],
           ask(0, restore_norms=True)[:2]]
  assert mixed.make_step(switches.on.layouts)._cache_size() == count == 1
  np.testing.assert_array_equal(lower[2], whole[2])
  for one in found:
    assert abs(one - whole[:2]).max() > 1e-3
  # The same removal in the tree of one adapter.
  off = switching.neutral(small.tuned, small.methods, base.params)
  removed = dataclasses.replace(
      small, tuned=switching.chosen(small.tuned, off, {0}))
  np.testing.assert_allclose(
      lower[0], outputs.logits(base, removed, TEXTS[:1])[0], atol=1e-5)


def test_fine_tuned_layers_become_those_of_the_base(base):
  paths = [path for path in trees.flatten(base.params)
           if trees.layer_of(path) == 1 and path.endswith('kernel')]
  flat = trees.flatten(base.params)
  tuned = trees.overlay(make().tuned, trees.unflatten(
      {path: np.asarray(flat[path]) + 1 for path in paths}))
  off = trees.flatten(switching.neutral(
      tuned, make().methods, base.params))
  for path in paths:
    np.testing.assert_array_equal(off[path], flat[path])


@pytest.mark.parametrize('one, two', (
    ('lora[r=2]', 'bottleneck[size=3]'),
    ('houlsby[size=3]', 'adapter_plus[reduction_factor=4]')))
def test_composed_adapters(one, two, base):
  bank = {'a': make(one), 'b': make(two, 1)}
  both = composing.compose(bank, 'stack(a, b, norms=base)')
  off = switching.neutral(both.tuned, both.methods, base.params)
  bare = dropping.drop_layers(base, both, base.config.layers)
  np.testing.assert_allclose(
      outputs.logits(base, dataclasses.replace(both, tuned=off), TEXTS),
      outputs.logits(base, bare, TEXTS), atol=2e-5)
