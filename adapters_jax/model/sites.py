"""The sites of the encoder where adapter methods act.

A compact module calls these functions and thereby gets the submodules
`adapter_<site>_<index of the method>`. The encoder knows no method, and no
method knows the encoder: both know the sites.
"""

from collections.abc import Callable
from collections.abc import Hashable
from collections.abc import Iterator
from collections.abc import Sequence
import dataclasses
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from adapters_jax import errors
from adapters_jax.methods import places

# One entry per method: the arrays that all its sites share, or None.
Shared = tuple[Any, ...]

# Those of a layer; the embeddings have their own.
SITES = tuple(dict.fromkeys(
    site for kind, sites in places.SITES_OF.items() if kind != 'embedding'
    for site in sites))


def needs_all_rows(configs: tuple[Any, ...]) -> bool:
  """Returns whether a method needs positions that the head does not read."""
  return any(config.needs_all_rows for config in configs)


def check_alike(
    configs: tuple[Any, ...], layers: int, adapted_from: int
) -> None:
  """Checks that a scan over the layers can hold the methods.

  Args:
    configs: The model's method configs.
    layers: Number of Transformer layers.
    adapted_from: Lowest layer with methods.

  Raises:
    ValueError: a method differs between layers.
  """
  for config in configs:
    same = all(
        config.applies(site, layer) == config.applies(site, 0)
        for site in SITES for layer in range(layers))
    # A scanned layer does not know its index: it would be that of layer 0.
    if not same or config.differs_by_layer or adapted_from:
      raise ValueError(
          f'scan: {type(config).__name__} is not the same in all layers')


def leaves_key(config: Any, layer: int) -> Hashable:
  """Returns a key that is equal in layers whose leaves have equal shapes.

  Args:
    config: The encoder's BertConfig.
    layer: Index of the layer.
  """
  methods = config.adapters if layer >= config.adapted_from else ()
  if any(method.differs_by_layer for method in methods):
    return layer
  return (config.pre_norm and not layer,  # Without the norm at its start.
          *(method.applies(site, layer) for method in methods
            for site in SITES))


def check_gate(configs: tuple[Any, ...], family: str) -> None:
  """Checks that no method is at the gate of a family without one.

  Args:
    configs: The model's method configs.
    family: Name of the family of encoders, for messages.

  Raises:
    errors.UserError: a method is at the gate.
  """
  if any('gate' in config.sites for config in configs):
    raise errors.UserError(
        f'`sites`: the feed-forward sublayers of {family} have no gate; '
        'ModernBERT\'s have; leave out gate')


def make_shared(shape: Any, *, train: bool) -> Shared:
  """Computes the arrays that the sites of a method share, once per call.

  Args:
    shape: The encoder's BertConfig.
    train: Whether to drop out.

  Returns:
    Shared arrays of each method, None where it has none.
  """
  shared = []
  for index, config in enumerate(shape.adapters):
    module = config.make_shared(f'adapter_shared_{index}')
    shared.append(None if module is None else module(shape, train=train))
  return tuple(shared)


def first_position(configs: tuple[Any, ...]) -> int:
  """Returns the index of the learned position of a text's first token."""
  return sum(config.position_shift for config in configs)


