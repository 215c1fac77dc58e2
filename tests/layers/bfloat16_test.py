"""Products of bfloat16 operands against float32, with their gradients."""

import dataclasses
import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from adapters_jax.layers import bfloat16
from adapters_jax.model import heads
from tests import tiny


def rounded(*shape, seed=0):
  """Normal values that bfloat16 holds, so that rounding changes nothing."""
  x = np.random.default_rng(seed).standard_normal(shape, np.float32)
  return x.astype(jnp.bfloat16).astype(np.float32)


def scores(query, key):
  return jnp.einsum('bqhd,bkhd->bhqk', query, key)


def mix(weights, value):
  return jnp.einsum('bhqk,bkhd->bqhd', weights, value)


class ProductsTest(parameterized.TestCase):

  @parameterized.named_parameters(
      ('product', bfloat16.dense_product, jnp.dot, (2, 7, 5), (5, 3)),
      ('scores', bfloat16.attention_scores, scores, (2, 3, 5, 4), (2, 7, 5, 4)),
      ('mix', bfloat16.mix, mix, (2, 5, 3, 7), (2, 7, 5, 4)))
  def test_value_and_gradients(self, ours, wanted, first, second):
    a, b = rounded(*first), rounded(*second, seed=1)
    cotangent = rounded(*jax.eval_shape(wanted, a, b).shape, seed=2)

    @functools.partial(jax.jit, static_argnums=0)
    def found(multiply):
      value, back = jax.vjp(multiply, a, b)
      return value, back(cotangent)

    for one, other in zip(
        jax.tree.leaves(found(ours)), jax.tree.leaves(found(wanted)),
        strict=True):
      self.assertEqual(one.dtype, jnp.float32)
      np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)

  def test_one_pass_whatever_the_precision_of_other_products(self):
    x = np.ones((2, 3, 5, 4), np.float32)

    def attended(x, kernel):
      scores = bfloat16.attention_scores(x, x)
      return jnp.sum(bfloat16.dense_product(bfloat16.mix(scores, x), kernel))

    with jax.default_matmul_precision('highest'):
      text = jax.jit(jax.value_and_grad(attended, (0, 1))).lower(
          x, np.ones((4, 6), np.float32)).as_text()
    self.assertEqual(text.count('precision = [DEFAULT, DEFAULT]'), 9)
    self.assertNotIn('HIGHEST', text)

  def test_operands_are_rounded(self):
    x = np.full((1, 1), 1 + 2**-12, np.float32)
    self.assertEqual(jax.jit(bfloat16.dense_product)(x, x).item(), 1)

  def test_runs_are_vmapped(self):
    x, kernels = rounded(4, 3), rounded(2, 3, 5, seed=1)

    @jax.jit
    def grad(kernel):
      return jax.grad(lambda k: jnp.sum(bfloat16.dense_product(x, k)))(kernel)

    together = np.asarray(jax.jit(jax.vmap(grad))(kernels))
    for kernel, gradient in zip(kernels, together, strict=True):
      np.testing.assert_allclose(grad(kernel), gradient, rtol=1e-5)

  def test_model_is_close_to_float32_and_really_rounds(self):
    tokens = np.random.default_rng(0).integers(0, 9, (3, 5), np.int32)
    mask = np.arange(5) < np.array([5, 2, 4])[:, None]
    params = tiny.drawn(heads.Classifier(tiny.TWO_LAYERS, 2))

    def loss(params, products):
      config = dataclasses.replace(tiny.TWO_LAYERS, products=products)
      return jnp.sum(heads.Classifier(config, 2).apply(
          {'params': params}, tokens, tokens * 0, mask) ** 2)

    (one, grads), (other, wanted) = (
        jax.device_get(jax.jit(jax.value_and_grad(loss), static_argnums=1)(
            params, products)) for products in ('bfloat16', 'float32'))
    np.testing.assert_allclose(one, other, rtol=5e-2)
    self.assertNotEqual(one, other)
    sizes = [np.linalg.norm(leaf) for leaf in jax.tree.leaves(wanted)]
    for leaf, leaf_wanted in zip(
        jax.tree.leaves(grads), jax.tree.leaves(wanted), strict=True):
      self.assertLess(
          np.linalg.norm(leaf - leaf_wanted), 0.05 * max(sizes))


if __name__ == '__main__':
  absltest.main()
