"""Batch norm (Ioffe and Szegedy, 2015) whose state is part of the tuned tree.

The running statistics are leaves beside the scale and the bias. Their gradient
is defined to be (running - of the batch), so that a step of plain gradient
descent with the rate 1 - MOMENTUM is the usual moving average: the optimizer
keeps them, and training steps, vmapped runs, saving and resuming know nothing
of it. `trees.role` tells them by their names.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

MOMENTUM = 0.9  # What a running statistic keeps of itself in a step.


@jax.custom_vjp
def follow(y: jax.Array, running: jax.Array, measured: jax.Array) -> jax.Array:
  """Returns y, and gives `running` the gradient running - measured.

  Args:
    y: [...] Anything that the loss depends on.
    running: [2, size] float32
    measured: [2, size] float32
  """
  del running, measured
  return y


def _follow_forward(y, running, measured):
  return y, running - measured


def _follow_backward(difference, gradient):
  return gradient, difference, jnp.zeros_like(difference)


follow.defvjp(_follow_forward, _follow_backward)


def moments(x: jax.Array, mask: jax.Array) -> jax.Array:
  """Returns the mean and the (biased) variance of each unit over tokens.

  Args:
    x: [batch, length, size]
    mask: [batch, length] bool, False at what does not count.

  Returns:
    [2, size] float32
  """
  x = x.astype(jnp.float32)
  weights = mask[:, :, None].astype(jnp.float32)
  tokens = jnp.maximum(jnp.sum(weights), 1)
  mean = jnp.sum(weights * x, axis=(0, 1)) / tokens
  variance = jnp.sum(weights * jnp.square(x - mean), axis=(0, 1)) / tokens
  return jnp.stack([mean, variance])


class BatchNorm(nn.Module):
  """Normalises each unit over the tokens of a batch, all but padding."""
  epsilon: float

  @nn.compact
  def __call__(
      self, x: jax.Array, mask: jax.Array, *, train: bool
  ) -> jax.Array:
    """Normalises.

    Args:
      x: [batch, length, size]
      mask: [batch, length] bool, False at what does not count.
      train: Whether by the batch's own statistics, which the running ones then
        follow; else by the running ones.

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
      y = follow(y, running, jax.lax.stop_gradient(used))
    return y.astype(x.dtype)
