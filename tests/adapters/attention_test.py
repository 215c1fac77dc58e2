"""Tests of adapters.attention."""

import dataclasses

import numpy as np

import adapters_jax as aj
from adapters_jax import trees
from adapters_jax.adapters.formats import places
from tests.adapters import bank_test

TEXTS = ['a good film', 'bad']


def _fused(base, **methods):
  """Returns a fusion of adapters, with random attention."""
  bank = {name: bank_test.make(method, seed)
          for seed, (name, method) in enumerate(methods.items())}
  whole = aj.compose(
      bank, f'fuse({", ".join(bank)}, norms=base)', head=next(iter(bank)))
  rng = np.random.default_rng(5)
  shapes = places.leaf_shapes(whole.methods, base.config, whole.composition)
  return dataclasses.replace(whole, tuned=trees.overlay(
      whole.tuned, trees.unflatten({
          path: rng.standard_normal(leaf.shape, np.float32)
          for path, leaf in shapes.items() if trees.is_fusion(path)})))


def test_a_member_without_a_layer(base):
  found = aj.fusion_attention(base, _fused(
      base, a='seq_bn[reduction_factor=4]',
      b='seq_bn[reduction_factor=4, leave_out=[0]]'), TEXTS)
  weights = found['ffn_output']
  assert [*found] == ['ffn_output'] and weights.shape == (2, 2, 2)
  np.testing.assert_allclose(weights[0], [[1, 0], [1, 0]], atol=1e-6)
  np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)
  assert (weights[1] > 0).all()


def test_a_member_without_a_site(base):
  found = aj.fusion_attention(base, _fused(
      base, a='seq_bn[reduction_factor=4]',
      c='double_seq_bn[reduction_factor=4]'), TEXTS)
  assert found['attention_output'].shape == (2, 2, 2)
  np.testing.assert_allclose(found['attention_output'][..., 0], 0)
  np.testing.assert_allclose(found['attention_output'][..., 1], 1, atol=1e-6)
  assert (found['ffn_output'] > 0).all()


def test_no_texts_and_texts_without_words(base, recwarn):
  fused = _fused(base, a='seq_bn[reduction_factor=4]',
                 b='seq_bn[reduction_factor=4]')
  empty = aj.fusion_attention(base, fused, [])
  assert {site: found.shape for site, found in empty.items()} == {
      'ffn_output': (2, 0, 2)}
  tagger = dataclasses.replace(fused, head_input='tags')
  found, = aj.fusion_attention(base, tagger, ['good', '', 'bad']).values()
  np.testing.assert_array_equal(found[:, 1], 0)
  np.testing.assert_allclose(found[:, [0, 2]].sum(-1), 1, atol=1e-6)
  found, = aj.fusion_attention(base, tagger, ['']).values()
  np.testing.assert_array_equal(found, np.zeros((2, 1, 2)))
  assert not recwarn.list
