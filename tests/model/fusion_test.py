"""AdapterFusion by hand: the attention over members, and its penalty."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from adapters_jax import trees
from adapters_jax.layers import dropout
from adapters_jax.model import composition
from adapters_jax.model import fusion


def test_the_mix_of_members_in_training(monkeypatch):
  monkeypatch.setattr(  # Drops the first member's scores.
      dropout, 'dropout', lambda x, key, rate: x * np.float32([0, 2]))
  rng = np.random.default_rng(0)
  query = rng.standard_normal((1, 3, 4), np.float32)
  updates = rng.standard_normal((1, 3, 2, 4), np.float32)
  leaves = {
      part: {'kernel': rng.standard_normal((4, 4), np.float32),
             'bias': rng.standard_normal(4, np.float32)}
      for part in ('query', 'key')}
  leaves['value'] = {'kernel': rng.standard_normal((4, 4), np.float32)}
  block = composition.Fuse(composition.Part(0, 1), composition.Part(1, 2))
  found = fusion.AdapterFusion(block).apply(
      {'params': leaves}, query, updates, mask=np.ones((1, 3), bool),
      train=True, rngs={'dropout': jax.random.key(0)})
  q, k = leaves['query'], leaves['key']
  keys = updates @ k['kernel'] + k['bias']
  scores = np.einsum('bld,blnd->bln', query @ q['kernel'] + q['bias'], keys)
  weights = special.softmax(scores * [0, 2], axis=-1)
  np.testing.assert_allclose(
      found, np.einsum('bln,blnd->bld', weights, updates)
      @ leaves['value']['kernel'], rtol=1e-4, atol=1e-5)


def test_values_start_near_the_identity():
  kernel = np.float64(fusion._near_identity(jax.random.key(0), (3, 3)))
  np.testing.assert_allclose(kernel - np.eye(3), 1e-6 * (1 - np.eye(3)))


def test_the_penalty_is_that_of_the_value_matrices():
  stem = 'encoder/layer_0/adapter_fusion_ffn_output'
  tuned = trees.unflatten({
      f'{stem}_0/value/kernel': jnp.eye(2) + 1, f'{stem}_0/key/kernel':
      jnp.ones((2, 2)), f'{stem}_1/value/kernel': 3 * jnp.eye(2),
      'head/kernel': jnp.ones((2, 2))})
  np.testing.assert_allclose(
      fusion.penalty(tuned, (0.5, 0.25)), 0.5 * 4 + 0.25 * 2 * 2**2)
