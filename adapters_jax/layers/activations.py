"""Activations of adapters and feed-forward sublayers."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp


@jax.custom_jvp
def gelu(x: jax.Array) -> jax.Array:
  """Returns x times the normal distribution function of x.

  The same function as `nn.gelu(x, approximate=False)`; XLA computes erf faster
  than the erfc of that, and keeps only the derivative for the backward pass.
  """
  return x * (0.5 + 0.5 * jax.lax.erf(x * 2**-0.5))


@gelu.defjvp
def _(primals, tangents):
  (x,), (tangent,) = primals, tangents
  below = 0.5 + 0.5 * jax.lax.erf(x * 2**-0.5)
  density = (2 * jnp.pi)**-0.5 * jnp.exp(-0.5 * jnp.square(x))
  return x * below, (below + x * density) * tangent


# All have f(0) = 0, so that zero-padding a bottleneck changes nothing.
ACTIVATIONS = {
    'gelu': gelu,
    'gelu_tanh': functools.partial(nn.gelu, approximate=True),
    'relu': nn.relu,
    'leaky_relu': nn.leaky_relu,
    'tanh': nn.tanh,
    'swish': nn.swish,
    'identity': lambda x: x,
}
