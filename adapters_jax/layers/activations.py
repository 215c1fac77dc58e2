"""Activations of adapters and feed-forward sublayers."""

from collections.abc import Callable
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp


@jax.custom_jvp
def gelu(x: jax.Array) -> jax.Array:
  """Computes the exact GELU (Hendrycks and Gimpel, 2016, section 2).

  Equal to `nn.gelu(x, approximate=False)` within 1e-6. Flax's version goes
  through erfc, which XLA computes more slowly than erf. The derivative below
  keeps a single array for the backward pass.

  Args:
    x: [...] Any array.

  Returns:
    [...] x times the standard normal distribution function of x.
  """
  return x * (0.5 + 0.5 * jax.lax.erf(x * 2**-0.5))


@gelu.defjvp
def _(primals, tangents):
  (x,), (tangent,) = primals, tangents
  below = 0.5 + 0.5 * jax.lax.erf(x * 2**-0.5)
  density = (2 * jnp.pi)**-0.5 * jnp.exp(-0.5 * jnp.square(x))
  # (x Phi(x))' = Phi(x) + x phi(x), the one array that is kept.
  return x * below, (below + x * density) * tangent


# All have f(0) = 0: zero padding of bottlenecks to the common size of a vmapped
# group must not change the outputs.
ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    'gelu': gelu,
    'gelu_tanh': functools.partial(nn.gelu, approximate=True),
    'relu': nn.relu,
    'leaky_relu': nn.leaky_relu,
    'tanh': nn.tanh,
    'swish': nn.swish,
    'identity': lambda x: x,
}
