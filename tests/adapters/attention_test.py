"""Tests of adapters.attention."""

import dataclasses

import numpy as np
import pytest

import adapters_jax as aj
from adapters_jax import trees
from adapters_jax.adapters import attention
from adapters_jax.adapters.formats import places
from tests.adapters import bank_test

TEXTS = ['a good film', 'bad']


make = bank_test.make_two_layers


@pytest.fixture(scope='module')
def base(two_layers_base):
  """Two layers, as fuses in each are read."""
  return two_layers_base


def _fused(base, setup='', **methods):
  """Returns a fusion of adapters, with random attention."""
  bank = {name: make(method, seed)
          for seed, (name, method) in enumerate(methods.items())}
  whole = aj.compose(bank, setup or f'fuse({", ".join(bank)}, norms=base)',
                     head=next(iter(bank)))
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


def test_a_fusion_in_a_part_of_the_text(base):
  methods = dict.fromkeys('abc', 'seq_bn[reduction_factor=4]')

  def weights(setup):
    found, = aj.fusion_attention(
        base, _fused(base, setup, **methods), TEXTS).values()
    return found

  whole = weights('fuse(a, b, norms=base)')
  first, rest = (weights(f'split({members}, splits=[3], norms=base)')
                 for members in ('fuse(a, b), c', 'c, fuse(a, b)'))
  np.testing.assert_allclose(first.sum(-1), 1, atol=1e-6)
  # 5 and 3 tokens; the members of other positions do not reach layer 0.
  np.testing.assert_allclose(first[0, 1], whole[0, 1], atol=1e-6)
  np.testing.assert_allclose(
      (3 * first[0, 0] + 2 * rest[0, 0]) / 5, whole[0, 0], atol=1e-6)
  assert abs(first[0, 0] - rest[0, 0]).max() > 1e-3
  np.testing.assert_array_equal(rest[:, 1], 0)
  # None of the positions of the padded batch.
  np.testing.assert_array_equal(
      weights('split(c, fuse(a, b), splits=[9], norms=base)'), 0)


def test_a_fusion_below_a_prompt(base):
  found = aj.fusion_attention(base, _fused(
      base, 'stack(p, fuse(a, b), norms=base)',
      p='prompt_tuning[prompt_length=3]', a='seq_bn[reduction_factor=4]',
      b='seq_bn[reduction_factor=6]'), TEXTS)['ffn_output']
  assert found.shape == (2, 2, 2) and (found[0] > 0).all()
  np.testing.assert_allclose(found.sum(-1), 1, atol=1e-6)


def test_an_untrained_fusion_is_named(base):
  bank = {name: make('seq_bn[reduction_factor=4]', seed)
          for seed, name in enumerate('ab')}
  for head in ('', 'a'):
    fused = aj.compose(bank, 'fuse(a, b, norms=base)', head=head)
    for call in (aj.fusion_attention, aj.predict, aj.encode):
      with pytest.raises(aj.UserError, match=(
          'adapter.*: its fuse has not been trained; aj.train with')):
        if call is aj.encode:
          call(base, TEXTS, fused)
        else:
          call(base, fused, TEXTS)
  with pytest.raises(aj.UserError, match='0 fuses; give a trained fusion'):
    aj.fusion_attention(base, bank['a'], TEXTS)


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


def test_the_mean_over_the_inputs_of_a_text():
  values = np.float32([[1, 3], [3, 5], [2, 2]])
  np.testing.assert_array_equal(
      attention._mean_by_owner(values, [0, 0, 2], 3), [[2, 4], [0, 0], [2, 2]])
