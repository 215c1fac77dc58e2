"""VeRA: scales of a frozen random projection (Kopiczko et al., 2024)."""

from collections.abc import Mapping
import dataclasses
from typing import Any
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from adapters_jax.layers import dropout
from adapters_jax.methods import base


@dataclasses.dataclass(frozen=True)
class VeRA(base.Method):
  """y + scale * b * ((d * (x @ A)) @ B), A and B random and never trained.

  All sites share A and B; a site narrower than the widest reads its first rows
  and columns.

  Attributes:
    r: Rank.
    alpha: scale is alpha / r.
    sites: Linear layers to adapt, of parts.LINEARS.
    leave_out: Layers not to adapt.
    dropout: Rate at x.
    vera_d: What the entries of d start at.
    vera_b: What the entries of b start at.
    use_gating: Whether a learned gate takes the place of scale.
    dense: Whether d and b are whole matrices, of which those are the diagonals:
      what the `adapters` library computes; for its files.
  """
  r: int = 8
  alpha: float = 8
  sites: tuple[str, ...] = ('query', 'value')
  leave_out: tuple[int, ...] = ()
  dropout: float = 0.0
  vera_d: float = 0.1
  vera_b: float = 0.0
  use_gating: bool = False
  dense: bool = False

  kind: ClassVar[str] = 'linear'

  def __post_init__(self):
    base.demand(self.r >= 1, 'r', self.r, '1 or more')
    base.demand_sites(self.sites, base.LINEARS)
    base.demand_rate('dropout', self.dropout)

  @property
  def needs_all_rows(self) -> bool:
    return self.use_gating

  def applies(self, site: str, layer: int) -> bool:
    """Returns whether this method has a module at that place."""
    return site in self.sites and layer not in self.leave_out

  def make(self, name: str, layer: int) -> nn.Module:
    """Returns the module of one site."""
    del layer
    return VeRAUpdate(self, name=name)

  def make_shared(self, name: str) -> nn.Module:
    """Returns the module of the random projections."""
    return Projections(self, name=name)


class Projections(nn.Module):
  """The random projections of all sites."""
  config: VeRA

  @nn.compact
  def __call__(self, shape: Any, *, train: bool) -> dict[str, jax.Array]:
    """Returns 'a' [widest in, r] and 'b' [r, widest out]."""
    del train
    sites, rank = self.config.sites, self.config.r
    reads = [shape.ffn_dim if s == 'ffn_output' else shape.dim for s in sites]
    writes = [
        shape.ffn_dim if s == 'intermediate' else shape.dim for s in sites]
    a = self.param('fixed_a', base.uniform_he, (max(reads), rank))
    b = self.param('fixed_b', base.uniform_he, (rank, max(writes)))
    return jax.lax.stop_gradient({'a': a, 'b': b})


class VeRAUpdate(nn.Module):
  """A scaled random update of the output of a linear layer."""
  config: VeRA

  @nn.compact
  def __call__(
      self, x: jax.Array, y: jax.Array, *, weights: Mapping[str, jax.Array],
      mask: jax.Array, shared: dict[str, jax.Array], train: bool,
  ) -> jax.Array:
    """Returns y [batch, length, out] updated from x [batch, length, in].

    Args:
      x: [batch, length, in] What the layer reads.
      y: [batch, length, out] What it made of it.
      weights: Not looked at.
      mask: [batch, length] bool, False at padding.
      shared: The random projections.
      train: Whether to drop out.
    """
    del weights
    config = self.config
    inputs, outputs = x.shape[-1], y.shape[-1]
    shared = jax.tree.map(lambda leaf: leaf.astype(x.dtype), shared)
    dropped = dropout.Dropout(config.dropout)(x, train=train)
    hidden = self._weigh('d', dropped @ shared['a'][:inputs], config.vera_d)
    delta = self._weigh('b', hidden @ shared['b'][:, :outputs], config.vera_b)
    if config.use_gating:
      return y + delta * base.Gate(name='gating')(x, mask)
    return y + delta * (config.alpha / config.r)

  def _weigh(self, name, values, start):
    """Returns values [..., width] times a vector, or a matrix if dense."""
    width = values.shape[-1]
    if self.config.dense:
      matrix = self.param(name, lambda _: start * jnp.eye(width))
      return values @ matrix.astype(values.dtype)
    vector = self.param(name, nn.initializers.constant(start), (width,))
    return values * vector.astype(values.dtype)
