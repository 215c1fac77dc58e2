"""Tests for matrix products."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from adapters_jax.layers import activations
from adapters_jax.layers import dense


class ProductsTest(parameterized.TestCase):

  @parameterized.parameters((5, 3), (3, 5))
  def test_value_and_gradients_are_those_of_dot(self, inner, outer):
    x = jax.random.normal(jax.random.key(0), (2, 7, inner))
    kernel = jax.random.normal(jax.random.key(1), (inner, outer))
    weights = jax.random.normal(jax.random.key(2), (2, 7, outer))

    def found(multiply):
      return jax.value_and_grad(
          lambda x, k: jnp.sum(weights * multiply(x, k)), (0, 1))(x, kernel)

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
        found(dense.product), found(jnp.dot))

  def test_runs_are_vmapped_over_the_kernel_alone(self):
    x = jax.random.normal(jax.random.key(0), (4, 3))
    kernels = jax.random.normal(jax.random.key(1), (2, 3, 5))

    def grad(kernel):
      return jax.grad(lambda k: jnp.sum(dense.product(x, k)**2))(kernel)

    together = jax.vmap(grad)(kernels)
    for kernel, gradient in zip(kernels, together):
      np.testing.assert_allclose(grad(kernel), gradient, rtol=1e-5)

  def test_gelu_and_its_derivative_are_exact(self):
    x = jnp.linspace(-12, 12, 4001)

    def exact(x):
      return jax.nn.gelu(x, approximate=False)

    np.testing.assert_allclose(activations.gelu(x), exact(x), atol=1e-6)
    np.testing.assert_allclose(
        jax.vmap(jax.grad(activations.gelu))(x), jax.vmap(jax.grad(exact))(x),
        atol=1e-6)


if __name__ == '__main__':
  absltest.main()
