"""Sentence embeddings of texts, by a base alone or with an adapter."""

from collections.abc import Mapping, Sequence
import dataclasses
import functools
import typing
from typing import Any

import jax
import numpy as np

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import arguments
from adapters_jax.adapters import compiled
from adapters_jax.adapters import embedding_inputs
from adapters_jax.adapters import embedding_settings
from adapters_jax.adapters import in_flight
from adapters_jax.adapters import mixed
from adapters_jax.adapters import readings
from adapters_jax.adapters import resident
from adapters_jax.data import batching
from adapters_jax.data import examples as examples_lib
from adapters_jax.data import tokenization
from adapters_jax.methods import values as values_lib
from adapters_jax.model import base as base_lib
from adapters_jax.model import composition
from adapters_jax.model import heads
from adapters_jax.model import pooling as pooling_lib

# Lengths in tokens to pad batches to; all calls share their programs. Texts are
# grouped by length, so that few tokens are padding.
_BUCKETS = (*range(8, 64, 8), *range(64, 128, 16), *range(128, 513, 32))


@typing.overload
def encode(
    base: base_lib.Base, texts: Sequence[str] | np.ndarray,
    adapter: adapter_lib.Adapter | None = None, *, adapters: None = None,
    pooling: str | None = None, normalize: bool | None = None,
    max_length: int | None = None, prompt: str | None = None,
    dims: int | None = None, batch_size: int = 32, setup: None = None,
) -> np.ndarray:
  ...


@typing.overload
def encode(
    base: base_lib.Base, texts: Sequence[str] | np.ndarray,
    adapter: Mapping[str, Any], *,
    adapters: Sequence[str | None] | None = None,
    pooling: str | None = None, normalize: bool | None = None,
    max_length: int | None = None, prompt: str | None = None,
    dims: int | None = None, batch_size: int = 32,
    setup: composition.Setup | None = None,
) -> Any:
  ...


def encode(
    base: base_lib.Base, texts: Sequence[str] | np.ndarray,
    adapter: adapter_lib.Adapter | Mapping[str, Any] | None = None, *,
    adapters: Sequence[str | None] | None = None,
    pooling: str | None = None, normalize: bool | None = None,
    max_length: int | None = None, prompt: str | None = None,
    dims: int | None = None, batch_size: int = 32,
    setup: composition.Setup | None = None,
) -> Any:
  """Embeds texts.

  Settings that are None default to those of the adapter's training, else to
  those in the folder of the base (modules.json of sentence-transformers), else
  to the normalised mean. The precision is that of the base.

  >>> aj.encode(base, ['A joy from start to end.']).shape
  (1, 12)
  >>> list(aj.encode(base, ['A joy.'], {'film': film, 'food': food}))
  ['film', 'food']

  Args:
    base: Pretrained encoder.
    texts: Texts.
    adapter: Adapter of any task, whose head is left out; None for the base; or
      a bank {name: adapter}.
    adapters: With a bank, the name of the adapter for each text, or None for
      the plain base. By default all adapters embed every text.
    pooling: One of `model.pooling.MODES`, such as 'mean' or 'cls'.
    normalize: Whether to scale embeddings to the length 1.
    max_length: Longest text in tokens, special tokens included; the rest of a
      text is not read, which is logged.
    prompt: Text to put before every text, such as 'query: '.
    dims: Leading dimensions to keep (Kusupati et al., 2022), scaled to the
      length 1 if the whole is; 0 for all. Those of the base's folder
      (`truncate_dim`) are not scaled.
    batch_size: Texts a step.
    setup: With a bank, a setup for all texts, such as Stack('domain', 'sts').

  Returns:
    [texts, dims] float32 embeddings, in order; {name: embeddings} with all
    adapters of a bank or with a `Parallel`.

  Raises:
    errors.UserError: an adapter of another base, other texts than strings,
      an unknown pooling, or embeddings that are not finite.
  """
  arguments.demand_base(base, 'encode(base, texts)')
  arguments.check_types(base, {} if adapter is None else adapter, batch_size)
  # Perhaps of NumPy or JAX.
  batch_size, normalize, max_length, dims = map(
      values_lib.scalar, (batch_size, normalize, max_length, dims))
  arguments.check_encoding(
      pooling, normalize, max_length, prompt, dims, base.config.dim)
  words = embedding_inputs.strings(texts)
  make_settings = embedding_settings.once(functools.partial(
      embedding_settings.pooling_of, base.checkpoint, mode=pooling,
      normalize=normalize, max_length=max_length, prompt=prompt))
  columns = embedding_inputs.columns(adapter, adapters, setup, len(words))
  if not isinstance(adapter, Mapping):
    return _leading(
        *_embedded(base, words, adapter, make_settings, batch_size), dims,
        normalize)
  found = {key: _leading(*_embedded_by_name(
      base, words, bank, names, make_settings, batch_size), dims, normalize)
           for key, bank, names in columns}
  return found.get(None, found)


