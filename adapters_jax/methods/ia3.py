"""IA3: learned scales of activations (Liu et al., 2022)."""

from collections.abc import Mapping
import dataclasses
from typing import Any
from typing import ClassVar

import flax.linen as nn
import jax

from adapters_jax.methods import base


@dataclasses.dataclass(frozen=True)
class IA3(base.Method):
  """alpha * scale * y, for the output y of a linear layer, its bias included.

  At 'intermediate' it scales what enters the feed-forward activation, as the
  `adapters` library does. The paper (and PEFT) scale what leaves it: that is
  `IA3Inputs` at 'ffn_output'.

  Attributes:
    sites: Linear layers to scale, of parts.LINEARS.
    alpha: A constant factor.
    leave_out: Layers not to adapt.
    use_gating: Whether a learned gate takes the place of alpha.
  """
  sites: tuple[str, ...] = ('key', 'value', 'intermediate')
  alpha: float = 1
  leave_out: tuple[int, ...] = ()
  use_gating: bool = False

  kind: ClassVar[str] = 'linear'

  def __post_init__(self):
    base.demand_sites(self.sites, base.LINEARS)

  @property
  def needs_all_rows(self) -> bool:
    return self.use_gating

  def applies(self, site: str, layer: int) -> bool:
    """Returns whether this method has a module at that place."""
    return site in self.sites and layer not in self.leave_out

  def make(self, name: str, layer: int) -> nn.Module:
    """Returns the module of one site."""
    del layer
    return ScaleOutput(self, name=name)


@dataclasses.dataclass(frozen=True)
class IA3Inputs(IA3):
  """scale * x, for the input x of a linear layer.

  Attributes:
    sites: Linear layers whose input is scaled, of parts.LINEARS.
  """
  sites: tuple[str, ...] = ('ffn_output',)

  kind: ClassVar[str] = 'input'

  def __post_init__(self):
    super().__post_init__()
    base.demand(
        not self.use_gating, 'use_gating', True, 'ia3 a gate, not ia3_inputs')

  def make(self, name: str, layer: int) -> nn.Module:
    """Returns the module of one site."""
    del layer
    return ScaleInput(self, name=name)


class ScaleInput(nn.Module):
  """Multiplies each feature with a learned number, 1 at first."""
  config: IA3

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Returns x [batch, length, in] scaled."""
    scale = self.param('scale', nn.initializers.ones, x.shape[-1:])
    return x * (self.config.alpha * scale).astype(x.dtype)


class ScaleOutput(nn.Module):
  """The same at the output of a linear layer."""
  config: IA3

  @nn.compact
  def __call__(
      self, x: jax.Array, y: jax.Array, *, weights: Mapping[str, jax.Array],
      mask: jax.Array, shared: Any, train: bool,
  ) -> jax.Array:
    """Returns y [batch, length, out] scaled.

    Args:
      x: [batch, length, in] What the layer reads; a gate does too.
      y: [batch, length, out] What it made of it.
      weights: Not looked at.
      mask: [batch, length] bool, False at padding.
      shared: Nothing.
      train: Not looked at.
    """
    del weights, shared, train
    scale = self.param('scale', nn.initializers.ones, y.shape[-1:])
    if self.config.use_gating:
      gate = base.Gate(name='gating')(x, mask)
      return y * scale.astype(y.dtype) * gate
    return y * (self.config.alpha * scale).astype(y.dtype)