def embedding(
    site: str, configs: tuple[Any, ...], x: jax.Array, mask: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Adapts the embeddings; prompts lengthen them.

  Args:
    site: 'words', before positions are added, or 'embedding', after the norm.
    configs: The model's method configs, in order.
    x: [batch, length, dim] Embeddings.
    mask: [batch, length] bool, False at padding.

  Returns:
    (x, mask), longer by the prompts.
  """
  for index, config in enumerate(configs):
    if config.kind == 'embedding' and config.applies(site, 0):
      x, mask = config.make(f'adapter_{site}_{index}', 0)(x, mask)
  return x, mask


def text_rows(configs: tuple[Any, ...], length: int) -> np.ndarray:
  """Finds the tokens of a text among the positions of a prompt.

  Args:
    configs: The model's method configs.
    length: Number of tokens of the text.

  Returns:
    [length] int, position of each token in the hidden states.
  """
  # numpy: a constant at trace time. The order of insertion is that of `Bert`.
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
    configs: The model's method configs, in order.
    layer: Index of the layer.
    mask: [batch, length] bool, False at padding.
    shared: Shared arrays from `make_shared`.
    train: Whether to drop out.
  """
  configs: tuple[Any, ...]
  layer: int
  mask: jax.Array
  shared: Shared
  train: bool

  def _indices(self, kind: str, site: str) -> list[int]:
    """Returns the indices of the methods at a site.

    Args:
      kind: Kind of the methods, which is the hook that calls them.
      site: Name of the site.
    """
    return [index for index, config in enumerate(self.configs)
            if config.kind == kind and config.applies(site, self.layer)]

  def _at(self, kind: str, site: str) -> Iterator[tuple[Any, nn.Module, Any]]:
    """Yields (config, module, shared arrays) of each method at a site.

    Args:
      kind: Kind of the methods.
      site: Name of the site.
    """
    for index in self._indices(kind, site):
      config = self.configs[index]
      module = config.make(f'adapter_{site}_{index}', self.layer)
      yield config, module, self.shared[index]

  def linear(self, site: str, dense: nn.Module, x: jax.Array) -> jax.Array:
    """Applies a linear layer with its adapters.

    Args:
      site: One of methods.base.LINEARS.
      dense: The linear layer.
      x: [batch, length, in]

    Returns:
      [batch, length, out]
    """
    return self.linears(site, dense, [(x, self.mask)])[0]

  def linears(
      self, site: str, dense: nn.Module,
      inputs: Sequence[tuple[jax.Array, jax.Array]],
  ) -> list[jax.Array]:
    """Applies a linear layer with its adapters to several inputs.

    Args:
      site: One of methods.base.LINEARS.
      dense: The linear layer.
      inputs: ([batch, length, in] array, [batch, length] mask) pairs, with
        batches and lengths of their own.

    Returns:
      [batch, length, out] of each input.
    """
    xs, masks = zip(*inputs, strict=True)
    # Scale inputs first: low-rank updates read the scaled input too.
    for _, module, _ in self._at('input', site):
      xs = [module(x) for x in xs]
    ys = [dense(x) for x in xs]  # Creates its weights, arguments below.
    for _, module, shared in self._at('linear', site):
      ys = [module(x, y, weights=dense.variables['params'], mask=mask,
                   shared=shared, train=self.train)
            for x, y, mask in zip(xs, ys, masks, strict=True)]
    return ys

  def key_value(
      self, x: jax.Array, key: jax.Array, value: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Prepends prefixes to keys and values.

    Args:
      x: [batch, length, dim] Input of the attention.
      key: [batch, length, heads, head_dim]
      value: [batch, length, heads, head_dim]

    Returns:
      (key, value), longer by the prefixes.
    """
    for _, module, shared in self._at('key_value', 'key_value'):
      key, value = module(
          x, key, value, mask=self.mask, shared=shared, train=self.train)
    return key, value

  def sublayer(
      self, site: str, residual: jax.Array, update: jax.Array,
      norm: Callable[[jax.Array], jax.Array] | None,
  ) -> jax.Array:
    """Applies adapters, residual sum and layer norm at the end of a sublayer.

    Serial adapters read the update before the residual sum (Houlsby et al.,
    2019, figure 2). Methods differ in the place of sum and norm, so every
    adapter receives both, and the last adapter decides whether they follow.

    Args:
      site: 'attention_output' or 'ffn_output'.
      residual: [batch, length, dim] Input of the sublayer.
      update: [batch, length, dim] Output of the sublayer.
      norm: The sublayer's own layer norm, None where nothing follows the sum.

    Returns:
      [batch, length, dim]
    """
    close = True  # Without adapters: a plain post-norm sublayer.
    for config, module, shared in self._at('sublayer', site):
      update = module(
          update, residual=residual, norm=norm, mask=self.mask, shared=shared,
          train=self.train)
      close = config.original_ln_after
    if norm is None:  # `endings.check_pre_norm` has refused all others.
      return residual + update
    return norm(residual + update) if close else update

  def layer_output(self, x: jax.Array) -> jax.Array:
    """Adapts the output of a layer, [batch, rows, dim]."""
    for _, module, _ in self._at('layer', 'layer_output'):
      x = module(x, mask=self.mask, train=self.train)
    return x
