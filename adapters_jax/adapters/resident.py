"""A bank on the device, ready for batches that mix its adapters in any way.

Adapters are stacked by layout, one in each slot of a stack. A new adapter of a
known layout is written into a free slot, so that nothing is compiled.
"""

from collections.abc import Mapping
import dataclasses
import functools
from typing import Any

import jax

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import compiled
from adapters_jax.adapters import layouts as layouts_lib
from adapters_jax.model import base as base_lib

TILE = 8  # Examples of one layout that are computed together.


def sizes(batch_size: int) -> tuple[int, ...]:
  """Returns the sizes of batches: 1, a tile, its doubles, and the largest.

  Args:
    batch_size: Largest batch.
  """
  found, size = {1}, TILE
  while size < batch_size:
    found.add(size)
    size *= 2
  return tuple(sorted({*found, batch_size}))


def fitting(count: int, batch_size: int) -> int:
  """Returns the smallest of `sizes` for some inputs.

  Args:
    count: Number of inputs.
    batch_size: Largest batch.
  """
  return next(size for size in sizes(batch_size)
              if size >= min(count, batch_size))


@dataclasses.dataclass(frozen=True, eq=False)
class Resident:
  """A bank on the device.

  Attributes:
    base: Pretrained encoder.
    bank: {name: adapter}; None as name and adapter stands for the plain base.
    layouts: Layouts of the adapters.
    stacks: Leaves [slots, ...] of each layout.
    places: {name: (index of the layout, slot)}
    make_model: Makes the module of an adapter.
    reads_head: Whether the modules have the adapters' heads.
    least: Minimum number of slots per layout, 0 for none.
  """
  base: base_lib.Base
  bank: Mapping[Any, Any]
  layouts: tuple[layouts_lib.StackLayout, ...]
  stacks: tuple[trees.Tree, ...] = dataclasses.field(repr=False)
  places: Mapping[Any, tuple[int, int]]
  make_model: layouts_lib.MakeModel
  reads_head: bool = True
  least: int = 0

  @property
  def slots(self) -> tuple[int, ...]:
    """Number of slots of each layout."""
    return tuple(_slots_of(stack) for stack in self.stacks)


def place(
    base: base_lib.Base, bank: Mapping[Any, Any], slots: int = 0, *,
    exact: bool = False,
    make_model: layouts_lib.MakeModel = compiled.model_of,
    reads_head: bool = True, grows: bool = False,
) -> Resident:
  """Places a bank on the device.

  Args:
    base: Pretrained encoder.
    bank: Adapters of any methods, sizes and heads.
    slots: Slots of each layout; 0 for the next power of two, so that banks of
      similar sizes share a program.
    exact: Whether to leave no slot free.
    make_model: Makes the module of an adapter.
    reads_head: Whether the modules have the adapters' heads.
    grows: Whether a layout grows beyond `slots` for more adapters.

  Raises:
    errors.UserError: an adapter that does not fit the base, or fewer slots than
      adapters of a layout.
  """
  for name, adapter in bank.items():
    if reads_head:
      compiled.check_adapter(base, adapter, f'adapter {name!r}')
    elif adapter is not None:
      compiled.check_base(base.identity, adapter, f'adapter {name!r}')
  found = layouts_lib.find(
      base, bank, make_model, TILE, reads_head=reads_head)
  stacks, places = [], {}
  for number, (layout, names) in enumerate(found.items()):
    places |= {name: (number, slot) for slot, name in enumerate(names)}
    power = 1 << (len(names) - 1).bit_length()
    count = max(slots, power) if grows else slots or power
    if exact or layout.owner:
      count = len(names)
    if len(names) > count:
      raise errors.UserError(
          f'`slots={slots}`: {len(names)} adapters are of one layout; give as '
          'many or more')
    rows = [layouts_lib.padded(layout, base, bank[name], reads_head=reads_head)
            for name in names]
    # Free slots hold copies of the first adapter; no example refers to them.
    rows += rows[:1] * (count - len(rows))
    stacks.append(on_device(rows))
  return Resident(
      base, dict(bank), tuple(found), tuple(stacks), places, make_model,
      reads_head, slots)


def put(resident: Resident, name: str, adapter: Any) -> Resident:
  """Adds an adapter to the bank, or replaces the one of that name.

  An adapter of a known layout, no wider than the others, is written into a free
  slot in place, which donates `resident` and compiles nothing. Otherwise the
  whole bank is stacked again, and the next batch compiles a program.

  Args:
    resident: Bank; not usable afterwards, as its arrays are donated.
    name: Name of the adapter.
    adapter: New adapter.

  Raises:
    errors.UserError: an adapter that does not fit the base.
  """
  compiled.check_adapter(resident.base, adapter, f'adapter {name!r}')
  bank = {**resident.bank, name: adapter}
  old = resident.places.get(name)
  taken = {where for other, where in resident.places.items() if other != name}
  for number, layout in enumerate(resident.layouts):
    free = [slot for slot in range(resident.slots[number])
            if (number, slot) not in taken]
    if not free or not layouts_lib.holds(
        layout, resident.base, adapter, resident.make_model,
        reads_head=resident.reads_head):
      continue
    slot = old[1] if old and old[0] == number else free[0]
    leaves = trees.unflatten(layouts_lib.padded(
        layout, resident.base, adapter, reads_head=resident.reads_head))
    stacks = list(resident.stacks)
    stacks[number] = _write(stacks[number], leaves, slot)
    return dataclasses.replace(
        resident, bank=bank, stacks=tuple(stacks),
        places={**resident.places, name: (number, slot)})
  return place(
      resident.base, bank, resident.least, make_model=resident.make_model,
      reads_head=resident.reads_head, grows=True)


def remove(resident: Resident, name: str) -> Resident:
  """Removes an adapter from the bank, which frees its slot.

  Args:
    resident: Bank.
    name: Name of the adapter.

  Raises:
    errors.UserError: an unknown name.
  """
  if name not in resident.bank:
    raise errors.unknown('adapter', name, resident.bank)
  bank, places = dict(resident.bank), dict(resident.places)
  del bank[name], places[name]
  return dataclasses.replace(resident, bank=bank, places=places)


def _slots_of(stack: trees.Tree) -> int:
  leaves = jax.tree.leaves(stack)
  return leaves[0].shape[0] if leaves else 1


def on_device(rows: list[dict[str, Any]]) -> trees.Tree:
  """Returns the adapters of a layout, {path: leaf} each, as one stack."""
  return jax.device_put(trees.stack(map(trees.unflatten, rows)))


@functools.partial(jax.jit, donate_argnums=0)
def _write(stack: trees.Tree, leaves: trees.Tree, slot: int) -> trees.Tree:
  """Writes an adapter's leaves into a slot, in place."""
  return jax.tree.map(lambda all_, one: all_.at[slot].set(one), stack, leaves)
