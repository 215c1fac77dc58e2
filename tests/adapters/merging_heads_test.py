"""Tests of heads in merges, and of the tanh layers before them."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.adapters import merge_rules
from adapters_jax.adapters import merging
from tests.adapters import merging_test
from tests.methods import methods_test as common


def with_head(seed, labels):
  """Returns an adapter with a head of three classes."""
  made = merging_test.adapter('lora[r=2]', seed)
  kernel = np.random.default_rng(seed).standard_normal((8, 3))
  return dataclasses.replace(made, labels=labels, tuned={
      **made.tuned, 'head': {
          'kernel': jnp.asarray(kernel), 'bias': jnp.arange(3.0) + seed}})


def test_heads_are_averaged_class_by_class():
  bank = {'a': with_head(0, ('x', 'y', 'z')),
          'b': with_head(1, ('z', 'x', 'y')),
          'c': with_head(2, ('x', 'y', 'w'))}
  # The head of a negated adapter stays: |weights| of 1/4 and 3/4.
  merged = merging.merge(
      bank, 'ab', merge_rules.linear([0.5, -1.5]), common.base())
  assert merged.labels == ('x', 'y', 'z')
  a, b = (bank[name].tuned['head'] for name in 'ab')
  order = [1, 2, 0]
  np.testing.assert_allclose(
      merged.tuned['head']['kernel'],
      0.25 * a['kernel'] + 0.75 * b['kernel'][:, order], rtol=1e-5)
  np.testing.assert_allclose(
      merged.tuned['head']['bias'], [0.25 * 0 + 0.75 * 2,
                                     0.25 * 1 + 0.75 * 3,
                                     0.25 * 2 + 0.75 * 1], rtol=1e-5)
  products = merging.merge_products(
      bank, 'ab', merge_rules.linear([0.5, -1.5]), common.base(), 4)
  np.testing.assert_array_equal(
      products.tuned['head']['kernel'], merged.tuned['head']['kernel'])
  with pytest.raises(errors.UserError, match='has the classes'):
    merging.merge(bank, 'ac', merge_rules.average(2), common.base())


@pytest.mark.parametrize('how', ['linear', 'ties', 'dare'])
def test_a_tanh_layer_is_of_the_head_where_the_base_has_none(how):
  bank = {name: with_head(seed, ('x', 'y', 'z'))
          for seed, name in enumerate('ab')}
  for value, made in zip((1.0, 5.0), bank.values(), strict=True):
    made.tuned['pooler'] = {
        'kernel': jnp.full((8, 8), value), 'bias': jnp.full(8, value)}
  bank = {name: dataclasses.replace(made, head_input='pooler')
          for name, made in bank.items()}
  combine = merge_rules.combination(how, 2, [0.5, -1.5], 1.0, 0)
  base = {**common.base()}
  base.pop('pooler', None)
  # Merged updates take any weights under every rule.
  merged = merging.merge_products(bank, 'ab', combine, base, 2)
  for leaf in merged.tuned['pooler'].values():
    np.testing.assert_allclose(leaf, 0.25 * 1 + 0.75 * 5, rtol=1e-6)
  # With a pooler in the base, the layer is a change of that one.
  base['pooler'] = {'kernel': jnp.ones((8, 8)), 'bias': jnp.ones(8)}
  if how == 'linear':
    merged = merging.merge_products(bank, 'ab', combine, base, 2)
    for leaf in merged.tuned['pooler'].values():
      np.testing.assert_allclose(leaf, 1 + 0.5 * 0 - 1.5 * 4, rtol=1e-6)
