"""Tests of norms: values and gradients are those of flax's layer norm."""

from absl.testing import parameterized
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from adapters_jax.layers import layer_norm


def draw(*shape, seed=0):
  return jax.random.normal(jax.random.key(seed), shape)


class NormsTest(parameterized.TestCase):

  @parameterized.parameters((2, 5, 8), (3, 7))
  def test_values_and_gradients_are_those_of_flax(self, *shape):
    x, errors = 3 + 2 * draw(*shape), draw(*shape, seed=1)
    params = {'params': {'scale': draw(shape[-1], seed=2),
                         'bias': draw(shape[-1], seed=3)}}
    ours = layer_norm.LayerNorm(1e-5)
    theirs = nn.LayerNorm(epsilon=1e-5, use_fast_variance=False)

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
      found = run()
    jax.tree.map(np.testing.assert_array_equal, found, run())

  def test_parameters_start_as_the_identity(self):
    x = draw(4, 6)
    variables = layer_norm.LayerNorm(0.0).init(jax.random.key(0), x)
    self.assertEqual(jax.tree.map(jnp.shape, variables),
                     {'params': {'scale': (6,), 'bias': (6,)}})
    out = layer_norm.LayerNorm(0.0).apply(variables, x)
    np.testing.assert_allclose(out.mean(-1), 0, atol=1e-6)
    np.testing.assert_allclose(out.std(-1), 1, rtol=1e-5)

  @parameterized.parameters('float32', 'bfloat16')
  def test_half_precision_keeps_its_types_and_statistics(self, params):
    x = (100 + draw(2, 5, 8)).astype('bfloat16')
    scale, bias = draw(8, seed=2).astype(params), jnp.zeros(8, params)
    out, pull = jax.vjp(
        lambda *args: layer_norm.layer_norm(*args, 1e-12), x, scale, bias)
    grads = pull(jnp.ones_like(out))
    self.assertEqual([out.dtype, *(g.dtype for g in grads)],
                     [x.dtype, x.dtype, scale.dtype, bias.dtype])
    wanted = layer_norm.layer_norm(
        x.astype('float32'), scale.astype('float32'), jnp.zeros(8), 1e-12)
    np.testing.assert_allclose(
        out.astype('float32'), wanted, rtol=1e-2, atol=1e-2)

  def test_runs_of_a_group_have_their_own_parameters(self):
    x, scale = draw(3, 4, 6), draw(3, 6, seed=1)

    def grad(x, scale):
      return jax.grad(lambda x: jnp.sum(
          layer_norm.layer_norm(x, scale, scale, 1e-5)**2))(x)

    np.testing.assert_allclose(
        jax.vmap(grad)(x, scale),
        jnp.stack([grad(*one) for one in zip(x, scale)]), atol=1e-5)
