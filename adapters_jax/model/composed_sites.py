"""The sites of a layer where the methods form a tree instead of a sequence."""

from collections.abc import Callable
import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from adapters_jax import errors
from adapters_jax.methods import bottleneck_module
from adapters_jax.model import composition
from adapters_jax.model import fusion
from adapters_jax.model import sites as sites_lib


def make(
    config: Any, layer: int, mask: jax.Array, shared: sites_lib.Shared,
    train: bool,
) -> sites_lib.Sites:
  """Returns the sites of a layer.

  Args:
    config: The encoder's BertConfig.
    layer: Index of the layer.
    mask: [batch, length] bool, False at padding.
    shared: Shared arrays from `sites.make_shared`.
    train: Whether to drop out.
  """
  # Below, no module is made: neither computed nor differentiated.
  methods = config.adapters if layer >= config.adapted_from else ()
  if config.composition is None or not methods:
    return sites_lib.Sites(methods, layer, mask, shared, train)
  return ComposedSites(methods, layer, mask, shared, train, config.composition)


@dataclasses.dataclass(frozen=True)
class ComposedSites(sites_lib.Sites):
  """The sites of one layer, with a tree of methods.

  Attributes:
    tree: Result of `setups.resolve`.
  """
  tree: Any

  def _indices(self, kind: str, site: str, part: composition.Part):
    """Returns the indices of a part's methods at a site."""
    return [index for index in range(part.start, part.stop)
            if self.configs[index].kind == kind
            and self.configs[index].applies(site, self.layer)]

  def _of(self, kind: str, site: str, part: composition.Part):
    """Yields (config, module, shared arrays) of a part's methods at a site."""
    for index in self._indices(kind, site, part):
      config = self.configs[index]
      module = config.make(f'adapter_{site}_{index}', self.layer)
      yield config, module, self.shared[index]

  def linear(self, site: str, dense: nn.Module, x: jax.Array) -> jax.Array:
    """Applies a linear layer with its adapters; see `Sites.linear`.

    Args:
      site: One of methods.base.LINEARS.
      dense: The linear layer.
      x: [batch, length, in]

    Returns:
      [batch, length, out]
    """

    def scale(part, x, mask):
      del mask
      for _, module, _ in self._of('input', site, part):
        x = module(x)
      return x

    # `setups.check` has made sure that a mean of inputs has no other reader.
    x = _walk(self.tree, scale, x, self.mask)
    y = dense(x)  # Creates its weights, which are arguments below.

    def adapt(part, y, mask, x):
      for _, module, shared in self._of('linear', site, part):
        y = module(x, y, weights=dense.variables['params'], mask=mask,
                   shared=shared, train=self.train)
      return y

    return _walk(self.tree, adapt, y, self.mask, x)

  def sublayer(
      self, site: str, residual: jax.Array, update: jax.Array,
      norm: Callable[[jax.Array], jax.Array] | None,
  ) -> jax.Array:
    """Ends a sublayer; see `Sites.sublayer`.

    Args:
      site: 'attention_output' or 'ffn_output'.
      residual: [batch, length, dim] Input of the sublayer.
      update: [batch, length, dim] Output of the sublayer.
      norm: The sublayer's own layer norm, None where nothing follows the sum.

    Returns:
      [batch, length, dim]
    """

    def adapt(part, update, mask, residual):
      for _, module, shared in self._of('sublayer', site, part):
        update = module(
            update, residual=residual, norm=norm, mask=mask, shared=shared,
            train=self.train)
      return update

    def fuse(node, update, mask, residual):
      return self._fused(node, site, residual, update, norm, mask)

    update = _walk(self.tree, adapt, update, self.mask, residual, fuse=fuse)
    close = self._closes(site, self.tree)
    if norm is None:
      return residual + update
    return update if close is False else norm(residual + update)

  def _closes(self, site: str, node: Any) -> bool | None:
    """Returns whether a sum and norm follow; None without adapters."""
    if isinstance(node, composition.Part):
      found = [self.configs[index].original_ln_after
               for index in self._indices('sublayer', site, node)]
      return found[-1] if found else None
    found = [self._closes(site, member) for member in node.members]
    known = [one for one in found if one is not None]
    if isinstance(node, (composition.Stack, composition.Fuse)):
      return known[-1] if known else None
    if False in known and (True in known or None in found):
      raise errors.UserError(
          f'{node.word}: one of its members ends without the layer norm '
          '(original_ln_after=False), another with it; give stack or parallel')
    return known[0] if known else None

  def _fused(self, node, site, residual, update, norm, mask):
    """Returns the update with the fused ones of the members added."""
    updates, last = [], None
    for member in node.members:
      total, current = None, update
      inner = getattr(member, 'members', (member,))
      for part in inner:
        for config, module, shared in self._of('sublayer', site, part):
          out = module(
              current, residual=residual, norm=norm, mask=mask, shared=shared,
              train=self.train, alone=True)
          # In a stack the next one adapts the sum.
          current = current + out
          total = out if total is None else total + out
          last = config
      if total is not None:
        updates.append(total)
    if not updates:
      return update
    query, skip = bottleneck_module.entry(last, update, residual, norm)
    if node.query_before_ln and not last.is_parallel:
      query = update
    mixed = fusion.AdapterFusion(
        node, name=f'adapter_fusion_{site}_{node.index}')(
            query, jnp.stack(updates, axis=2), train=self.train)
    return skip + mixed

  def layer_output(self, x: jax.Array) -> jax.Array:
    """Adapts the output of a layer, [batch, rows, dim]."""

    def adapt(part, x, mask):
      for _, module, _ in self._of('layer', 'layer_output', part):
        x = module(x, mask=mask, train=self.train)
      return x

    return _walk(self.tree, adapt, x, self.mask)


def _walk(
    node: Any, adapt: Callable[..., jax.Array], y: jax.Array, mask: jax.Array,
    *inputs: jax.Array, fuse: Callable[..., jax.Array] | None = None,
) -> jax.Array:
  """Applies a tree to an output.

  Args:
    node: Tree, or a part of it.
    adapt: (part, y, mask, *inputs) -> y.
    y: [batch, rows, out] Output to adapt.
    mask: [batch, length] bool; the rows may be the first of these positions.
    *inputs: [batch, rows, in] each.
    fuse: (Fuse, y, mask, *inputs) -> y; None where a Fuse changes nothing.

  Returns:
    [batch, rows, out]
  """
  if isinstance(node, composition.Part):
    return adapt(node, y, mask, *inputs)
  if isinstance(node, composition.Fuse):
    return y if fuse is None else fuse(node, y, mask, *inputs)

  def member(inner, y, mask, *inputs):
    return _walk(inner, adapt, y, mask, *inputs, fuse=fuse)

  if isinstance(node, composition.Stack):
    for inner in node.members:
      y = member(inner, y, mask, *inputs)
    return y
  if isinstance(node, composition.Average):
    found = [member(inner, y, mask, *inputs) for inner in node.members]
    if all(one is y for one in found):
      return y  # No method at this site.
    return sum(share * one for share, one in zip(
        node.shares, found, strict=True))
  pieces = []
  for inner, (start, stop) in zip(
      node.members, node.bounds(mask.shape[1]), strict=True):
    if start < y.shape[1]:  # The last layer may compute the first rows alone.
      pieces.append(member(
          inner, *(a[:, start:stop] for a in (y, mask, *inputs))))
  return jnp.concatenate(pieces, axis=1)
