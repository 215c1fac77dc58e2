"""The resumable state of a run on disk."""

import hashlib
import json
import logging
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adapters_jax import errors
from adapters_jax.training import loop

_log = logging.getLogger(__name__)

KEPT = 2  # Saves, the second in case that the first is damaged.


def exists(folder: str) -> bool:
  """Returns whether a folder holds a saved state."""
  return os.path.isdir(folder) and any(
      name.isdecimal() for name in os.listdir(folder))


def _digest(progress: loop.Progress, extra: dict[str, Any]) -> str:
  """Returns the SHA-256 of a progress and a JSON value."""
  found = hashlib.sha256(json.dumps(extra, sort_keys=True).encode())
  for path, leaf in jax.tree_util.tree_leaves_with_path(progress):
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
      leaf = jax.random.key_data(leaf)
    found.update(f'{jax.tree_util.keystr(path)} {leaf.dtype} {leaf.shape}\n'
                 .encode())
    found.update(np.asarray(leaf).tobytes())
  return found.hexdigest()


def _first_line(error: Exception) -> str:
  """Returns the type and the first line of an error, which may be long."""
  text = (str(error).strip() or 'no message').splitlines()[0]
  return f'{type(error).__name__}: {text[:200]}'


class Resume:
  """The resumable state of a run in a folder, by orbax.

  A save is visible only once it is complete, so a kill during a save leaves the
  one before. The log of the run is saved with it, as JSON, and a hash of both,
  as damaged files may be readable.
  """

  def __init__(self, folder: str):
    """Opens the folder.

    Args:
      folder: Folder of the saves, made if absent.

    Raises:
      errors.UserError: the folder cannot be used.
    """
    import orbax.checkpoint as ocp  # Slow to import, and not always needed.
    self._ocp, self._folder = ocp, os.path.abspath(folder)
    try:
      self._manager = ocp.CheckpointManager(
          self._folder, options=ocp.CheckpointManagerOptions(
              max_to_keep=KEPT, enable_async_checkpointing=False,
              cleanup_tmp_directories=True))
    except Exception as error:  # Orbax and TensorStore have many.
      raise errors.UserError(
          f'`resume`: the state in {self._folder} cannot be used '
          f'({_first_line(error)}); delete that folder to start from the first '
          'step') from error

  def save(
      self, progress: loop.Progress, extra: dict[str, Any]
  ) -> None:
    """Saves the progress and a JSON value.

    Args:
      progress: Progress of the run.
      extra: Value that JSON can hold.

    Raises:
      errors.UserError: the disk is full, or cannot be written.
    """
    # A step may be saved before and after its evaluation: saves are counted.
    number = max(
        loop.steps_taken(progress), 1 + (self._manager.latest_step() or 0))
    # Leaves on other hosts cannot be hashed.
    digest = _digest(progress, extra) if jax.process_count() == 1 else ''
    args = self._ocp.args
    try:
      self._manager.save(number, args=args.Composite(
          progress=args.StandardSave(progress), extra=args.JsonSave(extra),
          check=args.JsonSave({'sha256': digest})))
      self._manager.wait_until_finished()
    except Exception as error:
      raise errors.UserError(
          f'the state cannot be saved in {self._folder} '
          f'({_first_line(error)}); with room on the disk, continue with '
          '`resume`') from error

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
    problem: Exception | None = None
    for number in sorted(self._manager.all_steps(), reverse=True):
      try:
        found = self._read(number, like)
      except Exception as error:  # Damage shows in errors of any kind.
        problem = problem or error
        _log.info('the saved state %s is damaged (%s)',
                  os.path.join(self._folder, str(number)), _first_line(error))
        continue
      return found
    if problem is not None:
      raise errors.UserError(
          f'`resume`: no saved state in {self._folder} can be read '
          f'({_first_line(problem)}); delete that folder to start from the '
          'first step') from problem
    return None

  def _read(
      self, number: int, like: loop.Progress
  ) -> tuple[loop.Progress, dict[str, Any]]:
    """Returns (progress, the JSON value) of one save; raises if damaged."""
    # The devices of `like`, which may be others than those of the save.
    shapes = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=leaf.sharding), like)
    args = self._ocp.args
    wanted = {'progress': args.StandardRestore(shapes),
              'extra': args.JsonRestore()}
    # Earlier versions saved no hash.
    if os.path.isdir(os.path.join(self._folder, str(number), 'check')):
      wanted['check'] = args.JsonRestore()
    restored = self._manager.restore(number, args=args.Composite(**wanted))
    progress, extra = restored['progress'], restored['extra']
    same = jax.tree.map(
        lambda a, b: a.shape == b.shape and a.dtype == b.dtype,
        progress, shapes)
    if not all(jax.tree.leaves(same)):
      raise ValueError('its arrays are of another model')
    digest = restored['check']['sha256'] if 'check' in wanted else ''
    if digest and jax.process_count() == 1 and (
        digest != _digest(progress, extra)):
      raise ValueError('its content is not that of its hash')
    # Copied to buffers that the step may donate.
    return jax.tree.map(jnp.copy, progress), extra

  def close(self) -> None:
    """Waits for writers and closes."""
    self._manager.close()
