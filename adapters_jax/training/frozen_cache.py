"""The frozen lower layers, computed once for a data set.

If nothing below some layer is trained, the input of that layer is the same in
every epoch, except for dropout. `cache_frozen` computes it once, without
dropout, keeps it on the host as float32 (each example at its own length), and
trains and evaluates the rest of the model on it. Parameters keep the paths of
the whole model, so the saved adapter is an ordinary one.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import functools
import inspect
import logging
import time
from typing import Any

import jax
import numpy as np
import psutil

from adapters_jax.data import batching
from adapters_jax.data import examples as examples_lib
from adapters_jax.data import progress
from adapters_jax import errors
from adapters_jax.model import encoder as encoder_lib
from adapters_jax.model import sites
from adapters_jax.training import sharding
from adapters_jax.training import selections
from adapters_jax.training import steps
from adapters_jax import trees

_log = logging.getLogger(__name__)

# One leaf of each kind: selections depend only on layer and kind of leaf.
_LEAVES = ('norm/scale', 'norm/bias', 'kernel', 'embedding')


def adapted(methods: Sequence[Any], layer: int) -> bool:
  """Returns whether a method acts in a layer.

  Args:
    methods: Method configs of the adapters.
    layer: Number of the layer.
  """
  return any(method.applies(site, layer)
             for method in methods for site in sites.SITES)


def first_layer(
    select: selections.Select, methods: Sequence[Any], layers: int
) -> int:
  """Returns the lowest layer with tuned or adapted leaves.

  Args:
    select: Predicate of the tuned paths.
    methods: Method configs of the adapters.
    layers: Number of layers of the model.

  Returns:
    Index of the layer; 0 if the embeddings are tuned or adapted, `layers` if
    only the pooler and the head are.
  """
  def tuned(prefix):
    return any(select(f'{prefix}/{leaf}') for leaf in _LEAVES)

  # Methods of the kind 'embedding' change the input of layer 0.
  if tuned('embeddings') or any(m.kind == 'embedding' for m in methods):
    return 0
  return next((layer for layer in range(layers)
               if tuned(f'encoder/layer_{layer}') or adapted(methods, layer)),
              layers)


def check_config(
    select: selections.Select, methods: Sequence[Any], layers: int
) -> None:
  """Checks that some layer can be computed once.

  Args:
    select: Predicate of the tuned paths.
    methods: Method configs of the adapters.
    layers: Number of layers of the model.

  Raises:
    errors.UserError: the embeddings or the lowest layer are tuned or adapted.
  """
  if not first_layer(select, methods, layers):
    raise errors.UserError(
        '`cache_frozen`: no layer can be computed once, because the embeddings '
        'or the lowest layer are trained or adapted; train upper layers alone, '
        'e.g. `adapter_layers=4-5`, or a method with leave_out=(0, 1), with '
        '`norm_layers=same`; `tune=top_k` or `tune=head`')


def check_model(model: Any) -> None:
  """Checks that a model can begin at hidden states.

  Args:
    model: The whole model.

  Raises:
    errors.UserError: its head has no argument for them.
  """
  if 'hidden' not in inspect.signature(type(model).__call__).parameters:
    raise errors.UserError(
        f'`cache_frozen`: {type(model).__name__}.__call__ has no argument '
        '`hidden`, as heads.Classifier has; leave it out')


def above(model: Any, first: int) -> Any:
  """Returns the model that begins at a layer and reads hidden states.

  Args:
    model: The whole model.
    first: Index of the lowest layer to compute.
  """
  return model.clone(
      config=dataclasses.replace(model.config, first_layer=first))


def _demand_memory(size: int) -> None:
  """Raises UserError if hidden states of this many bytes do not fit memory."""
  free = psutil.virtual_memory().available
  if size > free:
    raise errors.UserError(
        f'`cache_frozen`: {size / 1e9:.1f} GB of hidden states do not fit the '
        f'{free / 1e9:.1f} GB of memory that are free; leave it out, or take '
        'fewer `train_examples` or a lower `max_length`')


def cached(
    model: Any, base: trees.Tree, tuned: trees.Tree,
    splits: Mapping[str, examples_lib.Examples], first: int, *,
    mesh: jax.sharding.Mesh, buckets: Sequence[int], batch_size: int,
) -> dict[str, examples_lib.Examples]:
  """Returns the splits with precomputed layer inputs instead of token ids.

  Args:
    model: The whole model.
    base: Frozen leaves, on the devices.
    tuned: Tuned leaves.
    splits: {split: examples}
    first: Result of `first_layer`. If it is the number of layers, the output of
      the last layer is kept, at the positions that the head reads.
    mesh: Devices.
    buckets: Lengths, in tokens, to pad to for the computation.
    batch_size: Number of examples at a time.

  Raises:
    errors.UserError: the hidden states do not fit the free memory.
  """
  config = model.config
  whole = first < config.layers or model.rows is None
  rows = sum(int(examples.lengths.sum()) if whole else len(examples)
             for examples in splits.values())
  size = 4 * rows * config.dim  # Bytes of float32.
  _demand_memory(size)
  _log.info('below layer %d of %d nothing is trained: computing %s hidden '
            'states once, without dropout; %s MB', first, config.layers,
            f'{rows:,}', f'{size / 1e6:,.1f}')
  start = time.perf_counter()
  encoder = encoder_lib.Bert(config)

  # Replicated, as every host keeps the states of all examples. XLA drops the
  # layers above, whose output is not returned.
  @functools.partial(jax.jit, out_shardings=sharding.replicated(mesh))
  def enter(base, tuned, batch):
    params = {'params': trees.overlay(base, tuned)}
    return encoder.apply(
        params, **steps.inputs(batch), rows=model.rows)[first]

  def hidden_of(examples):
    hidden = [None] * len(examples)
    batches = batching.eval_batches(
        examples, buckets, batch_size,
        **sharding.of_evaluation(mesh, batch_size))
    for rows, batch in progress.of_batches(batches, len(examples), 'kept'):
      out = np.asarray(enter(
          base, tuned, sharding.place_batch(mesh, batch, batch_size)))
      for row, states in zip(rows, out):  # `rows` is shorter by the filler.
        # A copy: a slice would keep the whole batch alive.
        hidden[row] = np.array(states[:examples.lengths[row]], np.float32)
    return hidden

  splits = {name: dataclasses.replace(examples, hidden=hidden_of(examples))
            for name, examples in splits.items()}
  _log.info('computed in %.1f s', time.perf_counter() - start)
  return splits
