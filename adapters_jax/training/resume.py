"""The resumable state of a run on disk."""

from collections.abc import Mapping
import hashlib
import json
import logging
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
from safetensors import numpy as safetensors_numpy

from adapters_jax import errors
from adapters_jax.downloads import atomic
from adapters_jax.training import loop
from adapters_jax.training import sharding

_log = logging.getLogger(__name__)

KEPT = 2  # Saves, the second in case that the first is damaged.
_ENDING = '.safetensors'


def exists(folder: str) -> bool:
  """Returns whether a folder holds a saved state."""
  return bool(_numbers(folder))


def _numbers(folder: str) -> list[int]:
  """Returns the numbers of the saves in a folder, ascending."""
  names = os.listdir(folder) if os.path.isdir(folder) else ()
  stems = [name.removesuffix(_ENDING) for name in names
           if name.endswith(_ENDING)]
  return sorted(int(stem) for stem in stems if stem.isdecimal())


def _is_key(leaf: Any) -> bool:
  return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _plain(progress: loop.Progress) -> Any:
  """Returns a progress with random keys as integers."""
  return jax.tree.map(
      lambda leaf: jax.random.key_data(leaf) if _is_key(leaf) else leaf,
      progress)


def _digest(arrays: Mapping[str, np.ndarray], text: str) -> str:
  """Returns the SHA-256 of named arrays and a text."""
  found = hashlib.sha256(text.encode())
  for name, array in sorted(arrays.items()):
    found.update(f'\n{name} {array.dtype} {array.shape}\n'.encode())
    found.update(np.ascontiguousarray(array).data)
  return found.hexdigest()


class Resume:
  """The resumable state of a run in a folder.

  A save is one file with the arrays, the log of the run as JSON, and a hash of
  both. The file is written whole or not at all, so that a kill or a full disk
  during a save leaves the one before. The arrays are whole on any number of
  devices: the run may continue on others.
  """

  def __init__(self, folder: str):
    """Opens a folder that this process alone writes to.

    Args:
      folder: Folder of the saves, made by the first.
    """
    self._folder = os.path.abspath(folder)
    if sharding.first_host():
      atomic.clean(self._folder)

  def _path(self, number: int) -> str:
    return os.path.join(self._folder, f'{number}{_ENDING}')

  def save(self, progress: loop.Progress, extra: dict[str, Any]) -> None:
    """Saves the progress and a JSON value; every host must make the call.

    Args:
      progress: Progress of the run.
      extra: Value that JSON can hold.

    Raises:
      OSError: the disk is full, or cannot be written.
    """
    # A step may be saved before and after its evaluation: saves are counted.
    before = _numbers(self._folder)
    number = max([loop.steps_taken(progress), *(1 + n for n in before)])
    leaves = jax.tree_util.tree_leaves_with_path(_plain(progress))
    values = [leaf for _, leaf in leaves]
    if sharding.hosts() > 1:  # Each holds a part of them.
      values = sharding.gather(values[0].sharding.mesh, values)
    if sharding.first_host():
      arrays = {jax.tree_util.keystr(path): np.asarray(value)
                for (path, _), value in zip(leaves, values, strict=True)}
      text = json.dumps(extra)
      with atomic.replacing(self._path(number)) as file:
        file.write(safetensors_numpy.save(arrays, {
            'extra': text, 'sha256': _digest(arrays, text)}))
      for old in before[:-(KEPT - 1)]:
        os.remove(self._path(old))
    sharding.wait_for_all('saved')

  def restore(
      self, like: loop.Progress
  ) -> tuple[loop.Progress, dict[str, Any]] | None:
    """Returns (progress, the JSON value) of the last save, None without one.

    If the last save is damaged, the one before is used.

    Args:
      like: Progress of the same shapes and types, on the target devices.

    Raises:
      errors.UserError: no save can be read, or it is of other shapes or types.
    """
    problem = ''
    for number in reversed(_numbers(self._folder)):
      path = self._path(number)
      try:
        return self._read(path, like)
      except (OSError, ValueError, KeyError,
              safetensors.SafetensorError) as error:
        problem = problem or f'{path}: {error}'
        _log.info('the saved state %s is damaged (%s)', path, error)
    if problem:
      raise errors.UserError(
          f'`resume`: no saved state can be read ({problem}); delete the '
          f'folder {self._folder} to start from the first step')
    return None

  def _read(
      self, path: str, like: loop.Progress
  ) -> tuple[loop.Progress, dict[str, Any]]:
    """Returns (progress, the JSON value) of one save; raises if damaged."""
    with safetensors.safe_open(path, 'numpy') as file:
      saved = file.metadata()
      arrays = {name: file.get_tensor(name) for name in file.keys()}
    if saved['sha256'] != _digest(arrays, saved['extra']):
      raise ValueError('its content is not that of its hash')
    wanted = jax.eval_shape(_plain, like)
    shapes = {jax.tree_util.keystr(name): (leaf.shape, leaf.dtype)
              for name, leaf in jax.tree_util.tree_leaves_with_path(wanted)}
    if shapes != {name: (array.shape, array.dtype)
                  for name, array in arrays.items()}:
      raise ValueError('it is the state of another model')
    progress = jax.tree.unflatten(
        jax.tree.structure(wanted), [arrays[name] for name in shapes])
    return jax.tree.map(_on_devices, progress, like), json.loads(saved['extra'])


def _on_devices(array: np.ndarray, like: jax.Array) -> jax.Array:
  """Returns an array of the type and on the devices of another."""
  if _is_key(like):
    data = jax.random.key_data(like)
    return jax.random.wrap_key_data(
        _on_devices(array, data), impl=jax.random.key_impl(like))
  # Copied: a step may donate the buffer.
  return jnp.copy(jax.make_array_from_callback(
      array.shape, like.sharding, lambda index: array[index]))
