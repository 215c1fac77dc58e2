"""Computes batches that mix adapters of any layouts, one for each example.

A batch is cut into tiles of one layout each. A single program holds a forward
pass for each layout and loops over the tiles, so it serves every mixture.
"""

from collections.abc import Iterator, Sequence
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adapters_jax import trees
from adapters_jax.adapters import bank as bank_lib
from adapters_jax.adapters import compiled
from adapters_jax.adapters import in_flight
from adapters_jax.adapters import layouts as layouts_lib
from adapters_jax.adapters import readings
from adapters_jax.adapters import resident as resident_lib
from adapters_jax.data import batching
from adapters_jax.data import bucketing
from adapters_jax.data import examples as examples_lib
from adapters_jax.model import shapes as shapes_lib
from adapters_jax.training import steps

_INPUTS = ('tokens', 'segments', 'mask')


@functools.lru_cache(maxsize=64)
def make_step(layouts: tuple[layouts_lib.StackLayout, ...]) -> Any:
  """Makes the jitted step of a batch that mixes layouts.

  Args:
    layouts: Layouts of the bank.

  Returns:
    step(base, stacks, batch, numbers, count) -> [tiles, rows, width] float32,
    the flattened outputs of each example, padded to the widest layout. `batch`
    has tokens and segments [tiles, rows, length] int32, mask [tiles, rows,
    length] bool, and ids [tiles, rows] int32, the slots of the adapters.
    `numbers` [tiles] int32 are the indices of the tiles' layouts, and `count`
    is the number of tiles to compute.
  """

  @jax.jit
  def step(base, stacks, batch, numbers, count):
    passes = [functools.partial(_outputs, layout, base, stack)
              for layout, stack in zip(layouts, stacks, strict=True)]
    first = {name: value[0] for name, value in batch.items()}
    shapes = [jax.eval_shape(run, first).shape for run in passes]
    rows = shapes[0][0]
    width = max(int(np.prod(shape[1:])) for shape in shapes)
    branches = [functools.partial(_flat, run, width) for run in passes]

    def compute(index, found):
      tile = {name: value[index] for name, value in batch.items()}
      return found.at[index].set(
          jax.lax.switch(numbers[index], branches, tile))

    found = jnp.zeros((len(batch['ids']), rows, width), jnp.float32)
    if len(layouts) == 1 and len(found) == 1:
      return compute(0, found)
    return jax.lax.fori_loop(0, count, compute, found)

  return step


def _outputs(
    layout: layouts_lib.StackLayout, base: trees.Tree, stack: trees.Tree,
    tile: Any,
) -> jax.Array:
  """Returns [rows, ...] outputs of a tile."""
  inputs = [tile[name] for name in _INPUTS]
  if layout.owner:  # The layout has a single slot, which all examples share.
    tuned = trees.take(stack, 0)
    return layout.model.apply({'params': trees.overlay(base, tuned)}, *inputs)
  return bank_lib.apply_mixed(layout.model, base, stack, tile['ids'], *inputs)


def _flat(run: Any, width: int, tile: Any) -> jax.Array:
  """Returns the outputs of a tile as [rows, width]."""
  found = run(tile)
  found = found.reshape(len(found), -1).astype(jnp.float32)
  return jnp.pad(found, ((0, 0), (0, width - found.shape[1])))


def forward(
    resident: resident_lib.Resident, names: Sequence[Any],
    examples: examples_lib.Examples, batch_size: int = 32,
    buckets: Sequence[int] = readings.BUCKETS,
) -> list[np.ndarray]:
  """Computes the outputs of each example with the adapter that it names.

  Args:
    resident: Bank on the device.
    names: Name of the adapter of each example; None for the plain base.
    examples: Tokenised examples.
    batch_size: Maximum examples a step.
    buckets: Lengths to pad batches to.

  Returns:
    Outputs of the adapter's head for each example: [outputs], or
    [length, outputs] with padding.

  Raises:
    steps.NotFinite: NaN or infinite outputs.
  """
  step = make_step(resident.layouts)
  found: list[Any] = [None] * len(examples)
  size = resident_lib.fitting(len(examples), batch_size)
  # A loop over tiles skips empty ones, so that one program fits all numbers.
  if len(resident.layouts) == 1 or size <= resident_lib.TILE:
    batch_size = size
  computed = (
      (tiles, batch['tokens'].shape[-1], step(
          resident.base.params, resident.stacks, batch, numbers, len(tiles)))
      for tiles, batch, numbers in _batches(
          resident, names, examples, buckets, batch_size))
  with compiled.matmul_precision(resident.base):
    for tiles, length, values in in_flight.ahead(computed):
      for (number, rows), flat in zip(tiles, np.asarray(values)):
        shape = _shape(resident.layouts[number].model, length)
        for row, one in zip(rows, flat):
          one = one[:int(np.prod(shape))].reshape(shape)
          found[row] = _own(resident, names[row], one)
  for row, one in enumerate(found):
    if not np.isfinite(one).all():
      raise steps.not_finite(row)
  return found


def _own(
    resident: resident_lib.Resident, name: Any, one: np.ndarray
) -> np.ndarray:
  """Returns the outputs of an example without those of wider heads."""
  if not resident.reads_head:
    return one
  return one[..., :resident.bank[name].outputs]


@functools.lru_cache(maxsize=1024)
def _shape(model: Any, length: int) -> tuple[int, ...]:
  """Returns the shape of a model's outputs for one example."""
  tokens = jnp.zeros((1, length), jnp.int32)
  params = shapes_lib.of(model)
  return jax.eval_shape(
      lambda params: model.apply({'params': params}, tokens, tokens,
                                 tokens == 0), params).shape[1:]


def _batches(
    resident: resident_lib.Resident, names: Sequence[Any],
    examples: examples_lib.Examples, buckets: Sequence[int], batch_size: int,
) -> Iterator[tuple[list[Any], dict[str, np.ndarray], np.ndarray]]:
  """Yields (tiles, batch, index of each tile's layout).

  Args:
    resident: Bank on the device.
    names: Name of the adapter of each example.
    examples: Tokenised examples.
    buckets: Lengths to pad batches to.
    batch_size: Examples a step.

  Yields:
    Tiles are (index of the layout, rows). There may be fewer than the batch has
    room for; copies of the first tile fill it up.
  """
  several = len(resident.layouts) > 1
  size = min(batch_size, resident_lib.TILE) if several else batch_size
  whole = -(-batch_size // size)
  # Each layout may leave a tile partly empty.
  room = whole + len(resident.layouts) - 1
  longest = int(examples.lengths.max(initial=0))
  if longest > buckets[-1]:
    buckets = (*buckets, -(-longest // 4) * 4)
  for plan in bucketing.plan(examples.lengths, buckets, whole * size):
    groups: dict[int, list[int]] = {}
    for row in plan.rows:
      groups.setdefault(resident.places[names[row]][0], []).append(int(row))
    tiles = [(number, rows[start:start + size])
             for number, rows in groups.items()
             for start in range(0, len(rows), size)]
    parts = []
    for _, rows in tiles + tiles[:1] * (room - len(tiles)):
      part = batching.make_batch(
          examples, bucketing.Plan(np.array(rows), plan.length), size)
      slots = [resident.places[names[row]][1] for row in rows]
      parts.append({
          **{name: part[name] for name in _INPUTS},
          'ids': np.resize(np.array(slots, np.int32), size)})
    batch = {name: np.stack([part[name] for part in parts])
             for name in parts[0]}
    numbers = np.array([number for number, _ in tiles], np.int32)
    yield tiles, batch, np.resize(numbers, room)
