"""The gate of an update, as in UniPELT."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from adapters_jax.layers import parameters


class Gate(nn.Module):
  """A weight in (0, 1) for the update of each example.

  UniPELT's gate (Mao et al., 2022, section 3.2): the mean over positions of a
  sigmoid. AdapterHub averages over padding too, so that its result depends on
  the batch; this gate averages over tokens.

  Attributes:
    outputs: Number of gates of each example.
  """
  outputs: int = 1

  @nn.compact
  def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
    """Computes the gates.

    Args:
      x: [batch, length, dim] Hidden states.
      mask: [batch, length] bool, False at padding.

    Returns:
      [batch, 1, outputs]
    """
    gates = nn.sigmoid(parameters.Dense(
        self.outputs, dtype=x.dtype, name='gate',
        kernel_init=nn.initializers.normal(0.02))(x))
    weights = mask[:, :, None].astype(x.dtype)
    # At least 1, so that an example of padding alone does not divide by zero.
    tokens = jnp.maximum(jnp.sum(weights, axis=1, keepdims=True), 1)
    return jnp.sum(gates * weights, axis=1, keepdims=True) / tokens
