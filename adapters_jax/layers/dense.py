"""Matrix products whose kernel gradient is faster on XLA's CPU backend."""

from collections.abc import Callable

import jax
import jax.numpy as jnp


@jax.custom_vjp
def product(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Multiplies rows by a kernel, with a faster gradient for the kernel.

  Args:
    x: [..., in]
    kernel: [in, out]

  Returns:
    [..., out]
  """
  return jnp.dot(x, kernel)


def _forward(x, kernel):
  return product(x, kernel), (x, kernel)


def _backward(saved, cotangent):
  """Returns the gradients of x and kernel."""
  x, kernel = saved
  rows = x.reshape(-1, x.shape[-1])  # [rows, in]
  errors = cotangent.reshape(-1, cotangent.shape[-1])  # [rows, out]
  # A contraction over rows transposes one operand in memory, and XLA picks the
  # first. The narrower operand therefore comes first: in an adapter it is a
  # fraction of the wider one.
  if rows.shape[1] <= errors.shape[1]:
    grad = jax.lax.dot_general(rows, errors, (((0,), (0,)), ((), ())))
  else:
    grad = jax.lax.dot_general(errors, rows, (((0,), (0,)), ((), ()))).T
  return jnp.dot(cotangent, kernel.T), grad.astype(kernel.dtype)


product.defvjp(_forward, _backward)


def for_dense(
    multiply: Callable[[jax.Array, jax.Array], jax.Array]
) -> Callable[..., jax.Array]:
  """Returns a product with the signature that `nn.Dense` expects.

  Args:
    multiply: (x [..., in], kernel [in, out]) -> [..., out]
  """

  def dot_general(x, kernel, dimension_numbers, precision):
    # `nn.Dense` contracts the last axis of x with the first of the kernel, and
    # `jax.default_matmul_precision` applies.
    del dimension_numbers, precision
    return multiply(x, kernel)

  return dot_general


dot_general = for_dense(product)