def _leading(
    vectors: np.ndarray, scaled: Any, own: int | None, dims: int | None,
    normalize: bool | None,
) -> np.ndarray:
  """Returns the leading dimensions of embeddings.

  Args:
    vectors: [texts, dim]
    scaled: Whether to scale the result to length 1; a bool, or [texts, 1] bool.
    own: Dimensions of the settings, not scaled; None where texts differ.
    dims: Dimensions to keep instead; 0 for all, None for `own`.
    normalize: Argument of `encode`; True scales the dimensions of `own`, too.
  """
  if dims is None and own is None:
    raise errors.UserError(
        '`dims`: the base keeps fewer dimensions (truncate_dim) than some of '
        'the adapters were trained with; give a number, or 0 for all')
  if dims is None and not normalize:  # As in sentence-transformers.
    return vectors[:, :own or None]
  dims = own if dims is None else dims
  if not dims or dims == vectors.shape[1]:
    return vectors
  found = vectors[:, :dims]
  norms = np.maximum(np.linalg.norm(found, axis=-1, keepdims=True), 1e-12)
  return np.where(scaled, found / norms, found)


def _embedded_by_name(
    base: base_lib.Base, texts: Sequence[str], bank: Mapping[str, Any],
    names: Sequence[str | None], make_settings: Any, batch_size: int,
) -> tuple[np.ndarray, np.ndarray, int | None]:
  """Returns ([texts, dim] embeddings, [texts, 1] whether scaled, dimensions).

  Args:
    base: Pretrained encoder.
    texts: Texts.
    bank: Adapters.
    names: Name of the adapter of each text; None for the plain base.
    make_settings: (adapter or None) -> Pooling.
    batch_size: Texts a step.
  """
  used = {name: None if name is None else bank[name] for name in names}
  settings = {name: make_settings(one) for name, one in used.items()}
  for name, one in used.items():
    _model_of(base, one, settings[name])  # Called for its checks.
  scaled = np.array([[settings[name].normalize] for name in names], bool)
  widths = {one.dims for one in settings.values()}
  own = widths.pop() if len(widths) == 1 else None
  if not texts:
    return np.zeros(
        (0, base.config.dim), np.float32), scaled.reshape(0, 1), own or 0
  tokens: list[Any] = [None] * len(texts)
  segments: list[Any] = [None] * len(texts)
  longer = 0
  for name, one in used.items():
    rows = [row for row, other in enumerate(names) if other == name]
    *encoded, cut = tokenization.encode_counted(
        compiled.tokenizer_of(base),
        [(settings[name].text(texts[row]),) for row in rows],
        embedding_settings.longest(base, one, settings[name]), rows)
    for row, ids, parts in zip(rows, *encoded, strict=True):
      tokens[row], segments[row] = ids, parts
    longer += int(cut.sum())
  readings.log_cut(longer, len(texts))
  placed = resident.place(
      base, used, reads_head=False, make_model=lambda base, one: _module_of(
          base, one, make_settings(one)))
  found = mixed.forward(
      placed, names, examples_lib.Examples(
          tokens, segments, np.zeros(len(tokens), np.int32)),
      batch_size, _BUCKETS)
  return np.stack(found), scaled, own


