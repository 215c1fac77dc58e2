"""Batch norm (Ioffe and Szegedy, 2015) with its state in the tuned tree.

The running statistics are leaves like the scale and the bias. Their gradient is
defined as (running - batch), so that plain gradient descent with the rate
1 - MOMENTUM computes the usual moving average. The optimizer thus updates them,
and training steps, vmapped runs, saving and resuming need no code for mutable
state. `trees.role` recognises these leaves by their names.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from adapters_jax.layers import parameters

MOMENTUM = 0.9  # Share of a running statistic that a step keeps.


@jax.custom_vjp
def follow(y: jax.Array, running: jax.Array, measured: jax.Array) -> jax.Array:
  """Returns y, and defines the gradient of the running statistics.

  Args:
    y: [...] An array that the loss depends on; otherwise the gradient is lost.
    running: [2, size] float32 mean and variance. Their gradient is
      running - measured, for any loss.
    measured: [2, size] float32 mean and variance of the batch. Their gradient
      is 0.

  Returns:
    [...] y
  """
  del running, measured
  return y


def _follow_forward(y, running, measured):
  return y, running - measured


def _follow_backward(difference, gradient):
  # Not scaled by `gradient`: the moving average is independent of the loss.
  return gradient, difference, jnp.zeros_like(difference)


follow.defvjp(_follow_forward, _follow_backward)


def moments(x: jax.Array, mask: jax.Array) -> jax.Array:
  """Computes the mean and biased variance of each unit over the tokens.

  Args:
    x: [batch, length, size]
    mask: [batch, length] bool, False at padding.

  Returns:
    [2, size] float32 means and variances.
  """
  x = x.astype(jnp.float32)
  weights = mask[:, :, None].astype(jnp.float32)
  tokens = jnp.maximum(jnp.sum(weights), 1)  # No tokens: no division by 0.
  mean = jnp.sum(weights * x, axis=(0, 1)) / tokens
  variance = jnp.sum(weights * jnp.square(x - mean), axis=(0, 1)) / tokens
  return jnp.stack([mean, variance])


class BatchNorm(parameters.Module):
  """Normalises each unit over the tokens of a batch, padding excluded.

  Attributes:
    epsilon: Addend to the variance.
  """
  epsilon: float

  @nn.compact
  def __call__(
      self, x: jax.Array, mask: jax.Array, *, train: bool
  ) -> jax.Array:
    """Normalises x, then scales and shifts it (algorithm 1 of the paper).

    Args:
      x: [batch, length, size]
      mask: [batch, length] bool, False at padding.
      train: Whether to normalise by the batch's statistics and let the running
        ones follow, instead of normalising by the running ones.

    Returns:
      [batch, length, size]
    """
    size = x.shape[-1]
    mean = self.param('running_mean', nn.initializers.zeros, (size,))
    variance = self.param('running_variance', nn.initializers.ones, (size,))
    scale = self.param('scale', nn.initializers.ones, (size,))
    bias = self.param('bias', nn.initializers.zeros, (size,))
    used = running = jnp.stack([mean, variance])
    if train:
      used = moments(x, mask)
    factor = scale * jax.lax.rsqrt(used[1] + self.epsilon)
    y = (x.astype(jnp.float32) - used[0]) * factor + bias
    if train:
      # The batch's statistics have a gradient through y, but are constants as
      # the target of the moving average.
      y = follow(y, running, jax.lax.stop_gradient(used))
    return y.astype(x.dtype)
