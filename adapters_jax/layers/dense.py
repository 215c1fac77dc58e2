"""Matrix products whose kernel gradient is faster on XLA's CPU backend."""

from typing import Any

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


def dot_general(
    x: jax.Array, kernel: jax.Array, dimension_numbers: Any, precision: Any
) -> jax.Array:
  """Calls `product` with the signature that `nn.Dense` expects.

  Args:
    x: [..., in]
    kernel: [in, out]
    dimension_numbers: Ignored; `nn.Dense` contracts the last axis of x.
    precision: Ignored; `jax.default_matmul_precision` applies.

  Returns:
    [..., out]
  """
  del dimension_numbers, precision
  return product(x, kernel)
