"""Layer normalisation whose gradient is written out for few passes."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def layer_norm(
    x: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float
) -> jax.Array:
  """Returns x [..., dim] normalised over its last axis (Ba et al., 2016).

  The statistics are in float32, whatever x is in.

  Args:
    x: [..., dim]
    scale: [dim]
    bias: [dim]
    epsilon: Added to the variance.
  """
  return _forward(x, scale, bias, epsilon)[0]


def _forward(x, scale, bias, epsilon):
  wide = x.astype(jnp.float32)
  mean = jnp.mean(wide, -1, keepdims=True)
  centred = wide - mean
  rate = jax.lax.rsqrt(
      jnp.mean(centred * centred, -1, keepdims=True) + epsilon)
  out = centred * rate * scale + bias
  return out.astype(x.dtype), (x, mean, rate, scale)


def _backward(epsilon, saved, errors):
  """Returns the gradients of x, scale and bias.

  What weighs a row by `scale` is a product with a vector: as a sum XLA would
  first write `scale` out for every row.
  """
  del epsilon
  x, mean, rate, scale = saved
  dim = x.shape[-1]
  errors = errors.astype(jnp.float32)
  normal = (x.astype(jnp.float32) - mean) * rate
  moved = errors * normal
  dot = functools.partial(
      jnp.dot, precision='highest', preferred_element_type=jnp.float32)
  along = dot(moved, scale)[..., None] / dim
  level = dot(errors, scale)[..., None] / dim
  grad = rate * (errors * scale - level - normal * along)
  rows = tuple(range(x.ndim - 1))
  return (grad.astype(x.dtype), jnp.sum(moved, rows).astype(scale.dtype),
          jnp.sum(errors, rows).astype(scale.dtype))


layer_norm.defvjp(_forward, _backward)


class LayerNorm(nn.Module):
  """`layer_norm` with its parameters 'scale' and 'bias' [dim]."""
  epsilon: float

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Normalises x, [..., dim]."""
    shape = x.shape[-1:]
    scale = self.param('scale', nn.initializers.ones, shape)
    bias = self.param('bias', nn.initializers.zeros, shape)
    return layer_norm(x, scale, bias, self.epsilon)
