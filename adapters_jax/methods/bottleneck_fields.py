"""The fields of bottleneck adapters, and their checks."""

from collections.abc import Mapping, Sequence
import dataclasses
from typing import Any
from typing import Self

from adapters_jax import errors
from adapters_jax.layers import activations
from adapters_jax.methods import base
from adapters_jax.methods import places

SITES = places.SITES_OF['sublayer']
INITS = ('houlsby', 'bert', 'mam_adapter')
NORMS = ('', 'layer', 'batch')
# {field of serial adapters: the only value of parallel ones}
SERIAL = {
    'original_ln_before': False, 'residual_before_ln': True,
    'adapter_residual_before_ln': False, 'stochastic_depth': 0.0}


@dataclasses.dataclass(frozen=True)
class BottleneckFields(base.Method):
  """A bottleneck adapter and its place in a sublayer.

  x is the input of the sublayer, h its output, LN its own layer norm. Serial:
  `h = LN(h + x)` first if `original_ln_before`;
  `u = scaling * up(activation(down(h)))`; `out = u + r` with the residual r;
  `LN(out + x)` last if `original_ln_after`. Parallel: u is computed from x, and
  r is h; the fields in SERIAL have their defaults.

  Attributes:
    size: Width of the bottleneck, m in the paper; None for dim /
      reduction_factor.
    init_scale: Standard deviation of the 'houlsby' initialisation, sigma in the
      paper.
    activation: A name in layers.activations.
    sites: Sublayers to adapt, from SITES.
    layers: Layers with the method, None for all.
    leave_out: Layers without the method.
    reduction_factor: dim / size, or ((layer, factor), ...) with layers as
      strings and 'default' for all others.
    init: 'houlsby', a normal truncated at two deviations for both kernels;
      'bert', normal with 0.02; 'mam_adapter', uniform down, zero up.
    is_parallel: Whether to read x instead of h.
    scaling: A number, 'learned' (one) or 'channel' (one per feature).
    original_ln_before: Whether to read LN(h + x) instead of h.
    original_ln_after: Whether to apply LN at the end.
    residual_before_ln: Choice of r: h before LN (true), LN(h + x) (false) or
      h + x ('post_add').
    adapter_residual_before_ln: Whether to add r before the norm of ln_after.
    ln_before: Whether a new layer norm precedes `down`.
    ln_after: Whether a new layer norm follows `up`.
    use_gating: Whether a learned gate weighs u for each example.
    dropout: Dropout rate of u.
    stochastic_depth: Rate at which examples skip u in training.
    depth: Number of layers of `size` units, each activated. `down` is the
      first; each further layer reads its predecessor and starts equally small.
    inner_norm: Normalisation of each such layer before its activation, from
      NORMS: none, over the units of one position ('layer'), or of each unit
      over a batch ('batch').
    multiplicative: Whether u of a parallel adapter weighs h: out = h + u * h.

  The last three are variants from the paper's section 3.6, which does not say
  where in the adapter they act; this implementation chooses the places.
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

  choices = {
      'activation': activations.ACTIVATIONS, 'sites': SITES, 'init': INITS,
      'scaling': ('learned', 'channel'), 'residual_before_ln': ('post_add',),
      'inner_norm': NORMS}
  training_fields = ('init_scale', 'init', 'dropout', 'stochastic_depth')

  def __post_init__(self):
    super().__post_init__()
    base.demand(self.size is None or self.size >= 1, 'size', self.size,
                '1 or more')
    base.demand(self.init_scale >= 0, 'init_scale', self.init_scale,
                'a standard deviation, 0 or more')
    for factor in dict(self._factors).values():
      base.demand(factor > 0, 'reduction_factor', factor, 'more than 0')
    for name, value in SERIAL.items():
      base.demand(
          not self.is_parallel or getattr(self, name) == value, name,
          getattr(self, name),
          f'{value!r} with is_parallel=True, where it has no effect')
    if isinstance(self.residual_before_ln, str):
      base.demand(
          self.original_ln_before, 'residual_before_ln', 'post_add',
          'original_ln_before=True with it')
    base.demand_rate('dropout', self.dropout)
    base.demand_rate('stochastic_depth', self.stochastic_depth)
    base.demand(self.depth >= 1, 'depth', self.depth, '1 or more')
    base.demand(self.is_parallel or not self.multiplicative,
                'multiplicative', True, 'is_parallel=True with it')

  @property
  def _factors(self) -> tuple[tuple[str, float], ...]:
    if isinstance(self.reduction_factor, tuple):
      return self.reduction_factor
    return (('default', self.reduction_factor),)

  @property
  def named_layers(self) -> dict[str, Sequence[int | str]]:
    factors = [key for key, _ in self._factors if key != 'default']
    return {**super().named_layers, 'reduction_factor': factors}

  @property
  def differs_by_layer(self) -> bool:
    return self.size is None and bool(self.named_layers['reduction_factor'])

  @property
  def needs_all_rows(self) -> bool:
    # The gate and the batch's statistics are means over all tokens.
    return self.use_gating or self.needs_whole_batch

  @property
  def needs_whole_batch(self) -> bool:
    return self.inner_norm == 'batch'

  def effective(self, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns fields with the defaults of those that parallel adapters ignore.

    Args:
      fields: {field: value} to change, and perhaps other entries.
    """
    parallel = fields.get('is_parallel', self.is_parallel)
    return {**fields, **SERIAL} if parallel else dict(fields)

  def for_predictions(self, dim: int) -> Self:
    """Returns the method that predicts the same, with its size as a number.

    Args:
      dim: Width of the hidden states, which a factor divides.
    """
    found = super().for_predictions(dim)
    if self.differs_by_layer:
      return found
    return dataclasses.replace(
        found, size=self.width(dim, 0),
        reduction_factor=BottleneckFields.reduction_factor)

  def width(self, dim: int, layer: int) -> int:
    """Returns the width of a layer's bottleneck.

    Args:
      dim: Width of the hidden states.
      layer: Index of the layer.

    Raises:
      errors.UserError: no factor for the layer.
    """
    if self.size is not None:
      return self.size
    factors = dict(self._factors)
    factor = factors.get(str(layer), factors.get('default'))
    if factor is None:
      raise errors.UserError(
          f'`reduction_factor`: there is none for layer {layer}, nor a '
          "'default'")
    return max(1, int(dim // factor))
