"""Sentence embeddings of texts, by a base alone or with an adapter."""

from collections.abc import Sequence
import dataclasses
from typing import Any

import jax
import numpy as np

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import arguments
from adapters_jax.adapters import compiled
from adapters_jax.data import batching
from adapters_jax.data import tokenization
from adapters_jax.model import base as base_lib
from adapters_jax.model import heads
from adapters_jax.model import pooling as pooling_lib
from adapters_jax.model import precision
from adapters_jax.model import sentence_files

# Lengths to pad batches to, whose programs all calls share. Texts are sorted
# into them, so that few tokens are padding.
_BUCKETS = (*range(8, 64, 8), *range(64, 128, 16), *range(128, 513, 32))
# Parts of a tree that embeddings do not read.
HEADS = trees.ABOVE


def encode(
    base: base_lib.Base, texts: Sequence[str],
    adapter: adapter_lib.Adapter | None = None, *, pooling: str | None = None,
    normalize: bool | None = None, max_length: int | None = None,
    prompt: str | None = None, dims: int = 0, batch_size: int = 32,
) -> np.ndarray:
  """Embeds texts.

  Settings that are None are those of the adapter's training, else those in the
  folder of the base (modules.json of sentence-transformers), else the
  normalised mean. The precision is that of the base.

  >>> aj.encode(base, ['A joy from start to end.']).shape
  (1, 12)

  Args:
    base: Pretrained encoder.
    texts: Texts.
    adapter: Adapter of any task, whose head is left out; None for the base.
    pooling: One of `model.pooling.MODES`, such as 'mean' or 'cls'.
    normalize: Whether to scale embeddings to the length 1.
    max_length: Longest text in tokens, special tokens included; the rest of a
      text is not read.
    prompt: Text to put before every text, such as 'query: '.
    dims: Leading dimensions to keep (Kusupati et al., 2022); 0 for all.
    batch_size: Texts a step.

  Returns:
    [texts, dims] float32 embeddings, in order.

  Raises:
    errors.UserError: an adapter of another base, other texts than strings,
      an unknown pooling, or embeddings that are not finite.
  """
  arguments.demand_base(base, 'encode(base, texts)')
  if adapter is not None:
    arguments.check_types(base, adapter, batch_size)
  rows = arguments.rows_of(texts)
  for number, row in enumerate(rows):
    if len(row) != 1 or not isinstance(row[0], str):
      raise errors.UserError(f'`texts[{number}]`: give a string')
  if not 0 <= dims <= base.config.dim:
    raise errors.UserError(
        f'`dims={dims}`: give 1 to {base.config.dim}, or 0 for all')
  chosen = settings_of(
      base.checkpoint, adapter, mode=pooling, normalize=normalize,
      max_length=max_length, prompt=prompt)
  found = _embedded(base, [row[0] for row in rows], adapter, chosen, batch_size)
  if not dims or dims == base.config.dim:
    return found
  found = found[:, :dims]
  if chosen.normalize:
    found = found / np.maximum(
        np.linalg.norm(found, axis=-1, keepdims=True), 1e-12)
  return found


def settings_of(
    checkpoint: str, adapter: adapter_lib.Adapter | None, **given: Any
) -> pooling_lib.Pooling:
  """Returns the settings of embeddings.

  Args:
    checkpoint: Name or folder of the base.
    adapter: Adapter, or None.
    **given: Fields of `Pooling` that replace those of adapter and base, unless
      None.
  """
  found = sentence_files.of_checkpoint(checkpoint)
  if adapter and adapter.head_input.startswith(heads.embedding.PREFIX):
    found = dataclasses.replace(
        found, max_length=adapter.max_length, normalize=True,
        mode=adapter.head_input.removeprefix(heads.embedding.PREFIX))
  return dataclasses.replace(found, **{
      name: value for name, value in given.items() if value is not None})


def _embedded(
    base: base_lib.Base, texts: Sequence[str],
    adapter: adapter_lib.Adapter | None, pooling: pooling_lib.Pooling,
    batch_size: int,
) -> np.ndarray:
  """Returns [texts, dim] float32 embeddings; arguments as for `encode`."""
  methods = adapter.methods if adapter else ()
  longest = base.config.longest - sum(c.positions_taken for c in methods)
  if pooling.max_length:
    longest = min(longest, pooling.max_length)
  found = np.zeros((len(texts), base.config.dim), np.float32)
  if not texts:
    return found
  # A text that occurs several times is computed once.
  distinct = {text: row for row, text in enumerate(dict.fromkeys(texts))}
  tokens, segments = tokenization.encode(
      compiled.tokenizer_of(base),
      [(pooling.text(text),) for text in distinct], longest)
  examples = batching.Examples(
      tokens, segments, np.zeros(len(distinct), np.int32))
  while batch_size >= 2 * len(distinct):  # One text needs no batch of 32.
    batch_size //= 2
  model, params, tuned = _model_of(base, adapter, pooling)
  step = compiled.eval_step(model)
  with compiled.matmul_precision(base):
    # All are dispatched before the first is read.
    computed = [(rows, step(params, tuned, batch)) for rows, batch in (
        batching.eval_batches(examples, _BUCKETS, batch_size))]
  vectors = np.zeros((len(distinct), base.config.dim), np.float32)
  for rows, part in computed:
    vectors[rows] = np.asarray(part)[:len(rows)]
  found = vectors[[distinct[text] for text in texts]]
  bad = np.flatnonzero(~np.isfinite(found).all(axis=-1))
  if len(bad):
    raise errors.UserError(
        f'text {bad[0]}: the embedding is not finite, so the weights of base '
        'or adapter are not, or too large')
  return found


def _model_of(
    base: base_lib.Base, adapter: adapter_lib.Adapter | None,
    pooling: pooling_lib.Pooling,
) -> tuple[heads.Model, trees.Tree, trees.Tree]:
  """Returns (model, leaves of the base, tuned leaves)."""
  shape = base.config
  chosen = precision.choose(base.precision, shape.head_dim)
  activation = adapter.hidden_activation if adapter else ''
  shape = dataclasses.replace(
      shape, dtype=chosen.dtype, attention=chosen.attention,
      products=chosen.products, activation=activation or shape.activation,
      adapters=adapter.methods if adapter else (),
      composition=adapter.composition if adapter else None)
  model = heads.embedding.SentenceEncoder(
      shape, pooling.mode, pooling.normalize)
  params, tuned = (
      {name: leaves for name, leaves in tree.items() if name not in HEADS}
      for tree in (base.params, adapter.tuned if adapter else {}))
  if adapter:
    compiled.check_base(base.identity, adapter, 'the adapter')
    trees.check_same(
        trees.overlay(params, tuned), compiled.shapes(model), 'the adapter')
  return model, params, jax.device_put(tuned)
