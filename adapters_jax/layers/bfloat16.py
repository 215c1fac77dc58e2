"""Products of bfloat16 operands with float32 results.

A TPU multiplies float32 arrays in this way by default. On an AMD CPU with
AVX512_BF16 XLA reaches twice the rate of float32 products, but only with
float32 results and with the contracted axis last in memory in the first
operand. Measured on one core of an AMD EPYC with JAX 0.10.2, [512, 768] by
[768, 3072]: 209 GFLOP/s into float32, 100 into bfloat16, 106 all in float32.
On an Intel Xeon whose AMX is hidden they are slower; see `model.precision`.

Sums, norms, softmax, and gradients of all other operations stay in float32.
"""

from typing import Any

import jax
from jax.experimental import layout
import jax.numpy as jnp

from adapters_jax.layers import dense


def _cast(x: jax.Array) -> jax.Array:
  return x.astype(jnp.bfloat16)


def _dot(a: jax.Array, b: jax.Array, contracted: Any, batch: Any) -> jax.Array:
  """Calls dot_general with a float32 result, in one pass on every device."""
  # `jax.default_matmul_precision` is for the other products.
  return jax.lax.dot_general(
      a, b, (contracted, batch), precision=jax.lax.Precision.DEFAULT,
      preferred_element_type=jnp.float32)


def _rearranged(x: jax.Array, axes: tuple[int, ...]) -> jax.Array:
  """Transposes in memory.

  Without the constraint, XLA would fold the transpose into the product and
  leave the fast form.
  """
  return layout.with_layout_constraint(
      _cast(x).transpose(axes), layout.Layout(tuple(range(x.ndim))))


@jax.custom_vjp
def dense_product(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Multiplies rows by a kernel.

  Args:
    x: [..., in]
    kernel: [in, out]

  Returns:
    [..., out] float32.
  """
  return _dot(_cast(x), _cast(kernel), ((x.ndim - 1,), (0,)), ((), ()))


def _product_forward(x, kernel):
  x, kernel = _cast(x), _cast(kernel)  # Half the memory of what is kept.
  return dense_product(x, kernel), (x, kernel)


def _product_backward(saved, cotangent):
  """Returns the gradients of x and kernel."""
  x, kernel = saved
  errors = _cast(cotangent)
  grad_x = _dot(errors, kernel, ((errors.ndim - 1,), (1,)), ((), ()))
  rows = x.reshape(-1, x.shape[-1])  # [rows, in]
  errors = errors.reshape(-1, errors.shape[-1])  # [rows, out]
  grad_kernel = _dot(
      _rearranged(rows, (1, 0)), errors, ((1,), (0,)), ((), ()))
  return grad_x, grad_kernel


dense_product.defvjp(_product_forward, _product_backward)


dot_general = dense.for_dense(dense_product)


# Attention. Both products, and the four of their gradients, are one of three
# forms; each moves the heads in front of the positions first.

_BATCH = ((0, 1), (0, 1))  # batch and heads, of arrays with heads in front.


def _over_depth(a: jax.Array, b: jax.Array) -> jax.Array:
  """[batch, q, heads, depth], [batch, k, heads, depth] -> [b, heads, q, k]."""
  a, b = (_rearranged(x, (0, 2, 1, 3)) for x in (a, b))
  return _dot(a, b, ((3,), (3,)), _BATCH)


def _over_keys(a: jax.Array, b: jax.Array) -> jax.Array:
  """[batch, heads, q, k], [batch, k, heads, depth] -> [b, q, heads, depth]."""
  mixed = _dot(_cast(a), _rearranged(b, (0, 2, 1, 3)), ((3,), (2,)), _BATCH)
  return mixed.swapaxes(1, 2)


def _over_queries(a: jax.Array, b: jax.Array) -> jax.Array:
  """[batch, heads, q, k], [batch, q, heads, depth] -> [b, k, heads, depth]."""
  return _over_keys(_rearranged(a, (0, 1, 3, 2)), b)


@jax.custom_vjp
def attention_scores(query: jax.Array, key: jax.Array) -> jax.Array:
  """Multiplies queries by keys (Vaswani et al., 2017, section 3.2.1).

  Args:
    query: [batch, queries, heads, depth]
    key: [batch, keys, heads, depth]

  Returns:
    [batch, heads, queries, keys] float32.
  """
  return _over_depth(query, key)


attention_scores.defvjp(
    lambda query, key: (
        attention_scores(query, key), (_cast(query), _cast(key))),
    lambda saved, cotangent: (
        _over_keys(cotangent, saved[1]), _over_queries(cotangent, saved[0])))


@jax.custom_vjp
def mix(weights: jax.Array, value: jax.Array) -> jax.Array:
  """Sums values by attention weights (Vaswani et al., 2017, section 3.2.1).

  Args:
    weights: [batch, heads, queries, keys]
    value: [batch, keys, heads, depth]

  Returns:
    [batch, queries, heads, depth] float32.
  """
  return _over_keys(weights, value)


mix.defvjp(
    lambda weights, value: (
        mix(weights, value), (_cast(weights), _cast(value))),
    lambda saved, cotangent: (
        _over_depth(cotangent, saved[1]), _over_queries(saved[0], cotangent)))
