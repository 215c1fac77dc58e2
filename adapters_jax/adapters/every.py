"""Runs all adapters of a bank on every text, and shares computation.

The tuned leaves of adapters of one layout are stacked along a leading axis,
over which a step is vmapped. Values that depend on no tuned leaf, such as the
layers below the lowest adapter, lack that axis and are computed once; matrix
products with the base above them are batched over the adapters. Banks whose
activations would not fit into memory are computed in slices, each of which
computes the shared layers again.
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
from adapters_jax.model import bert_config
from adapters_jax.model import precision
from adapters_jax.training import steps

# Bytes of the activations of a slice of a bank, as `_activations` bounds them:
# 28 adapters of MiniLM on 32 texts of 128 tokens, or 17 of BERT-base.
_MOST = 2**32


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
        _over_adapters(
            functools.partial(one, precision.under_vmap(layout.model)), stack,
            max(1, _MOST // _activations(
                layout.model.config, batch['tokens'].shape)))
        for layout, stack in zip(layouts, stacks, strict=True))

  return step


def _over_adapters(run: Any, stack: trees.Tree, most: int) -> jax.Array:
  """Returns the outputs [adapters, ...] of all adapters of a stack.

  Args:
    run: Tuned leaves of an adapter -> its outputs.
    stack: Tuned leaves [adapters, ...].
    most: Adapters whose activations fit into memory.
  """
  count = jax.tree.leaves(stack)[0].shape[0]
  slices = -(-count // most)
  if slices == 1:
    return jax.vmap(run)(stack)
  return jax.lax.map(run, stack, batch_size=-(-count // slices))


def _activations(
    config: bert_config.BertConfig, shape: tuple[int, ...]
) -> int:
  """Returns a bound on the bytes of an adapter's activations.

  Compiled programs of MiniLM and BERT-base take 0.2 to 0.85 of it on a CPU.

  Args:
    config: Config of the encoder.
    shape: Shape [batch, length] of the inputs.
  """
  # Of one layer, as XLA keeps no others: two arrays of the feed-forward
  # sublayer, two of attention's weights, and eight of hidden states.
  rows, length = shape
  return 4 * rows * length * (
      2 * config.ffn_dim + 2 * config.heads * length + 8 * config.dim)


def place(
    base: base_lib.Base, bank: Mapping[str, adapter_lib.Adapter]
) -> list[resident_lib.Resident]:
  """Places a bank on the device, in parts that read inputs alike.

  Args:
    base: Pretrained encoder.
    bank: Adapters.

  Raises:
    errors.UserError: an empty bank, or an adapter that does not fit.
  """
  if not bank:
    raise errors.UserError('`adapter`: the bank is empty; give an adapter')
  groups: dict[Any, dict[str, adapter_lib.Adapter]] = {}
  for name, adapter in bank.items():
    compiled.check_adapter(base, adapter, f'adapter {name!r}')
    # Adapters that read inputs alike share the tokens.
    groups.setdefault((
        readings.reader_of(adapter), compiled.max_length(base, adapter),
        # A tagger decodes with its own tags.
        len(adapter.texts), adapter.classes if (
            adapter.head.reads_words) else ()), {})[name] = adapter
  return [resident_lib.place(base, some, exact=True)
          for some in groups.values()]


def by_adapter(
    base: base_lib.Base, bank: Mapping[str, adapter_lib.Adapter],
    rows: Sequence[Any], batch_size: int = 32, first: int = 0,
    placed: Sequence[resident_lib.Resident] = (),
) -> tuple[dict[str, list[Any]], dict[str, Collection[int]]]:
  """Computes logits or answers of every adapter for every input.

  Args:
    base: Pretrained encoder.
    bank: Adapters, all of which read the same number of texts.
    rows: Inputs, as for `prediction.predict`.
    batch_size: Maximum inputs a step.
    first: Number of the first input in messages.
    placed: The bank on the device, of `place`; () to place it.

  Returns:
    ({name: [outputs] logits or an answer for each input}, {name: numbers of the
    inputs that are cut to the limit of the adapter})

  Raises:
    errors.UserError: an adapter that does not fit, or texts of another form.
  """
  found: dict[str, list[Any]] = {name: [] for name in bank}
  cut: dict[str, Collection[int]] = {name: () for name in bank}
  for part in placed or place(base, bank):
    if not rows:
      continue
    names = [*part.bank]
    with errors.within(f'adapter {names[0]!r}'):
      read = readings.read(
          base, bank[names[0]], rows, range(first, first + len(rows)))
    cut |= {name: read.cut for name in names}
    readings.log_cut(
        len(read.cut), len(rows), f'adapter {", ".join(map(repr, names))}: ')
    for name, some in _outputs(part, read.examples, batch_size).items():
      for number, one in enumerate(some):
        if not np.isfinite(one).all():
          raise steps.not_finite(
              first + read.owners[number], f'adapter {name!r}, text')
      found[name] = read.decode(some)
  return found, cut


def _outputs(
    placed: resident_lib.Resident, examples: examples_lib.Examples,
    batch_size: int,
) -> dict[str, list[np.ndarray]]:
  """Returns {name: outputs for each example}."""
  found: dict[str, list[Any]] = {
      name: [None] * len(examples) for name in placed.bank}
  step = make_step(placed.layouts)
  computed = ((rows, step(placed.base.params, placed.stacks, batch))
              for rows, batch in batching.eval_batches(
                  examples, readings.BUCKETS,
                  resident_lib.fitting(len(examples), batch_size)))
  with compiled.matmul_precision(placed.base):
    for rows, outputs in in_flight.ahead(computed):
      values = [np.asarray(one) for one in outputs]
      for name, (number, slot) in placed.places.items():
        width = placed.bank[name].outputs
        for row, one in zip(rows, values[number][slot]):
          found[name][row] = one[..., :width]
  return found
