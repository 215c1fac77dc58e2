"""Layouts: models and padded shapes that several adapters share.

The adapters of a layout are computed together, in one forward pass.
Adapters of one layout have the same model and the same tuned paths. Settings
that only training reads do not count, and leaves of LoRA include its scale.
Bottlenecks and low-rank updates of different widths, and heads of different
numbers of classes, are padded with zeros to the widest. The result is exact:
activations are 0 at 0, and outputs beyond an adapter's own are dropped.
"""

from collections.abc import Callable, Iterable, Mapping
import dataclasses
import functools
from typing import Any

import numpy as np

from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.model import base as base_lib
from adapters_jax.model import composition
from adapters_jax.model import shapes as shapes_lib

# (base, adapter or None for the plain base) -> module. It raises for an adapter
# that it cannot read.
MakeModel = Callable[[base_lib.Base, Any], Any]
# Maximum bytes of the leaves that a tile copies for its examples. Adapters take
# a few hundred MB at most; fully fine-tuned models would take tens of GB.
_LARGEST = 2**30


@dataclasses.dataclass(frozen=True)
class StackLayout:
  """Model and padded shapes of one or several adapters; hashable.

  Attributes:
    model: Module with the widths of all its adapters.
    form: The same module at width 1, which adapters of a layout share.
    widths: Width of each method that can be padded, then outputs of the head.
    leaves: {path: shape} of the tuned leaves, as pairs.
    owner: Name of the only adapter, if its leaves are too large to be copied
      for each example; '' for a layout that several adapters may share.
  """
  model: Any
  form: Any
  widths: tuple[int, ...]
  leaves: tuple[tuple[str, tuple[int, ...]], ...]
  owner: str = ''


def find(
    base: base_lib.Base, bank: Mapping[Any, Any], make_model: MakeModel,
    tile: int, *, reads_head: bool = True,
) -> dict[StackLayout, list[Any]]:
  """Groups adapters by layout.

  Args:
    base: Pretrained encoder.
    bank: Adapters that fit the base; None stands for the plain base.
    make_model: Makes the module of an adapter.
    tile: Number of examples that are computed together.
    reads_head: Whether the modules have the adapters' heads.

  Returns:
    {layout: names of its adapters}
  """
  constant = unchanged(base, bank.values())
  groups: dict[Any, list[Any]] = {}
  for name, adapter in bank.items():
    tuned = leaves_of(adapter, reads_head)
    paths = tuple(path for path in tuned if path not in constant)
    memory = tile * sum(tuned[path].nbytes for path in paths)
    owner = str(name) if memory > _LARGEST else ''
    form = make_model(base, resized(base, adapter, None))
    groups.setdefault((form, paths, owner), []).append(name)
  layouts = {}
  for (form, paths, owner), names in groups.items():
    widths = tuple(map(
        max, zip(*(widths_of(base, bank[name]) for name in names))))
    model = make_model(base, resized(base, bank[names[0]], widths))
    shapes = trees.flatten(shapes_lib.of(model))
    leaves = tuple((path, tuple(shapes[path].shape)) for path in paths)
    layouts[StackLayout(model, form, widths, leaves, owner)] = names
  return layouts


def unchanged(
    base: base_lib.Base, adapters: Iterable[Any]
) -> frozenset[str]:
  """Returns the tuned paths whose leaves are those of the base.

  Args:
    base: Pretrained encoder.
    adapters: Adapters; a path counts if none of them changes it.
  """
  below = trees.flatten(base.params)
  same: dict[str, bool] = {}
  for adapter in adapters:
    for path, leaf in leaves_of(adapter, True).items():
      if same.get(path, True):
        same[path] = path in below and np.array_equal(leaf, below[path])
  return frozenset(path for path, equal in same.items() if equal)


def leaves_of(adapter: Any, reads_head: bool) -> dict[str, Any]:
  """Returns {path: leaf} of an adapter, {} of the plain base.

  Args:
    adapter: Adapter, or None.
    reads_head: Whether to include those of its head.
  """
  return {path: leaf for path, leaf in trees.flatten(
      adapter.tuned if adapter else {}).items()
          if reads_head or not trees.is_above(path)}


