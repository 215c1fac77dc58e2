"""Reads and writes adapters in this package's format and other libraries'."""

from collections.abc import Callable
import dataclasses
import os
from typing import Any

import numpy as np

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import base_shape
from adapters_jax.adapters import formats
from adapters_jax.adapters import locations
from adapters_jax.adapters import remarks
from adapters_jax.adapters.formats import adapter_bert
from adapters_jax.adapters.formats import adapterhub
from adapters_jax.adapters.formats import adapterhub_setups
from adapters_jax.adapters.formats import head_layers
from adapters_jax.adapters.formats import models
from adapters_jax.adapters.formats import origins
from adapters_jax.adapters.formats import peft
from adapters_jax.adapters.formats import places
from adapters_jax.adapters.formats import sentence_transformer
from adapters_jax.adapters.formats import transformers_heads
from adapters_jax.adapters.formats import transformers_model
from adapters_jax.adapters.formats import transformers_reading
from adapters_jax.adapters.formats import weights
from adapters_jax.downloads import assets
from adapters_jax.downloads import atomic
from adapters_jax.downloads import paths
from adapters_jax.model import base as base_lib
from adapters_jax.model import encoder
from adapters_jax.model import pretrained

_SHOWN = 100  # Characters of another library's message.


def read(
    path: paths.Path, shape: encoder.BertConfig, head: bool = True,
    base: Callable[[], trees.Tree] | None = None, checkpoint: str = '',
) -> adapter_lib.Adapter:
  """Reads an adapter of any of formats.FORMATS, or the head of a model.

  Args:
    path: Folder, or .npz file of adapter-bert's variables.
    shape: Shape of the base.
    head: Whether to read the head of another library.
    base: Function that makes the pretrained tree. It supplies the pooler, for a
      LoRA of it; the word embeddings, to check a masked_lm head; and the layers
      before ModernBERT's classifier, which PEFT does not save by default.
    checkpoint: Name or folder of the base, '' if unknown. Files that name
      another one are logged.

  Returns:
    The adapter. Files of other libraries state neither texts nor lengths: such
    an adapter gets those that are usual for its kind of head. The head of a
    whole model is for the model's own encoder, its `base`.

  Raises:
    errors.UserError: no adapter, a damaged one, or one of another base.
  """
  path = paths.text(path, 'path')
  form = locations.find_format(path)
  if form == 'own':
    return _read_own(path, shape)
  models.check_family(shape.family, form)
  try:
    adapter = _read_other(path, form, shape, head, base)
    trees.check_finite(adapter.tuned, f'`path={path}`')
    places.check_shapes(adapter, shape, f'`path={path}`')
  except errors.UserError as error:  # A ValueError, but its text is final.
    if path in str(error):
      raise
    raise errors.UserError(f'`path={path}`: {error}') from error
  # JSON may hold any type and size; JAX and Flax raise for impossible shapes.
  except (ArithmeticError, AttributeError, LookupError, MemoryError,
          RecursionError, TypeError, ValueError) as error:
    raise errors.UserError(
        f'`path={path}`: its JSON is not as it should be '
        f'({errors.first_line(error)[:_SHOWN]})') from error
  if form == 'transformers':
    return adapter
  if form != 'adapter_bert':
    origins.warn(locations.bases_of(path), checkpoint)
  row = adapter.head
  return dataclasses.replace(
      adapter, family=shape.family, task=row.task, texts=row.texts,
      max_length=min(row.max_length, shape.longest))


def _read_other(
    path: str, form: str, shape: encoder.BertConfig, head: bool,
    base: Callable[[], trees.Tree] | None,
) -> adapter_lib.Adapter:
  """Reads an adapter of another format than 'own'; arguments as in `read`."""
  if form == 'adapterhub':
    if os.path.isfile(os.path.join(path, adapterhub_setups.SETUP)):
      return adapterhub_setups.read(path, shape, head, base)
    return adapterhub.read(path, shape, head, base)[1]
  if form == 'peft':
    return peft.read(path, shape, head, base)
  if form == 'transformers':
    if not head:
      raise errors.UserError(
          '`head=False`: nothing but the head of a whole model is an adapter; '
          'load_base reads its encoder')
    return transformers_reading.read(path)
  adapter = adapter_bert.from_variables(_read_npz(path), shape)
  return adapter if head else _without_head(adapter)


def _read_npz(path: str) -> dict[str, np.ndarray]:
  try:
    with np.load(path) as archive:
      return dict(archive)
  except Exception as error:  # The library raises several kinds.
    raise errors.UserError(
        f'`path`: {path} cannot be read ({error})') from error


def _read_own(folder: str, shape: encoder.BertConfig) -> adapter_lib.Adapter:
  adapter = adapter_lib.load(folder)
  # Without head and norms, whose shapes do not follow from the methods.
  wanted = places.leaf_shapes(adapter.methods, shape, adapter.composition)
  own, _ = trees.split(
      adapter.tuned, lambda path: trees.role(path) in ('adapter', 'fixed'))
  with places.on_base(shape):
    trees.check_same(own, trees.unflatten(wanted), f'`path={folder}`')
  return adapter


