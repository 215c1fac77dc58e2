"""Switches adapters off layer by layer, without compiling.

Each method has neutral leaves, with which its module changes nothing. They have
the shapes of the trained ones, so that a compiled step takes either. Houlsby et
al. (2019, section 3.6) remove trained adapters in this way.
"""

from collections.abc import Collection, Mapping
import dataclasses
import re
from typing import Any

import numpy as np

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import layouts as layouts_lib
from adapters_jax.adapters import resident as resident_lib
from adapters_jax.model import base as base_lib

_MODULE = re.compile(r'(.*layer_\d+/(?:.*/)?adapter_[a-z_]+_(\d+))/(.*)')


def reason(adapter: adapter_lib.Adapter) -> str:
  """Returns why the layers of an adapter cannot be switched off, or ''."""
  try:
    neutral(adapter.tuned, adapter.methods)
  except errors.UserError as error:
    return str(error)
  return ''


def neutral(
    tuned: trees.Tree, methods: tuple[Any, ...], base: trees.Tree | None = None
) -> trees.Tree:
  """Returns a tuned tree with which the layers compute the same as the base.

  Leaves outside the layers, such as prompts and the head, are kept.

  Args:
    tuned: Tuned tree.
    methods: Its methods.
    base: Pretrained tree, whose leaves replace fine-tuned weights and layer
      norms; None keeps these.

  Returns:
    A tree of the same paths, shapes and types.

  Raises:
    errors.UserError: a method without neutral leaves.
  """
  below = trees.flatten(base or {})
  found, modules = {}, {}
  for path, leaf in trees.flatten(tuned).items():
    module = _MODULE.fullmatch(path)
    if module and not trees.is_fusion(path):
      modules.setdefault((module[1], int(module[2])), {})[module[3]] = leaf
    # A head on [CLS] and the pooler are in no layer.
    inside = trees.layer_of(path) is not None and path in below
    found[path] = np.asarray(below[path], leaf.dtype) if inside else leaf
  for method in methods:
    if method.kind == 'key_value':
      raise _unable(method)
  for (module, index), leaves in modules.items():
    changed = methods[index].neutral(leaves)
    if changed is None:
      raise _unable(methods[index])
    found |= {f'{module}/{name}': np.asarray(leaf, leaves[name].dtype)
              for name, leaf in changed.items()}
  return trees.unflatten(found)


def _unable(method: Any) -> errors.UserError:
  return errors.UserError(
      f'{type(method).__name__}: no weights make it the identity, so its '
      'layers cannot be switched off')


def chosen(
    on: trees.Tree, off: trees.Tree, layers: Collection[int],
    restore_norms: bool = False,
) -> trees.Tree:
  """Returns a tree that takes some layers from another tree.

  Args:
    on: Tuned tree, or a stack of several.
    off: Result of `neutral`, of the same shapes.
    layers: Layers whose leaves are those of `off`.
    restore_norms: Whether their layer norms are too.
  """
  other = trees.flatten(off)
  return trees.unflatten({
      path: other[path] if trees.layer_of(path) in layers and (
          restore_norms or trees.role(path) != 'norm') else leaf
      for path, leaf in trees.flatten(on).items()})


@dataclasses.dataclass(frozen=True, eq=False)
class Switches:
  """A bank on the device, with and without the adapters in its layers.

  Attributes:
    on: The bank.
    off: Stacks of the shapes of `on.stacks`, without effect in the layers.
    fixed: {name of an adapter that cannot be switched off: reason}.
  """
  on: resident_lib.Resident
  off: tuple[trees.Tree, ...] = dataclasses.field(repr=False)
  fixed: Mapping[str, str]

  def without(
      self, layers: Collection[int], restore_norms: bool = False
  ) -> resident_lib.Resident:
    """Returns the bank without the adapters of some layers.

    No array is copied and nothing is compiled: the result holds leaves of
    `on` and of `off`.

    Args:
      layers: Layers without adapters.
      restore_norms: Whether their layer norms are the pretrained ones.
    """
    return dataclasses.replace(self.on, stacks=tuple(
        chosen(on, off, layers, restore_norms)
        for on, off in zip(self.on.stacks, self.off, strict=True)))


def place(
    base: base_lib.Base, bank: Mapping[str, adapter_lib.Adapter]
) -> Switches:
  """Puts a bank on the device, with and without the adapters in its layers.

  Args:
    base: Pretrained encoder.
    bank: Adapters of any methods, sizes and heads.

  Raises:
    errors.UserError: an adapter that does not fit the base.
  """
  on = resident_lib.place(base, bank, exact=True)
  names: list[list[str]] = [[] for _ in on.layouts]
  for name, (number, _) in on.places.items():  # In the order of the slots.
    names[number].append(name)
  fixed = {name: why for name, adapter in bank.items()
           if (why := reason(adapter))}
  off = []
  for layout, members in zip(on.layouts, names, strict=True):
    rows = [layouts_lib.padded(layout, base, bank[name] if name in fixed else
                               dataclasses.replace(bank[name], tuned=neutral(
                                   bank[name].tuned, bank[name].methods,
                                   base.params)))
            for name in members]
    off.append(resident_lib.on_device(rows))
  return Switches(on, tuple(off), fixed)
