"""Tests of norms: values and gradients are those of flax's layer norm."""

import functools

from absl.testing import parameterized
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from adapters_jax.layers import layer_norm


def draw(*shape, seed=0):
  return np.random.default_rng(seed).standard_normal(shape, np.float32)


class NormsTest(parameterized.TestCase):

  @parameterized.parameters((2, 5, 8), (3, 7))
  def test_values_and_gradients_are_those_of_flax(self, *shape):
    x, errors = 3 + 2 * draw(*shape), draw(*shape, seed=1)
    params = {'params': {'scale': draw(shape[-1], seed=2),
                         'bias': draw(shape[-1], seed=3)}}
    ours = layer_norm.LayerNorm(1e-5)
    theirs = nn.LayerNorm(epsilon=1e-5, use_fast_variance=False)

    @functools.partial(jax.jit, static_argnums=0)
    def run(module):
      out, pull = jax.vjp(module.apply, params, x)
      return out, pull(errors)

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5, rtol=2e-5),
        run(ours), run(theirs))

  def test_no_rank_is_promoted(self):
    x, scale, bias = draw(2, 5, 8), draw(8, seed=1), draw(8, seed=2)

    def run():
      out, pull = jax.vjp(
          lambda *args: layer_norm.layer_norm(*args, 1e-5), x, scale, bias)
      return out, pull(x)

    with jax.numpy_rank_promotion('raise'):
      found = jax.jit(run)()
    with jax.numpy_rank_promotion('allow'):
      wanted = jax.jit(run)()
    jax.tree.map(np.testing.assert_array_equal, found, wanted)

  def test_parameters_start_as_the_identity(self):
    x = draw(4, 6)
    module = layer_norm.LayerNorm(0.0)
    variables = module.init(jax.random.key(0), x)
    self.assertEqual(jax.tree.map(jnp.shape, variables),
                     {'params': {'scale': (6,), 'bias': (6,)}})
    out = np.asarray(jax.jit(module.apply)(variables, x))
    np.testing.assert_allclose(out.mean(-1), 0, atol=1e-6)
    np.testing.assert_allclose(out.std(-1), 1, rtol=1e-5)

  @parameterized.parameters('float32', 'bfloat16')
  def test_half_precision_keeps_its_types_and_statistics(self, params):
    x = (100 + draw(2, 5, 8)).astype('bfloat16')
    scale, bias = draw(8, seed=2).astype(params), np.zeros(8, params)

    @jax.jit
    def norm(*args):
      return layer_norm.layer_norm(*args, 1e-12)

    @jax.jit
    def run(*args):
      out, pull = jax.vjp(norm, *args)
      return out, pull(jnp.ones_like(out))

    out, grads = run(x, scale, bias)
    self.assertEqual([out.dtype, *(g.dtype for g in grads)],
                     [x.dtype, x.dtype, scale.dtype, bias.dtype])
    wanted = norm(x.astype('float32'), scale.astype('float32'),
                  np.zeros(8, np.float32))
    np.testing.assert_allclose(
        np.asarray(out, np.float32), wanted, rtol=1e-2, atol=1e-2)

  def test_runs_of_a_group_have_their_own_parameters(self):
    x, scale = draw(3, 4, 6), draw(3, 6, seed=1)

    @jax.jit
    def grad(x, scale):
      return jax.grad(lambda x: jnp.sum(
          layer_norm.layer_norm(x, scale, scale, 1e-5)**2))(x)

    np.testing.assert_allclose(
        jax.jit(jax.vmap(grad))(x, scale),
        [grad(*one) for one in zip(x, scale)], atol=1e-5)
