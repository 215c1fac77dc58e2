"""Layer norm with a hand-written gradient that makes few passes over memory.

In a measurement on a CPU, a training step took about a twentieth less time than
with the gradient of `nn.LayerNorm`.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from adapters_jax.layers import parameters


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def layer_norm(
    x: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float
) -> jax.Array:
  """Normalises x over its last axis (Ba et al., 2016, equation 3).

  The statistics are computed in float32 for every dtype of x.

  Args:
    x: [..., dim]
    scale: [dim]
    bias: [dim]
    epsilon: Addend to the variance.

  Returns:
    [..., dim] with the dtype of x.
  """
  return _forward(x, scale, bias, epsilon)[0]


def _forward(x, scale, bias, epsilon):
  wide = x.astype(jnp.float32)
  mean = jnp.mean(wide, -1, keepdims=True)
  centred = wide - mean  # E[x**2] - mean**2 would cancel for large means.
  rate = jax.lax.rsqrt(
      jnp.mean(centred * centred, -1, keepdims=True) + epsilon)
  # With the rank of x, since `jax_numpy_rank_promotion` may be 'raise'.
  above = range(x.ndim - 1)
  out = centred * rate * jnp.expand_dims(scale, above) + jnp.expand_dims(
      bias, above)
  # The normalised values are not saved: recomputation is cheaper than writing
  # and reading an array of the size of x.
  return out.astype(x.dtype), (x, mean, rate, scale)


def _backward(epsilon, saved, errors):
  """Returns the gradients of x, scale and bias."""
  del epsilon
  x, mean, rate, scale = saved
  dim = x.shape[-1]
  errors = errors.astype(jnp.float32)
  normal = (x.astype(jnp.float32) - mean) * rate
  moved = errors * normal
  # Products with the vector `scale`, not sums of elementwise products, for
  # which XLA would first write a copy of `scale` for every row. The precision
  # is fixed, since `jax.default_matmul_precision` may be lower.
  dot = functools.partial(
      jnp.dot, precision='highest', preferred_element_type=jnp.float32)
  along = dot(moved, scale)[..., None] / dim
  level = dot(errors, scale)[..., None] / dim
  rows = tuple(range(x.ndim - 1))
  grad = rate * (
      errors * jnp.expand_dims(scale, rows) - level - normal * along)
  return (grad.astype(x.dtype), jnp.sum(moved, rows).astype(scale.dtype),
          jnp.sum(errors, rows).astype(scale.dtype))


layer_norm.defvjp(_forward, _backward)


class LayerNorm(parameters.Module):
  """`layer_norm` with the parameters 'scale' and 'bias' [dim].

  Attributes:
    epsilon: Addend to the variance.
    use_bias: Whether there is a bias; ModernBERT has scales alone.
  """
  epsilon: float
  use_bias: bool = True

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Normalises x [..., dim] over its last axis."""
    shape = x.shape[-1:]
    scale = self.param('scale', nn.initializers.ones, shape)
    bias = (self.param('bias', nn.initializers.zeros, shape)
            if self.use_bias else jnp.zeros(shape, scale.dtype))
    return layer_norm(x, scale, bias, self.epsilon)
