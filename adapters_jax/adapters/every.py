"""Runs all adapters of a bank on every text, and shares computation.

The tuned leaves of adapters of one layout are stacked along a leading axis,
over which a step is vmapped. Values that depend on no tuned leaf, such as the
layers below the lowest adapter, lack that axis and are computed once; matrix
products with the base above them are batched over the adapters.
"""

from collections.abc import Collection, Mapping, Sequence
import functools
from typing import Any

import jax
import numpy as np

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import compiled
from adapters_jax.adapters import in_flight
from adapters_jax.adapters import layouts as layouts_lib
from adapters_jax.adapters import readings
from adapters_jax.adapters import resident as resident_lib
from adapters_jax.data import batching
from adapters_jax.data import examples as examples_lib
from adapters_jax.model import base as base_lib
from adapters_jax.model import precision
from adapters_jax.training import steps


@functools.lru_cache(maxsize=64)
def make_step(layouts: tuple[layouts_lib.StackLayout, ...]) -> Any:
  """Makes the jitted step of all adapters on a batch.

  Args:
    layouts: Layouts of the adapters.

  Returns:
    step(base, stacks, batch) -> outputs [adapters, batch, ...] of each layout.
  """

  @jax.jit
  def step(base, stacks, batch):
    def one(model, tuned):
      return model.apply(
          {'params': trees.overlay(base, tuned)}, **steps.inputs(batch))

    return tuple(
        jax.vmap(functools.partial(one, precision.under_vmap(layout.model)))(
            stack) for layout, stack in zip(layouts, stacks, strict=True))

  return step


def by_adapter(
    base: base_lib.Base, bank: Mapping[str, adapter_lib.Adapter],
    rows: Sequence[Any], batch_size: int = 32, first: int = 0,
) -> tuple[dict[str, list[Any]], dict[str, Collection[int]]]:
  """Computes logits or answers of every adapter for every input.

  Args:
    base: Pretrained encoder.
    bank: Adapters, all of which read the same number of texts.
    rows: Inputs, as for `prediction.predict`.
    batch_size: Maximum inputs a step.
    first: Number of the first input in messages.

  Returns:
    ({name: [outputs] logits or an answer for each input}, {name: numbers of the
    inputs that are cut to the limit of the adapter})

  Raises:
    errors.UserError: an adapter that does not fit, or texts of another form.
  """
  if not bank:
    raise errors.UserError('`adapter`: the bank is empty; give an adapter')
  groups: dict[Any, list[str]] = {}
  for name, adapter in bank.items():
    compiled.check_adapter(base, adapter, f'adapter {name!r}')
    # Adapters that read inputs alike share the tokens.
    groups.setdefault((
        readings.reader_of(adapter), compiled.max_length(base, adapter),
        # A tagger decodes with its own tags.
        len(adapter.texts), adapter.classes if (
            adapter.head.reads_words) else ()), []).append(name)
  found: dict[str, list[Any]] = {name: [] for name in bank}
  cut: dict[str, Collection[int]] = {name: () for name in bank}
  for names in groups.values() if rows else ():
    with errors.within(f'adapter {names[0]!r}'):
      read = readings.read(
          base, bank[names[0]], rows, range(first, first + len(rows)))
    cut |= {name: read.cut for name in names}
    readings.log_cut(
        len(read.cut), len(rows), f'adapter {", ".join(map(repr, names))}: ')
    outputs = _outputs(
        base, {name: bank[name] for name in names}, read.examples, batch_size)
    for name, some in outputs.items():
      for number, one in enumerate(some):
        if not np.isfinite(one).all():
          raise steps.not_finite(
              first + read.owners[number], f'adapter {name!r}, text')
      found[name] = read.decode(some)
  return found, cut


def _outputs(
    base: base_lib.Base, bank: Mapping[str, adapter_lib.Adapter],
    examples: examples_lib.Examples, batch_size: int,
) -> dict[str, list[np.ndarray]]:
  """Returns {name: outputs for each example}."""
  found: dict[str, list[Any]] = {name: [None] * len(examples) for name in bank}
  resident = resident_lib.place(base, bank, exact=True)
  step = make_step(resident.layouts)
  computed = ((rows, step(base.params, resident.stacks, batch))
              for rows, batch in batching.eval_batches(
                  examples, readings.BUCKETS,
                  resident_lib.fitting(len(examples), batch_size)))
  with compiled.matmul_precision(base):
    for rows, outputs in in_flight.ahead(computed):
      for name, (number, slot) in resident.places.items():
        width = bank[name].outputs
        for row, one in zip(rows, np.asarray(outputs[number][slot])):
          found[name][row] = one[..., :width]
  return found
