"""Saved adapters: `tuned.safetensors` and `config.json` in a folder."""

from collections.abc import Mapping
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import numpy as safetensors_numpy

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import field_checks
from adapters_jax.adapters import folders
from adapters_jax.downloads import atomic
from adapters_jax.downloads import json_files
from adapters_jax.model import composition
from adapters_jax.model import setups

HASH = 'sha256'  # Entry of the settings: hash of both files.


def save_tuned(
    folder: str, tuned: trees.Tree, settings: dict[str, Any]
) -> None:
  """Writes tuned.safetensors and config.json, loadable on any device.

  Args:
    folder: Folder of the adapter, created if absent.
    tuned: Partial tree; all of it is saved, head and norms included.
    settings: JSON value that describes it; see `Adapter.save`.

  Raises:
    errors.UserError: the folder of a model, whose config.json would be lost; or
      a value that `load_tuned` would refuse. The folder is left unchanged.
  """
  if folders.is_model(folder):
    raise errors.UserError(
        f'{folder}: its {folders.SETTINGS} is that of a model; name another '
        'folder')
  flat = {path: _stored(leaf)
          for path, leaf in trees.flatten(jax.device_get(tuned)).items()}
  trees.check_finite(flat, '`tuned`')
  content = safetensors_numpy.save(flat)
  settings = field_checks.plain(
      {'format': folders.FORMAT, **settings}, folders.SETTINGS)
  settings[HASH] = atomic.json_digest(settings, content)
  # All that can fail comes first, so that an adapter in the folder survives.
  with atomic.replacing(os.path.join(folder, folders.WEIGHTS)) as file:
    file.write(content)
  # Last, so that settings imply complete weights.
  atomic.write_json(os.path.join(folder, folders.SETTINGS), settings)


def _stored(leaf: Any) -> np.ndarray:
  """Returns a leaf as a contiguous array for safetensors; floats as float32."""
  # `ascontiguousarray` gives a scalar one axis; the reshape drops it.
  leaf = np.ascontiguousarray(leaf).reshape(np.shape(leaf))
  # JAX's check, as NumPy does not count bfloat16 as floating.
  if not jnp.issubdtype(leaf.dtype, jnp.floating):
    return leaf
  with np.errstate(over='ignore'):  # `check_finite` reports overflows.
    return leaf.astype(np.float32)


def load_tuned(folder: str) -> tuple[trees.Tree, dict[str, Any]]:
  """Returns (tuned tree of numpy arrays, settings) of a folder.

  Args:
    folder: Folder of the adapter.

  Raises:
    errors.UserError: no saved adapter, or a damaged one.
  """
  settings = folders.read_settings(folder)
  path = os.path.join(folder, folders.WEIGHTS)
  try:
    with open(path, 'rb') as file:
      content = file.read()
    flat = safetensors_numpy.load(content)
  except Exception as error:  # The library raises its own and OSErrors.
    raise errors.UserError(f'{path} cannot be read ({error})') from error
  _check_hash(folder, settings, content)
  with errors.within(path):
    tuned = trees.unflatten(flat)
  trees.check_finite(tuned, path)
  return tuned, settings


def _check_hash(
    folder: str, settings: dict[str, Any], content: bytes
) -> None:
  """Raises UserError if an adapter's files have changed since they were saved.

  Adapters of earlier versions have no hash.
  """
  saved = settings.pop(HASH, None)
  if saved is not None and saved != atomic.json_digest(settings, content):
    raise errors.UserError(
        f'{folder}: {folders.WEIGHTS} or {folders.SETTINGS} has changed since '
        'the adapter was saved; copy them again, or after a change by hand '
        f'remove "{HASH}" from {folders.SETTINGS}')


def without_unused(tuned: trees.Tree, methods: tuple[Any, ...]) -> trees.Tree:
  """Removes leaves that earlier versions saved and that nothing reads.

  Args:
    tuned: Tree of a saved adapter.
    methods: Its methods.
  """
  leaves = trees.flatten(tuned)

  def keep(path):
    index = trees.method_of(path)
    return (index is None or index >= len(methods)  # Damaged; found later.
            # Prefixes of no layer had leaves without numbers.
            or leaves[path].size > 0 and not methods[index].unused(path))

  return trees.split(tuned, keep)[0]


def setup_of(
    own: Mapping[str, Any], methods: tuple[Any, ...], where: str
) -> tuple[composition.Block | None, tuple[tuple[str, int], ...]]:
  """Returns (setup, members) of a saved adapter; (None, ()) of a single one.

  Args:
    own: JSON entries of the adapter.
    methods: Its methods.
    where: Path of its file, for messages.

  Raises:
    errors.UserError: members that do not make the methods.
  """
  text = json_files.string(own, 'setup', where, '')
  if not text:
    return None, ()
  setup = setups.parse(text, f'{where}: setup')
  try:
    members = tuple((str(name), int(count)) for name, count in own['members'])
    whole = sum(dict(members)[name] for name in setups.names(setup))
  except (KeyError, TypeError, ValueError):
    whole = -1
  if whole != len(methods) or isinstance(setup, str):
    raise errors.UserError(
        f'{where}: the members of setup {text} do not add up to its method')
  return setup, members