def widths_of(base: base_lib.Base, adapter: Any) -> tuple[int, ...]:
  """Returns the width of each method that can be padded, then the outputs."""
  if adapter is None:
    return ()
  return (*(config.padding_width for config in _methods(base, adapter)
            if _widens(adapter, config)), adapter.outputs or 0)


def _methods(
    base: base_lib.Base, adapter: adapter_lib.Adapter
) -> tuple[Any, ...]:
  """Returns the methods of an adapter as predictions need them."""
  return tuple(_for_predictions(config, base.config.dim)
               for config in adapter.methods)


@functools.lru_cache(maxsize=1024)  # Checks of fields take a millisecond.
def _for_predictions(config: Any, dim: int) -> Any:
  return config.for_predictions(dim)


def _widens(adapter: adapter_lib.Adapter, config: Any) -> bool:
  # Setups of several adapters keep their widths.
  return adapter.setup is None and config.padding_width is not None


def resized(
    base: base_lib.Base, adapter: Any, widths: tuple[int, ...] | None
) -> Any:
  """Returns an adapter for predictions alone, with other widths.

  Its tree has only the head's bias.

  Args:
    base: Pretrained encoder.
    adapter: Adapter, or None.
    widths: As from `widths_of`; None for 1 everywhere.
  """
  if adapter is None:
    return None
  *sizes, outputs = widths or [1] * len(widths_of(base, adapter))
  left = iter(sizes)
  methods = tuple(
      config.padded(next(left)) if _widens(adapter, config) else config
      for config in _methods(base, adapter))
  head = {'head': {'bias': np.zeros(outputs, np.float32)}}
  return dataclasses.replace(
      adapter, methods=methods, labels=(),
      setup=adapter.setup and _setup(adapter.setup),
      tuned=head if adapter.outputs is not None else {})


def _setup(setup: composition.Setup) -> composition.Setup:
  """Returns a setup with the default dropout, which only training reads."""
  if isinstance(setup, str):
    return setup
  fields = {'dropout': composition.Fuse.dropout} if isinstance(
      setup, composition.Fuse) else {}
  return setup.with_members([*map(_setup, setup.members)], **fields)


def padded(
    layout: StackLayout, base: base_lib.Base,
    adapter: adapter_lib.Adapter | None, *, reads_head: bool = True,
) -> dict[str, np.ndarray]:
  """Returns {path: leaf} of an adapter, in the form and shapes of a layout.

  Args:
    layout: Layout that `holds` the adapter.
    base: Pretrained encoder, whose leaves stand in for absent ones.
    adapter: Adapter, or None.
    reads_head: Whether the layout has the leaves of heads.
  """
  own = leaves_of(adapter, reads_head)
  below: Mapping[str, Any] = {}
  if any(path not in own for path, _ in layout.leaves):
    below = trees.flatten(base.params)
  found = {}
  for path, shape in layout.leaves:
    leaf = np.asarray(own[path] if path in own else below[path])
    index = trees.method_of(path)
    if index is not None and adapter is not None:
      leaf = adapter.methods[index].leaf_for_predictions(path, leaf)
    if leaf.shape != shape:
      leaf = np.pad(leaf, [
          (0, new - old) for old, new in zip(leaf.shape, shape, strict=True)])
    found[path] = leaf
  return found


def holds(
    layout: StackLayout, base: base_lib.Base,
    adapter: adapter_lib.Adapter | None, make_model: MakeModel, *,
    reads_head: bool = True,
) -> bool:
  """Returns whether an adapter fits a layout, and is no wider.

  Args:
    layout: Layout of other adapters.
    base: Pretrained encoder.
    adapter: Adapter that fits the base, or None.
    make_model: Module of an adapter.
    reads_head: Whether the layout has the leaves of heads.
  """
  if layout.owner or make_model(
      base, resized(base, adapter, None)) != layout.form:
    return False
  if any(own > width for own, width in zip(
      widths_of(base, adapter), layout.widths, strict=True)):
    return False
  own = leaves_of(adapter, reads_head)
  known = {path for path, _ in layout.leaves}
  missing = [path for path in known if path not in own]
  if missing:
    below = trees.flatten(base.params)
    if not all(path in below for path in missing):
      return False
  extra = [path for path in own if path not in known]
  return not extra or set(extra) <= unchanged(base, [adapter])
