"""The one place where adapter methods meet the sites of the model.

Everything here is called inside a compact module, whose parameters then hold
`adapter_<site>_<index of the config>`.
"""

from collections.abc import Callable
from collections.abc import Iterator
import dataclasses
from typing import Any

import flax.linen as nn
import jax
import numpy as np

# What the sites of each method share, None for methods that share nothing.
Shared = tuple[Any, ...]

SITES = ('query', 'key', 'value', 'key_value', 'attention_output',
         'intermediate', 'ffn_output', 'layer_output')


def needs_all_rows(configs: tuple[Any, ...]) -> bool:
  """Returns whether the last layer must compute what no head reads."""
  return any(config.needs_all_rows for config in configs)


def check_alike(configs: tuple[Any, ...], layers: int) -> None:
  """Raises ValueError unless a loop over the layers can hold the methods."""
  for config in configs:
    same = all(
        config.applies(site, layer) == config.applies(site, 0)
        for site in SITES for layer in range(layers))
    if not same or config.kind == 'key_value':
      raise ValueError(
          f'scan: {type(config).__name__} is not the same in all layers')


def make_shared(shape: Any, *, train: bool) -> Shared:
  """Returns what the sites of each of the encoder's methods share.

  Args:
    shape: The encoder's BertConfig.
    train: Whether to drop out.
  """
  shared = []
  for index, config in enumerate(shape.adapters):
    module = config.make_shared(f'adapter_shared_{index}')
    shared.append(None if module is None else module(shape, train=train))
  return tuple(shared)


def first_position(configs: tuple[Any, ...]) -> int:
  """Returns the number of a text's first position."""
  return sum(config.position_shift for config in configs)


def embedding(
    site: str, configs: tuple[Any, ...], x: jax.Array, mask: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Adapts what enters the encoder; prompts lengthen it.

  Args:
    site: 'words', before positions are added, or 'embedding', after the norm.
    configs: The model's adapter methods, in order.
    x: [batch, length, dim] The embedded text.
    mask: [batch, length] bool, False at padding.

  Returns:
    Both, perhaps longer.
  """
  for index, config in enumerate(configs):
    if config.kind == 'embedding' and config.applies(site, 0):
      x, mask = config.make(f'adapter_{site}_{index}', 0)(x, mask)
  return x, mask


def text_rows(configs: tuple[Any, ...], length: int) -> np.ndarray:
  """Returns [length] where a text's positions are among those of a prompt."""
  rows = np.arange(length)
  for site in ('words', 'embedding'):
    for config in configs:
      if config.kind == 'embedding' and config.applies(site, 0):
        rows = config.moved(rows)
  return rows


@dataclasses.dataclass(frozen=True)
class Sites:
  """The sites of one layer.

  Attributes:
    configs: The model's adapter methods, in order.
    layer: The layer's number.
    mask: [batch, length] bool, False at padding.
    shared: Of `make_shared`.
    train: Whether to drop out.
  """
  configs: tuple[Any, ...]
  layer: int
  mask: jax.Array
  shared: Shared
  train: bool

  def _at(self, kind: str, site: str) -> Iterator[tuple[Any, nn.Module, Any]]:
    """Yields (config, its module, what it shares) of the methods at a site."""
    for index, config in enumerate(self.configs):
      if config.kind == kind and config.applies(site, self.layer):
        module = config.make(f'adapter_{site}_{index}', self.layer)
        yield config, module, self.shared[index]

  def linear(self, site: str, dense: nn.Module, x: jax.Array) -> jax.Array:
    """Applies a linear layer and what adapts it.

    Args:
      site: One of methods.parts.LINEARS.
      dense: The linear layer, to [..., out].
      x: [batch, length, in]

    Returns:
      [batch, length, out]
    """
    for _, module, _ in self._at('input', site):
      x = module(x)
    y = dense(x)
    for _, module, shared in self._at('linear', site):
      y = module(x, y, weights=dense.variables['params'], mask=self.mask,
                 shared=shared, train=self.train)
    return y

  def key_value(
      self, x: jax.Array, key: jax.Array, value: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Puts prefixes before keys and values.

    Args:
      x: [batch, length, dim] What the attention reads.
      key: [batch, length, heads, head_dim]
      value: [batch, length, heads, head_dim]

    Returns:
      key and value, perhaps with more positions at their beginning.
    """
    for _, module, shared in self._at('key_value', 'key_value'):
      key, value = module(
          x, key, value, mask=self.mask, shared=shared, train=self.train)
    return key, value

  def sublayer(
      self, site: str, residual: jax.Array, update: jax.Array,
      norm: Callable[[jax.Array], jax.Array],
  ) -> jax.Array:
    """Closes a sublayer: adapters, the residual sum and the layer norm.

    Serial adapters read the update before the skip connection is added (Houlsby
    et al., 2019, figure 2). The last one says whether the layer norm follows.

    Args:
      site: 'attention_output' or 'ffn_output'.
      residual: [batch, length, dim] What entered the sublayer.
      update: [batch, length, dim] What the sublayer made of it.
      norm: The sublayer's own layer norm.

    Returns:
      [batch, length, dim]
    """
    close = True
    for config, module, shared in self._at('sublayer', site):
      update = module(
          update, residual=residual, norm=norm, mask=self.mask, shared=shared,
          train=self.train)
      close = config.original_ln_after
    return norm(residual + update) if close else update

  def layer_output(self, x: jax.Array) -> jax.Array:
    """Edits the output of a layer, [batch, rows, dim]."""
    for _, module, _ in self._at('layer', 'layer_output'):
      x = module(x, mask=self.mask, train=self.train)
    return x
