"""Tests for matrix products."""

import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from adapters_jax.layers import activations
from adapters_jax.layers import dense


def draw(*shape, seed=0):
  return np.random.default_rng(seed).standard_normal(shape, np.float32)


class ProductsTest(parameterized.TestCase):

  @parameterized.parameters((5, 3), (3, 5))
  def test_value_and_gradients_are_those_of_dot(self, inner, outer):
    x, kernel = draw(2, 7, inner), draw(inner, outer, seed=1)
    weights = draw(2, 7, outer, seed=2)

    @functools.partial(jax.jit, static_argnums=0)
    def found(multiply):
      return jax.value_and_grad(
          lambda x, k: jnp.sum(weights * multiply(x, k)), (0, 1))(x, kernel)

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
        found(dense.product), found(jnp.dot))

  def test_runs_are_vmapped_over_the_kernel_alone(self):
    x, kernels = draw(4, 3), draw(2, 3, 5, seed=1)

    @jax.jit
    def grad(kernel):
      return jax.grad(lambda k: jnp.sum(dense.product(x, k)**2))(kernel)

    together = np.asarray(jax.jit(jax.vmap(grad))(kernels))
    for kernel, gradient in zip(kernels, together, strict=True):
      np.testing.assert_allclose(grad(kernel), gradient, rtol=1e-5)

  def test_gelu_and_its_derivative_are_exact(self):
    x = np.linspace(-12, 12, 4001, dtype=np.float32)

    def exact(x):
      return jax.nn.gelu(x, approximate=False)

    for ours, wanted in (
        (activations.gelu, exact),
        (jax.vmap(jax.grad(activations.gelu)), jax.vmap(jax.grad(exact)))):
      np.testing.assert_allclose(
          jax.jit(ours)(x), jax.jit(wanted)(x), atol=1e-6)


if __name__ == '__main__':
  absltest.main()
