"""Matrix products whose gradient is laid out for the processor."""

from typing import Any

import jax
import jax.numpy as jnp


@jax.custom_vjp
def product(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Returns x @ kernel, [..., out] of [..., in] and [in, out]."""
  return jnp.dot(x, kernel)


def _forward(x, kernel):
  return product(x, kernel), (x, kernel)


def _backward(saved, cotangent):
  """Returns the gradients; that of the kernel transposes the narrower side.

  A product over rows needs one of its operands transposed in memory, and XLA
  takes the first.
  """
  x, kernel = saved
  rows = x.reshape(-1, x.shape[-1])
  errors = cotangent.reshape(-1, cotangent.shape[-1])
  if rows.shape[1] <= errors.shape[1]:
    grad = jax.lax.dot_general(rows, errors, (((0,), (0,)), ((), ())))
  else:
    grad = jax.lax.dot_general(errors, rows, (((0,), (0,)), ((), ()))).T
  return jnp.dot(cotangent, kernel.T), grad.astype(kernel.dtype)


product.defvjp(_forward, _backward)


def dot_general(
    x: jax.Array, kernel: jax.Array, dimension_numbers: Any, precision: Any
) -> jax.Array:
  """Is `product` in the form that `nn.Dense` asks for."""
  del dimension_numbers, precision
  return product(x, kernel)
