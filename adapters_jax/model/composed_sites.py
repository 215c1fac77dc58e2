"""The sites of a layer where the methods form a tree instead of a sequence."""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from adapters_jax import errors
from adapters_jax.methods import bottleneck_module
from adapters_jax.model import composition
from adapters_jax.model import endings
from adapters_jax.model import fusion
from adapters_jax.model import sites as sites_lib

# {index of a method: (config, module, shared arrays)} at one site
Modules = Mapping[int, tuple[Any, nn.Module, Any]]


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
  # Layers below have no modules, so nothing is computed or differentiated.
  methods = config.adapters if layer >= config.adapted_from else ()
  if config.composition is None or not methods:
    return sites_lib.Sites(methods, layer, mask, shared, train)
  return ComposedSites(methods, layer, mask, shared, train, config.composition)


@dataclasses.dataclass(frozen=True)
class ComposedSites(sites_lib.Sites):
  """The sites of one layer, with a tree of methods.

  Attributes:
    tree: Result of `setups.over_methods`.
  """
  tree: Any

  def _modules(self, kind: str, site: str) -> Modules:
    """Returns the methods at a site by their index."""
    return dict(zip(
        self._indices(kind, site), self._at(kind, site), strict=True))

  def linears(
      self, site: str, dense: nn.Module,
      inputs: Sequence[tuple[jax.Array, jax.Array]],
  ) -> list[jax.Array]:
    """Applies a linear layer with its adapters; see `Sites.linears`.

    Args:
      site: One of methods.base.LINEARS.
      dense: The linear layer.
      inputs: ([batch, length, in] array, [batch, length] mask) pairs.

    Returns:
      [batch, length, out] of each input.

    Raises:
      errors.UserError: a Split of an input whose rows are no positions.
    """
    scales, updates = (
        self._modules(kind, site) for kind in ('input', 'linear'))
    if len(inputs) > 1 and (scales or updates) and _splits(self.tree):
      raise errors.UserError(
          f'split: adapters at {site} also act on the embeddings of distances, '
          'which are not in one part of the text; give average, or train '
          'adapters at other sites')

    def scale(part, x, mask):
      del mask
      for _, module, _ in _of(part, scales):
        x = module(x)
      return x

    def adapt(part, y, mask, x):
      for _, module, shared in _of(part, updates):
        y = module(x, y, weights=dense.variables['params'], mask=mask,
                   shared=shared, train=self.train)
      return y

    masks = [mask for _, mask in inputs]
    # By `block_checks.check`, a mean of inputs has no other reader.
    xs = [_walk(self.tree, scale, x, mask) for x, mask in inputs]
    ys = [dense(x) for x in xs]  # Creates its weights, arguments above.
    return [_walk(self.tree, adapt, y, mask, x)
            for x, y, mask in zip(xs, ys, masks, strict=True)]

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
    modules = self._modules('sublayer', site)

    def adapt(part, update, mask, residual):
      for _, module, shared in _of(part, modules):
        update = module(
            update, residual=residual, norm=norm, mask=mask, shared=shared,
            train=self.train)
      return update

    def fuse(node, update, mask, residual):
      return self._fused(node, site, modules, residual, update, norm, mask)

    update = _walk(self.tree, adapt, update, self.mask, residual, fuse=fuse)
    close = endings.closes(
        self.tree, {index: config for index, (config, *_) in modules.items()})
    if norm is None:
      return residual + update
    return update if close is False else norm(residual + update)

  def _fused(self, node, site, modules, residual, update, norm, mask):
    """Adds the members' updates, mixed by attention, to the sublayer's."""
    updates, last = [], None
    for member in node.members:
      total, current = None, update
      inner = getattr(member, 'members', (member,))
      for part in inner:
        for config, module, shared in _of(part, modules):
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
            query, jnp.stack(updates, axis=2),
            mask=mask[:, :query.shape[1]], train=self.train)
    return skip + mixed

  def layer_output(self, x: jax.Array) -> jax.Array:
    """Adapts the output of a layer, [batch, rows, dim]."""
    modules = self._modules('layer', 'layer_output')

    def adapt(part, x, mask):
      for _, module, _ in _of(part, modules):
        x = module(x, mask=mask, train=self.train)
      return x

    return _walk(self.tree, adapt, x, self.mask)


def _of(
    part: composition.Part, modules: Modules
) -> list[tuple[Any, nn.Module, Any]]:
  """Returns the methods of a part, in order."""
  return [modules[index] for index in range(part.start, part.stop)
          if index in modules]


def _splits(node: Any) -> bool:
  """Returns whether a tree contains a Split."""
  return isinstance(node, composition.Split) or any(
      map(_splits, getattr(node, 'members', ())))


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
    # The last layer may compute only the first rows.
    empty = start >= min(stop, y.shape[1])
    # An empty part has leaves too: one position makes them, as if of padding,
    # and its result, which nothing reads, is not compiled.
    piece = slice(0, 1) if empty else slice(start, stop)
    part, shown, *rest = (a[:, piece] for a in (y, mask, *inputs))
    found = member(inner, part, shown & (not empty), *rest)
    if not empty:
      pieces.append(found)
  return jnp.concatenate(pieces, axis=1)
