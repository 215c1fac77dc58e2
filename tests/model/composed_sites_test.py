"""A fuse in a sublayer by hand, without linear layers of its attention."""

import dataclasses

import flax.linen as nn
import jax
import numpy as np
import pytest
from scipy import special

from adapters_jax.methods import strings
from adapters_jax.model import composed_sites
from adapters_jax.model import composition
from adapters_jax.model import encoder
from tests.methods import methods_test

PART = composition.Part
BARE = {'query': False, 'key': False, 'value': False}


def norm(x):
  return (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)


class Sublayer(nn.Module):
  """The end of a sublayer in layer 0."""
  config: encoder.BertConfig

  @nn.compact
  def __call__(self, residual, update):
    mask = np.ones(update.shape[:2], bool)
    sites = composed_sites.make(self.config, 0, mask, (None,) * 3, False)
    return sites.sublayer('ffn_output', residual, update, norm)


def fused(method, tree):
  """Returns (residual, update, functions of the adapters, output)."""
  config = dataclasses.replace(
      methods_test.SHAPE, adapters=strings.parse('|'.join([method] * 3)),
      composition=tree)
  residual, update = np.random.default_rng(0).standard_normal(
      (2, 2, 3, 8), np.float32)
  model = Sublayer(config)
  leaves = methods_test.perturbed(jax.tree.map(
      lambda leaf: np.zeros(leaf.shape, np.float32), jax.eval_shape(
          lambda: model.init(jax.random.key(0), residual, update))['params']))

  def adapter(index):
    own = leaves[f'adapter_ffn_output_{index}']
    down, up = own['down'], own['up']
    return lambda x: np.tanh(x @ down['kernel'] + down['bias']) @ (
        up['kernel']) + up['bias']

  found = model.apply({'params': leaves}, residual, update)
  return residual, update, [adapter(index) for index in range(3)], found


def mix(query, *updates):
  values = np.stack(updates, axis=2)
  weights = special.softmax(np.einsum('bld,blnd->bln', query, values), axis=-1)
  return np.einsum('bln,blnd->bld', weights, values)


def test_a_stack_in_a_fuse_adapts_its_own_sum():
  tree = composition.Fuse(
      composition.Stack(PART(0, 1), PART(1, 2)), PART(2, 3), **BARE)
  x, h, (a, b, c), found = fused('bottleneck[size=2, activation=tanh]', tree)
  both = a(h) + b(h + a(h))
  np.testing.assert_allclose(
      found, norm(h + mix(h, both, c(h)) + x), atol=1e-5)


@pytest.mark.parametrize('before', [False, True])
def test_query_and_residual_of_a_fuse(before):
  tree = composition.Fuse(PART(0, 1), PART(1, 2), PART(2, 3), **BARE,
                          query_before_ln=before)
  x, h, adapters, found = fused(
      'bottleneck[size=2, activation=tanh, original_ln_before=True, '
      'residual_before_ln=False]', tree)
  normal = norm(h + x)  # Read by the adapters, and the residual.
  updates = [adapter(normal) for adapter in adapters]
  wanted = norm(normal + mix(h if before else normal, *updates) + x)
  np.testing.assert_allclose(found, wanted, atol=1e-5)