def write(
    path: paths.Path, adapter: adapter_lib.Adapter, form: str, *,
    name: str = 'adapter', checkpoint: str = '', head: bool = True,
) -> list[str]:
  """Writes an adapter in one of formats.FORMATS.

  Args:
    path: Folder, made if absent; a .npz file for 'adapter_bert'.
    adapter: Adapter.
    form: One of formats.FORMATS.
    name: Name of the adapter in AdapterHub's files.
    checkpoint: Name or folder of the base; that of the adapter when empty.
    head: Whether to write the head.

  Returns:
    Notes for the user.

  Raises:
    errors.UserError: an unknown format, or one that cannot hold the adapter.
  """
  if form not in formats.FORMATS:
    raise errors.unknown('`format`', str(form), formats.FORMATS)
  path = locations.target(path, form)
  if not head:
    adapter = _without_head(adapter)
  if form == 'own':
    _write_own(path, adapter, checkpoint)
    return []
  _check_kind(adapter, form)
  checkpoint = checkpoint or base_lib.name_of(adapter.base)
  return _write_other(path, adapter, form, name, checkpoint)


def _write_other(
    path: str, adapter: adapter_lib.Adapter, form: str, name: str,
    checkpoint: str,
) -> list[str]:
  """Writes an adapter in another format than 'own'; returns notes."""
  if form in formats.WHOLE and not checkpoint:
    raise base_shape.missing('its weights are part of the folder')
  if form == 'sentence_transformers':
    return sentence_transformer.write(path, adapter, checkpoint)
  if adapter.head.pretrained and form != 'adapterhub':
    return [*_write_other(path, _without_head(adapter), form, name, checkpoint),
            'the head of masked language modelling is left out']
  models.check_family(adapter.family, form)
  if form == 'transformers':
    return transformers_model.write(path, adapter, checkpoint)
  if form == 'adapter_bert':
    variables: dict[str, Any] = adapter_bert.to_variables(
        adapter, (lambda: _base_tree(checkpoint)) if checkpoint else None)
    with atomic.replacing(path) as file:
      np.savez(file, **variables)
    # BERTs on the hub have the default number of positions: no download needed.
    shape = (pretrained.config_of(checkpoint) if assets.is_folder(checkpoint)
             else encoder.BertConfig())
    return remarks.of(adapter, form, shape.longest, checkpoint)
  shape = base_shape.shape_for(adapter, form, checkpoint)
  pooler = _pooler(adapter, form, checkpoint)
  model = models.hub_name(checkpoint)
  if form == 'peft':
    notes = peft.write(path, adapter, shape, pooler, model)
  else:
    notes = adapterhub_setups.write(path, name, adapter, pooler, shape, model)
  if adapter.setup is None:  # A stale setup file would be read instead.
    weights.remove(path, adapterhub_setups.SETUP)
  return notes + remarks.of(adapter, form, shape.longest, checkpoint)


def _check_kind(adapter: adapter_lib.Adapter, form: str) -> None:
  """Raises UserError for an adapter that a format cannot hold."""
  if (form not in formats.WHOLE and not adapter.methods
      and adapter.method != 'layer norms'):
    raise errors.UserError(
        f'`format={form}`: it holds adapters, and this is {adapter.method} '
        f'alone; {", ".join(map(repr, formats.WHOLE))} '
        "and 'own' hold it")
  if adapter.setup is not None and form != 'adapterhub':
    raise errors.UserError(
        f'`format={form}`: it has no file of several adapters in one; export '
        'the members one by one, as in aj.member(adapter, '
        f'{adapter.members[-1][0]!r}), or give format=own')


def _without_head(adapter: adapter_lib.Adapter) -> adapter_lib.Adapter:
  """Returns an adapter without its head and the pooler before it."""
  if not adapter.head.dense:  # Its name states how embeddings are pooled.
    return adapter
  tuned = {part: leaves for part, leaves in adapter.tuned.items()
           if not trees.is_above(part)}
  return dataclasses.replace(
      adapter, tuned=tuned, head_input='cls', labels=(), threshold=None)


def _pooler(
    adapter: adapter_lib.Adapter, form: str, checkpoint: str
) -> trees.Tree:
  """Returns the base if the head's file must hold its pooler, else {}."""
  # In PEFT, the pooler of some families belongs to the encoder.
  if (adapter.outputs is None or not adapter.head.pooled
      or head_layers.has_pooler(adapter) or form == 'peft'
      and 'pooler' not in adapter.tuned
      and not transformers_heads.holds_pooler(
          adapter.family, adapter.head_input)):
    return {}
  if not checkpoint:
    raise base_shape.missing('the head reads the pooler of the base')
  return _base_tree(checkpoint)


def _base_tree(checkpoint: str) -> trees.Tree:
  """Returns the pretrained tree of a checkpoint, with its pooler."""
  return pretrained.load_base(pretrained.resolve(checkpoint, tokenizer=False))


def _write_own(
    folder: str, adapter: adapter_lib.Adapter, checkpoint: str
) -> None:
  """Writes a folder like that of a run, as `experiments.predict` reads it."""
  # Also raises for labels that do not fit the head.
  adapter = dataclasses.replace(adapter, labels=adapter.classes)
  if checkpoint:
    identity = base_lib.identity(checkpoint)
    if not base_lib.same(identity, adapter.base):  # Of another training.
      adapter = dataclasses.replace(adapter, base=identity, settings={})
  adapter.save(folder)