def _embedded(
    base: base_lib.Base, texts: Sequence[str] | np.ndarray,
    adapter: adapter_lib.Adapter | None, make_settings: Any, batch_size: int,
) -> tuple[np.ndarray, bool, int]:
  """Returns ([texts, dim] embeddings, whether scaled to length 1, dimensions).

  Args:
    base: Pretrained encoder.
    texts: Texts.
    adapter: Adapter, or None.
    make_settings: (adapter or None) -> Pooling.
    batch_size: Texts a step.
  """
  pooling = make_settings(adapter)
  longest = embedding_settings.longest(base, adapter, pooling)
  found = np.zeros((len(texts), base.config.dim), np.float32)
  if not texts:
    return found, pooling.normalize, pooling.dims
  # Compute repeated texts once.
  firsts = {text: row for row, text in reversed([*enumerate(texts)])}
  distinct = {text: row for row, text in enumerate(dict.fromkeys(texts))}
  tokens, segments, cut = tokenization.encode_counted(
      compiled.tokenizer_of(base),
      [(pooling.text(text),) for text in distinct], longest,
      [firsts[text] for text in distinct])
  rows_of = [distinct[text] for text in texts]
  readings.log_cut(int(cut[rows_of].sum()), len(texts))
  examples = examples_lib.Examples(
      tokens, segments, np.zeros(len(distinct), np.int32))
  while batch_size >= 2 * len(distinct):  # Few texts fit a smaller batch.
    batch_size //= 2
  model, params, tuned = _model_of(base, adapter, pooling)
  step, tuned = compiled.eval_step(model), jax.device_put(tuned)
  computed = ((rows, step(params, tuned, batch)) for rows, batch in (
      batching.eval_batches(examples, _BUCKETS, batch_size)))
  vectors = np.zeros((len(distinct), base.config.dim), np.float32)
  with compiled.matmul_precision(base):
    for rows, part in in_flight.ahead(computed):
      vectors[rows] = np.asarray(part)[:len(rows)]
  found = vectors[rows_of]
  bad = np.flatnonzero(~np.isfinite(found).all(axis=-1))
  if len(bad):
    raise errors.UserError(
        f'text {bad[0]}: the embedding is not finite, so the weights of base '
        'or adapter are not, or too large')
  return found, pooling.normalize, pooling.dims


def _model_of(
    base: base_lib.Base, adapter: adapter_lib.Adapter | None,
    pooling: pooling_lib.Pooling,
) -> tuple[heads.Model, trees.Tree, trees.Tree]:
  """Returns (model, leaves of the base, tuned leaves)."""
  model = _module_of(base, adapter, pooling)
  params, tuned = (
      {name: leaves for name, leaves in tree.items()
       if not trees.is_above(name)}
      for tree in (base.params, adapter.tuned if adapter else {}))
  if adapter:
    compiled.check_base(base.identity, adapter, 'the adapter')
    compiled.check_fuses(base, adapter, 'the adapter')
    compiled.check_leaves(params, tuned, model, 'the adapter')
  return model, params, tuned


def _module_of(
    base: base_lib.Base, adapter: adapter_lib.Adapter | None,
    pooling: pooling_lib.Pooling,
) -> heads.Model:
  """Returns the encoder of sentences with an adapter's methods."""
  shape = compiled.encoder_config(
      base, adapter.hidden_activation if adapter else '')
  if adapter:
    shape = dataclasses.replace(
        shape, adapters=adapter.methods, composition=adapter.composition)
  return heads.embedding.SentenceEncoder(
      shape, pooling.mode, pooling.normalize)
