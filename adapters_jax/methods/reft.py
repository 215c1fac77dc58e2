"""ReFT: edits of hidden states in a low-rank subspace (Wu et al., 2024)."""

import dataclasses
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from adapters_jax.layers import activations
from adapters_jax.layers import dropout
from adapters_jax.methods import base


@dataclasses.dataclass(frozen=True)
class ReFT(base.Method):
  """z + (activation(W z + b) - R z) R at a text's first and last tokens.

  R [r, dim] has orthonormal rows for LoReft: its parameter is orthonormalised
  in each forward pass, so that weight decay and rounding cannot harm it (in the
  `adapters` library one step of AdamW makes it zero).

  Attributes:
    r: Rank.
    prefix_positions: First tokens to edit.
    suffix_positions: Last tokens to edit; they win where both meet.
    layers: Layers to edit after, None for all.
    leave_out: Layers not to edit after.
    orthogonality: Whether the rows of R are orthonormal.
    subtract_projection: Whether R z is subtracted; not in DiReft.
    tied_weights: Whether first and last tokens share one edit.
    dropout: Rate at the edited states.
    activation: One of parts.ACTIVATIONS.
  """
  r: int = 1
  prefix_positions: int = 3
  suffix_positions: int = 0
  layers: tuple[int, ...] | None = None
  leave_out: tuple[int, ...] = ()
  orthogonality: bool = True
  subtract_projection: bool = True
  tied_weights: bool = False
  dropout: float = 0.05
  activation: str = 'identity'

  kind: ClassVar[str] = 'layer'

  def __post_init__(self):
    base.demand(self.r >= 1, 'r', self.r, '1 or more')
    for name in ('prefix_positions', 'suffix_positions'):
      base.demand(getattr(self, name) >= 0, name, getattr(self, name),
                   '0 or more')
    base.demand_choice('activation', self.activation, activations.ACTIVATIONS)
    base.demand_rate('dropout', self.dropout)

  def applies(self, site: str, layer: int) -> bool:
    """Returns whether this method has a module at that place."""
    return (site == 'layer_output' and layer not in self.leave_out
            and (self.layers is None or layer in self.layers))

  def make(self, name: str, layer: int) -> nn.Module:
    """Returns the module of one layer."""
    return Edits(self, name=name)


class Edit(nn.Module):
  """The edit of every position alike."""
  config: ReFT

  @nn.compact
  def __call__(self, z: jax.Array, *, train: bool) -> jax.Array:
    """Returns the edited z [batch, rows, dim]."""
    config, dim = self.config, z.shape[-1]
    source = nn.Dense(
        config.r, kernel_init=base.uniform_fan_in, dtype=z.dtype,
        name='source')(z)
    source = activations.ACTIVATIONS[config.activation](source)
    init = (nn.initializers.orthogonal() if config.orthogonality
            else base.uniform_fan_in)
    projection = self.param('projection', init, (dim, config.r))
    if config.orthogonality:
      projection = orthonormal(projection)
    projection = projection.astype(z.dtype)
    if config.subtract_projection:
      source = source - z @ projection
    edited = z + source @ projection.T
    return dropout.Dropout(config.dropout)(edited, train=train)


class Edits(nn.Module):
  """The edits of a text's first and last tokens."""
  config: ReFT

  @nn.compact
  def __call__(
      self, z: jax.Array, *, mask: jax.Array, train: bool
  ) -> jax.Array:
    """Edits the output of a layer.

    Args:
      z: [batch, rows, dim] The first rows of it.
      mask: [batch, length] bool, False at padding; tokens stand together.
      train: Whether to drop out.

    Returns:
      [batch, rows, dim]
    """
    config = self.config
    positions = jnp.arange(z.shape[1])[None]  # [1, rows]
    start = jnp.argmax(mask, axis=1)[:, None]  # [batch, 1]
    end = start + jnp.sum(mask, axis=1, keepdims=True)
    first = (positions >= start) & (positions < start + config.prefix_positions)
    last = (positions >= end - config.suffix_positions) & (positions < end)
    edit = Edit(config, name='prefix')(z, train=train)
    out = jnp.where(first[:, :, None], edit, z)
    if not config.suffix_positions:
      return out
    if not config.tied_weights:
      edit = Edit(config, name='suffix')(z, train=train)
    return jnp.where(last[:, :, None], edit, out)


def orthonormal(matrix: jax.Array) -> jax.Array:
  """Returns orthonormal columns that span those of matrix [dim, r].

  What is orthonormal already stays as it is.
  """
  q, r = jnp.linalg.qr(matrix.astype(jnp.float32))
  return q * jnp.where(jnp.diagonal(r) < 0, -1.0, 1.0)


LOREFT = ReFT()
NOREFT = ReFT(orthogonality=False)
DIREFT = ReFT(orthogonality=False, subtract_projection=False)
