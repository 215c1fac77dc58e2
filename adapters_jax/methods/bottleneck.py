"""Bottleneck adapters (Houlsby et al., 2019, section 2.1) and their variants.

The variants differ in where they read, and in where the residual sum and the
layer norm go (Pfeiffer et al., 2021; He et al., 2022; Steitz and Roth, 2024).
"""

from collections.abc import Callable
import dataclasses
from typing import Any
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from adapters_jax import errors
from adapters_jax.layers import activations
from adapters_jax.layers import batch_norm
from adapters_jax.layers import dense
from adapters_jax.layers import dropout
from adapters_jax.methods import base

SITES = ('attention_output', 'ffn_output')
INITS = ('houlsby', 'bert', 'mam_adapter')
NORMS = ('', 'layer', 'batch')

_NORM_EPSILON = 1e-5  # Of the norms inside an adapter.


@dataclasses.dataclass(frozen=True)
class Bottleneck(base.Method):
  """What a bottleneck adapter is and where it sits.

  x is what entered the sublayer, h what the sublayer made of it, LN its own
  layer norm. Serial: `h = LN(h + x)` first if `original_ln_before`;
  `u = scaling * up(activation(down(h)))`; `out = u + r` with the residual r;
  `LN(out + x)` last if `original_ln_after`. Parallel: u is computed from x, and
  r is h.

  Attributes:
    size: The bottleneck's width, m in the paper; None for dim /
      reduction_factor.
    init_scale: Standard deviation of the 'houlsby' initialisation; the paper's
      sigma.
    activation: One of parts.ACTIVATIONS.
    sites: Sublayers to adapt, of SITES.
    layers: Layers to adapt, None for all.
    leave_out: Layers not to adapt.
    reduction_factor: dim / size, or ((layer, factor), ...) with the layer a
      string, 'default' for the others.
    init: 'houlsby', a truncated normal cut at two deviations for both kernels;
      'bert', normal with 0.02; 'mam_adapter', uniform down, zero up.
    is_parallel: Whether x is read instead of h.
    scaling: A number, 'learned' (one) or 'channel' (one a feature).
    original_ln_before: Whether LN(h + x) is read instead of h.
    original_ln_after: Whether the layer norm is applied at the end.
    residual_before_ln: Whether r is h before LN (true), LN(h + x) (false) or
      h + x ('post_add').
    adapter_residual_before_ln: Whether r is added before the norm of ln_after.
    ln_before: Whether a new layer norm precedes `down`.
    ln_after: Whether a new layer norm follows `up`.
    use_gating: Whether each example weighs u with a learned gate.
    dropout: Rate at u.
    stochastic_depth: Rate at which examples skip u in training.
    depth: Layers of `size` units, each activated: `down` is the first, each
      other one reads the one before. They begin as small as `down`.
    inner_norm: Of NORMS, what normalises the units of each such layer before
      its activation: nothing, their mean and variance in one position
      ('layer'), or those of each unit over a batch ('batch').
    multiplicative: Whether u, of a parallel adapter, weighs h: out = h + u * h.

  The last three are variants of the paper's section 3.6, which names them
  without saying where in the adapter they are; these are our readings.
  """
  size: int | None = 64
  init_scale: float = 1e-2
  activation: str = 'gelu'
  sites: tuple[str, ...] = SITES
  layers: tuple[int, ...] | None = None
  leave_out: tuple[int, ...] = ()
  reduction_factor: float | tuple[tuple[str, float], ...] = 16
  init: str = 'houlsby'
  is_parallel: bool = False
  scaling: float | str = 1.0
  original_ln_before: bool = False
  original_ln_after: bool = True
  residual_before_ln: bool | str = True
  adapter_residual_before_ln: bool = False
  ln_before: bool = False
  ln_after: bool = False
  use_gating: bool = False
  dropout: float = 0.0
  stochastic_depth: float = 0.0
  depth: int = 1
  inner_norm: str = ''
  multiplicative: bool = False

  kind: ClassVar[str] = 'sublayer'

  def __post_init__(self):
    if self.size is not None and self.size < 1:
      raise errors.UserError(
          f'adapter_size: {self.size} is not a size; give 1 or more')
    if self.init_scale < 0:
      raise errors.UserError(
          f'init_scale: {self.init_scale} is negative; it is a standard '
          'deviation')
    base.demand_choice('activation', self.activation, activations.ACTIVATIONS)
    for site in self.sites:
      base.demand_choice('adapter_sites', site, SITES)
    base.demand_choice('init', self.init, INITS)
    for factor in dict(self._factors).values():
      base.demand(factor > 0, 'reduction_factor', factor, 'more than 0')
    if isinstance(self.scaling, str):
      base.demand_choice('scaling', self.scaling, ('learned', 'channel'))
    if isinstance(self.residual_before_ln, str):
      base.demand_choice(
          'residual_before_ln', self.residual_before_ln, ('post_add',))
      base.demand(
          self.original_ln_before, 'residual_before_ln', 'post_add',
          'original_ln_before=True with it')
    base.demand_rate('dropout', self.dropout)
    base.demand_rate('stochastic_depth', self.stochastic_depth)
    base.demand(self.depth >= 1, 'depth', self.depth, '1 or more')
    base.demand_choice('inner_norm', self.inner_norm, NORMS)
    base.demand(self.is_parallel or not self.multiplicative,
                 'multiplicative', True, 'is_parallel=True with it')

  @property
  def _factors(self) -> tuple[tuple[str, float], ...]:
    if isinstance(self.reduction_factor, tuple):
      return self.reduction_factor
    return (('default', self.reduction_factor),)

  @property
  def needs_all_rows(self) -> bool:
    return self.use_gating or self.needs_whole_batch

  @property
  def needs_whole_batch(self) -> bool:
    return self.inner_norm == 'batch'

  def with_fields(self, **fields: Any) -> 'Bottleneck':
    """Returns the config with some fields changed; a new factor sets size."""
    if 'reduction_factor' in fields:
      fields = {'size': None, **fields}
    return dataclasses.replace(self, **fields)

  def width(self, dim: int, layer: int) -> int:
    """Returns the width of a layer's bottleneck."""
    if self.size is not None:
      return self.size
    factors = dict(self._factors)
    factor = factors.get(str(layer), factors.get('default'))
    if factor is None:
      raise errors.UserError(
          f"reduction_factor: there is none for layer {layer}, nor a 'default'")
    return max(1, int(dim // factor))

  def applies(self, site: str, layer: int) -> bool:
    """Returns whether this method has a module at that place."""
    return (site in self.sites and layer not in self.leave_out
            and (self.layers is None or layer in self.layers))

  def make(self, name: str, layer: int) -> nn.Module:
    """Returns the module of one site."""
    return BottleneckAdapter(self, layer, name=name)

  def project(
      self, x: jax.Array, features: int, name: str, shared: Any
  ) -> jax.Array:
    """Returns one layer, of the module at hand, of x [..., dim]."""
    del shared
    init = {
        'houlsby': nn.initializers.truncated_normal(self.init_scale),
        'bert': nn.initializers.normal(0.02),
        'mam_adapter': (nn.initializers.zeros if name == 'up'
                        else base.uniform_fan_in),
    }[self.init]
    return nn.Dense(
        features, kernel_init=init, dtype=x.dtype, name=name,
        dot_general=dense.dot_general)(x)


class BottleneckAdapter(nn.Module):
  """y + up(activation(down(y))), which starts close to the identity."""
  config: Bottleneck
  layer: int

  @nn.compact
  def __call__(
      self, update: jax.Array, *, residual: jax.Array,
      norm: Callable[[jax.Array], jax.Array], mask: jax.Array, shared: Any,
      train: bool,
  ) -> jax.Array:
    """Adapts a sublayer's output.

    Args:
      update: [batch, length, dim] The output, before the residual sum and the
        norm; h above.
      residual: [batch, length, dim] What entered the sublayer; x above.
      norm: The sublayer's own layer norm.
      mask: [batch, length] bool, False at padding.
      shared: What `make_shared` gave.
      train: Whether to drop out.

    Returns:
      [batch, length, dim] The output to use in place of `update`.
    """
    config = self.config
    inputs, skip = residual, update
    if not config.is_parallel:
      inputs, skip = self._serial_input(update, residual, norm)
    hidden = inputs
    if config.ln_before:
      hidden = self._norm('norm_before', hidden.dtype)(hidden)
    dim = inputs.shape[-1]
    for index in range(config.depth):
      suffix = f'_{index}' if index else ''
      hidden = config.project(
          hidden, config.width(dim, self.layer), f'down{suffix}', shared)
      hidden = self._inner_norm(hidden, f'inner_norm{suffix}', mask, train)
      hidden = activations.ACTIVATIONS[config.activation](hidden)
    out = config.project(hidden, dim, 'up', shared)
    out = self._scale(out, train)
    if config.use_gating:
      out = out * base.Gate(name='gating')(inputs, mask)
    if config.multiplicative:
      out = out * update
    if not config.ln_after:
      return skip + out
    close = self._norm('norm_after', out.dtype)
    if config.adapter_residual_before_ln and not config.is_parallel:
      return close(skip + out)
    return skip + close(out)

  def _serial_input(self, update, residual, norm):
    """Returns what a serial adapter reads, and its residual."""
    config = self.config
    skip = update
    if config.original_ln_before:
      update = update + residual
      if config.residual_before_ln == 'post_add':
        skip = update
      update = norm(update)
    if config.residual_before_ln is False:
      skip = update
    return update, skip

  def _scale(self, out, train):
    """Applies scaling, stochastic depth and dropout, each if asked for."""
    config = self.config
    if isinstance(config.scaling, str):
      shape = (1,) if config.scaling == 'learned' else out.shape[-1:]
      out = out * self.param(
          'scaling', nn.initializers.ones, shape).astype(out.dtype)
    elif config.scaling != 1:
      out = out * config.scaling
    if config.stochastic_depth and not config.is_parallel:
      rows = jnp.ones((out.shape[0], 1, 1), out.dtype)
      out = out * dropout.Dropout(config.stochastic_depth)(rows, train=train)
    return dropout.Dropout(config.dropout)(out, train=train)

  def _inner_norm(self, hidden, name, mask, train):
    """Normalises the units of one layer, [batch, length, size]."""
    kind = self.config.inner_norm
    if kind == 'layer':
      return self._norm(name, hidden.dtype)(hidden)
    if kind == 'batch':
      module = batch_norm.BatchNorm(_NORM_EPSILON, name=name)
      return module(hidden, mask[:, :hidden.shape[1]], train=train)
    return hidden

  def _norm(self, name, dtype):
    return nn.LayerNorm(
        epsilon=_NORM_EPSILON, dtype=dtype, name=name, use_fast_variance=False)


SEQ_BN = Bottleneck(
    size=None, reduction_factor=16, activation='relu', init='bert',
    sites=('ffn_output',), original_ln_before=True)
DOUBLE_SEQ_BN = Bottleneck(
    size=None, reduction_factor=16, activation='swish', init='bert')
PAR_BN = Bottleneck(
    size=None, reduction_factor=2, activation='relu', init='mam_adapter',
    sites=('ffn_output',), is_parallel=True, scaling=4.0)
ADAPTER_PLUS = Bottleneck(
    size=None, reduction_factor=96, activation='gelu', init='houlsby',
    sites=('ffn_output',), original_ln_before=True, original_ln_after=False,
    residual_before_ln=False, scaling='channel', stochastic_depth=0.1)
