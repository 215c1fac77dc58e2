"""Bottleneck adapters (Houlsby et al., 2019, section 2.1)."""

import dataclasses
import functools

import flax.linen as nn
import jax

from adapters_jax import options

# All have f(0) = 0, so that zero-padding a bottleneck changes nothing.
ACTIVATIONS = {
    'gelu': functools.partial(nn.gelu, approximate=False),
    'gelu_tanh': functools.partial(nn.gelu, approximate=True),
    'relu': nn.relu,
    'tanh': nn.tanh,
    'swish': nn.swish,
    'identity': lambda x: x,
}

SITES = ('attention_output', 'ffn_output')


@dataclasses.dataclass(frozen=True)
class Bottleneck:
  """What a bottleneck adapter is and where it sits.

  Attributes:
    size: The bottleneck's width, m in the paper.
    init_scale: Standard deviation of the truncated normal initialisation of
      both kernels (cut at two deviations); the paper's sigma.
    activation: One of ACTIVATIONS.
    sites: Sublayers to adapt, of SITES.
    layers: Layers to adapt, None for all.
  """
  size: int = 64
  init_scale: float = 1e-2
  activation: str = 'gelu'
  sites: tuple[str, ...] = SITES
  layers: tuple[int, ...] | None = None

  def __post_init__(self):
    if self.size < 1:
      raise options.UserError(
          f'adapter_size: {self.size} is not a size; give 1 or more')
    if self.init_scale < 0:
      raise options.UserError(
          f'init_scale: {self.init_scale} is negative; it is a standard '
          'deviation')
    if self.activation not in ACTIVATIONS:
      raise options.unknown('activation', self.activation, ACTIVATIONS)
    for site in self.sites:
      if site not in SITES:
        raise options.unknown('adapter_sites', site, SITES)

  def applies(self, site: str, layer: int) -> bool:
    """Returns whether this method has a module at that place."""
    return site in self.sites and (self.layers is None or layer in self.layers)

  def make(self, name: str) -> nn.Module:
    """Returns the module of one site."""
    return BottleneckAdapter(self, name=name)


class BottleneckAdapter(nn.Module):
  """y + up(activation(down(y))), which starts close to the identity."""
  config: Bottleneck

  @nn.compact
  def __call__(self, y: jax.Array) -> jax.Array:
    """Adapts a sublayer's output.

    Args:
      y: [batch, length, dim] The output, before the residual sum and the norm.

    Returns:
      [batch, length, dim] The output to use in place of `y`.
    """
    kernel_init = nn.initializers.truncated_normal(self.config.init_scale)
    dense = functools.partial(
        nn.Dense, kernel_init=kernel_init, dtype=y.dtype)
    hidden = dense(self.config.size, name='down')(y)  # [batch, length, size]
    hidden = ACTIVATIONS[self.config.activation](hidden)
    return y + dense(y.shape[-1], name='up')(hidden)
