"""The frozen lower layers, computed once for a data set.

Where nothing is trained below some layer, what enters it is the same in every
epoch, but for dropout. `cache_frozen` computes it without dropout, keeps it
on the host as float32 (an example at its own length), and trains and evaluates
the rest of the model on it. The parameters and their paths are those of the
whole model, so that the saved adapter is an ordinary one.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import functools
import time
from typing import Any

import jax
import numpy as np
import psutil

from adapters_jax.data import batching
from adapters_jax import errors
from adapters_jax.model import encoder as encoder_lib
from adapters_jax.model import sites
from adapters_jax.training import optimizers
from adapters_jax.training import sharding
from adapters_jax.training import steps
from adapters_jax import trees

# A leaf of each kind: what is tuned goes by layer and by kind of leaf.
_LEAVES = ('norm/scale', 'norm/bias', 'kernel', 'embedding')


def first_layer(
    select: optimizers.Select, methods: Sequence[Any], layers: int
) -> int:
  """Returns the lowest layer with anything trained or adapted in it.

  That is `layers` if only what stands on top of them is, and 0 too if the
  embeddings are.

  Args:
    select: Which paths are tuned.
    methods: The adapters' configs.
    layers: The model's.
  """
  def tuned(prefix):
    return any(select(f'{prefix}/{leaf}') for leaf in _LEAVES)

  def adapted(layer):
    return any(method.applies(site, layer)
               for method in methods for site in sites.SITES)

  if tuned('embeddings') or any(m.kind == 'embedding' for m in methods):
    return 0
  return next((layer for layer in range(layers)
               if tuned(f'encoder/layer_{layer}') or adapted(layer)), layers)


def check(
    select: optimizers.Select, methods: Sequence[Any], layers: int
) -> None:
  """Raises UserError if every layer must be computed at each step."""
  if not first_layer(select, methods, layers):
    raise errors.UserError(
        '`cache_frozen`: the embeddings or the lowest layer are trained or '
        'adapted, so that nothing can be kept; restrict what is, as with '
        '`adapter_layers=4-5` `norm_layers=same`, `tune=top_k` or `tune=head`')


def above(model: Any, first: int) -> Any:
  """Returns the model that begins at a layer and reads hidden states."""
  return model.clone(
      config=dataclasses.replace(model.config, first_layer=first))


def cached(
    model: Any, base: trees.Tree, tuned: trees.Tree,
    splits: Mapping[str, batching.Examples], first: int, *,
    mesh: jax.sharding.Mesh, buckets: Sequence[int], batch_size: int,
) -> dict[str, batching.Examples]:
  """Returns the splits with what enters a layer, in place of their pieces.

  Args:
    model: The whole model.
    base: Its frozen leaves, on the devices.
    tuned: Its tuned leaves.
    splits: {split: examples}.
    first: Of `first_layer`. If there is no such layer, what [CLS] leaves the
      last one with, a row for each example.
    mesh: The devices.
    buckets: Lengths to pad to meanwhile.
    batch_size: Examples at a time.

  Raises:
    options.UserError: it does not fit the memory that is free.
  """
  config = model.config
  rows = sum(len(examples) if first == config.layers
             else int(examples.lengths.sum()) for examples in splits.values())
  size = 4 * rows * config.dim
  free = psutil.virtual_memory().available
  if size > free:
    raise errors.UserError(
        f'`cache_frozen`: {size / 1e9:.1f} GB of hidden states do not fit the '
        f'{free / 1e9:.1f} GB of memory that are free; leave it out, or take '
        'fewer `train_examples` or a lower `max_length`')
  print(f'below layer {first} of {config.layers} nothing is trained: computing '
        f'{rows:,} hidden states once, without dropout; {size / 1e6:,.1f} MB')
  start = time.perf_counter()
  encoder = encoder_lib.Bert(config)

  @functools.partial(jax.jit, out_shardings=sharding.replicated(mesh))
  def enter(base, tuned, batch):
    params = {'params': trees.overlay(base, tuned)}
    return encoder.apply(params, **steps.inputs(batch), rows=1)[first]

  def hidden_of(examples):
    hidden = [None] * len(examples)
    for rows, batch in batching.eval_batches(
        examples, buckets, batch_size,
        sharding.local_rows(mesh, batch_size)):
      out = np.asarray(enter(
          base, tuned, sharding.place_batch(mesh, batch, batch_size)))
      for row, states in zip(rows, out):  # A copy: without the padding.
        hidden[row] = np.array(states[:examples.lengths[row]], np.float32)
    return hidden

  splits = {name: dataclasses.replace(examples, hidden=hidden_of(examples))
            for name, examples in splits.items()}
  print(f'computed in {time.perf_counter() - start:.1f} s')
  return splits
