"""The resumable state of a run on disk."""

from collections.abc import Callable, Iterator
import contextlib
import errno
import gc
import logging
import os
import re
import shutil
import sys
import time
import traceback
from typing import Any

import jax
import jax.numpy as jnp

from adapters_jax import errors
from adapters_jax.downloads import atomic
from adapters_jax.downloads import disk
from adapters_jax.downloads import file_hash
from adapters_jax.downloads import json_files
from adapters_jax.training import hosts
from adapters_jax.training import loop

_log = logging.getLogger(__name__)

_HASHES = '.sha256.json'  # Suffix of the file with the hashes of a save.
# Bounds on the bytes of a save beyond its arrays; 110 kB, and 0.6 kB per leaf,
# were measured.
_FEWEST_BYTES, _BYTES_A_LEAF = 250_000, 1_500
# Errors of threads and tasks that a failed save or restore leaves behind.
_LEFTOVER = re.compile('Event loop is closed|error while reading array index')
_THREADS = 0.5  # Seconds after which the threads of a failed save have ended.
_BEGIN_AGAIN = 'move that folder away to start from the first step'
# Errors that say nothing about the files: of devices, memory and other hosts.
_NO_DAMAGE = (jax.errors.JaxRuntimeError, MemoryError)
KEPT = 2  # Saves to keep: the older one serves if the newer is damaged.


def _hashes(folder: str) -> dict[str, str]:
  """Returns {relative path: SHA-256} of the files below a folder.

  Raises:
    OSError: a file or a folder below cannot be read.
  """

  def failed(error):
    raise error

  return {os.path.relpath(path, folder): file_hash.sha256(path)
          for path in file_hash.files_below(folder, failed)}


def _first_line(error: Exception) -> str:
  """Returns the beginning of an error of orbax, which may be long."""
  return errors.first_line(error)[:200]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Hides tracebacks that orbax's threads and tasks print; raises errors."""
  loggers = [logging.getLogger(name) for name in ('absl', 'asyncio')]
  before = [logger.level for logger in loggers]
  for logger in loggers:
    logger.setLevel(logging.CRITICAL + 1)
  hook = sys.unraisablehook
  sys.unraisablehook = lambda found: (
      None if _LEFTOVER.search(str(found.exc_value)) else hook(found))
  try:
    yield
  except Exception as error:
    # Failed tasks are reported when they are deleted: do it while it is quiet.
    traceback.clear_frames(error.__traceback__)
    gc.collect()
    time.sleep(_THREADS)
    raise
  finally:
    sys.unraisablehook = hook
    for logger, level in zip(loggers, before, strict=True):
      logger.setLevel(level)


@jax.jit
def _all_finite(tree: Any) -> jax.Array:
  """Returns whether all numbers of a tree are finite, on any devices."""
  return jnp.array(  # Not `stack`: the tree of `tune=none` has no leaves.
      [jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)], bool).all()


def demand_finite_weights(progress: loop.Progress) -> None:
  """Raises ValueError if weights of a saved progress are not finite."""
  if not _all_finite((progress.state.tuned, progress.best)):
    raise ValueError('its weights have NaN or infinite numbers')


class Resume:
  """The resumable state of a run in a folder, by orbax.

  A save is visible only once it is complete, so that a kill during a save
  leaves the one before. The log of the run is saved with it, as JSON. A file
  next to each save has the hashes of its files, because damaged files may still
  be readable.
  """

  def __init__(self, folder: str):
    """Opens the folder.

    Args:
      folder: Folder of the saves, made if absent.

    Raises:
      errors.UserError: the folder cannot be used.
      jax.errors.JaxRuntimeError: another host has ended.
    """
    import orbax.checkpoint as ocp  # Slow to import, and not always needed.
    self._ocp, self._folder = ocp, os.path.abspath(folder)
    try:
      with _quiet():
        self._manager = ocp.CheckpointManager(
            self._folder, options=ocp.CheckpointManagerOptions(
                max_to_keep=KEPT, enable_async_checkpointing=False,
                cleanup_tmp_directories=True))
    except _NO_DAMAGE:
      raise
    except OSError as error:
      raise errors.UserError(self._fault_of(error)) from error
    except Exception as error:  # Orbax and TensorStore have many.
      raise errors.UserError(
          f'`resume`: the state in {self._folder} cannot be used '
          f'({_first_line(error)}); {_BEGIN_AGAIN}') from error

  @property
  def folder(self) -> str:
    """Path of the folder."""
    return self._folder

  def _fault_of(self, error: OSError) -> str:
    """Returns the message for a file of the state that cannot be used."""
    return (f'`resume`: {error.filename or self._folder}: '
            f'{error.strerror or error}; the state is kept')

  def save(
      self, progress: loop.Progress, extra: dict[str, Any]
  ) -> None:
    """Saves the progress and a JSON value.

    Args:
      progress: Progress of the run.
      extra: Value that JSON can hold.

    Raises:
      errors.UserError: the disk is full, or cannot be written.
      OSError: the same, with the name of the file.
      jax.errors.JaxRuntimeError: another host has ended.
    """
    # Above the last number in any case: a step may be saved twice, before and
    # after its evaluation.
    number = max(
        loop.steps_taken(progress), 1 + (self._manager.latest_step() or 0))
    args = self._ocp.args
    self._check_room(progress)
    try:
      with _quiet():
        self._manager.save(number, args=args.Composite(
            progress=args.StandardSave(progress), extra=args.JsonSave(extra)))
        self._manager.wait_until_finished()
      hosts.by_first(lambda: self._write_hashes(number))
    except (*_NO_DAMAGE, errors.UserError):
      raise
    except Exception as error:
      if isinstance(error, OSError) and error.filename:
        raise  # The caller knows the argument that chose the folder.
      # TensorStore's errors have the text alone.
      full = any(os.strerror(number) in str(error) for number in disk.FULL)
      raise errors.UserError(
          f'the state cannot be saved in {self._folder} '
          f'({_first_line(error)}); {"with room on the disk, " * full}'
          'continue with `resume`') from None

  def _check_room(self, progress: loop.Progress) -> None:
    """Raises OSError if the disk has no room for a save.

    Before orbax begins: its tasks print a traceback for each file that they
    cannot write.
    """
    leaves = jax.tree.leaves(progress)
    needed = _FEWEST_BYTES + sum(
        leaf.size * leaf.dtype.itemsize + _BYTES_A_LEAF for leaf in leaves)
    room = shutil.disk_usage(self._folder).free
    if not hosts.agreed(room >= needed):  # All hosts stop, or none.
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._folder)

  def _hashes_of(self, number: int) -> str:
    """Returns the path of the hashes of one save."""
    return os.path.join(self._folder, f'{number}{_HASHES}')

  def _write_hashes(self, number: int) -> None:
    """Writes the hashes of a save, and removes those of earlier ones."""
    atomic.write_json(self._hashes_of(number), _hashes(
        os.path.join(self._folder, str(number))))
    kept = {f'{step}{_HASHES}' for step in self._manager.all_steps()}
    for name in os.listdir(self._folder):
      if name.endswith(_HASHES) and name not in kept:
        os.remove(os.path.join(self._folder, name))

  def _is_whole(self, number: int) -> bool:
    """Returns whether the files of a save have their hashes.

    A save without hashes is of an earlier version, or a kill came before they
    were written; it counts as whole.

    Raises:
      OSError: a file cannot be read, which may be no fault of the file.
    """
    path = self._hashes_of(number)
    try:
      # Also without hashes to compare: TensorStore's error for a file that
      # cannot be read is that for damage.
      found = _hashes(os.path.join(self._folder, str(number)))
      return not os.path.exists(path) or json_files.read(path) == found
    except FileNotFoundError:
      return False
    except errors.UserError as error:
      if isinstance(error.__cause__, OSError):
        raise error.__cause__ from None
      return False

  def restore(
      self, like: loop.Progress,
      check: Callable[[loop.Progress, dict[str, Any]], None] = (
          lambda progress, _: demand_finite_weights(progress)),
  ) -> tuple[loop.Progress, dict[str, Any]] | None:
    """Returns (progress, the JSON value) of the last save, None without one.

    If the last save is damaged, the one before is used. A save that cannot be
    read now, as without permissions or memory, is no damaged one.

    Args:
      like: Progress of the same shapes and types, on the target devices.
      check: (progress, the JSON value); a ValueError means damage.

    Raises:
      errors.UserError: no save can be read, or all are of other shapes.
      jax.errors.JaxRuntimeError: another host has ended, or a device has no
        memory left.
    """
    problem: Exception | None = None
    for number in sorted(self._manager.all_steps(), reverse=True):
      try:
        # Check hashes before TensorStore reads the files, as its threads print
        # tracebacks. Every host follows the first one.
        if not self._agreed_whole(number):
          raise ValueError('a file has changed since it was saved')
        with _quiet():
          found = self._read(number, like)
          check(*found)
      except (*_NO_DAMAGE, errors.UserError):
        raise
      except Exception as error:  # Damage shows in errors of any other kind.
        if isinstance(error, OSError) and not isinstance(
            error, FileNotFoundError):
          raise errors.UserError(self._fault_of(error)) from error
        problem = problem or error
        _log.info('the saved state %s is damaged (%s)',
                  os.path.join(self._folder, str(number)), _first_line(error))
        continue
      return found
    if problem is not None:
      raise errors.UserError(
          f'`resume`: no saved state in {self._folder} can be read '
          f'({_first_line(problem)}); {_BEGIN_AGAIN}') from problem
    return None

  def _agreed_whole(self, number: int) -> bool:
    """Returns the first host's `_is_whole`; UserError if one cannot read."""
    whole, problem = False, ''
    try:
      whole = self._is_whole(number)
    except OSError as error:
      problem = self._fault_of(error)
    if problem := hosts.first_text(problem):  # All hosts must raise, or none.
      raise errors.UserError(problem)
    return hosts.agreed(whole)

  def _read(
      self, number: int, like: loop.Progress
  ) -> tuple[loop.Progress, dict[str, Any]]:
    """Returns (progress, the JSON value) of one save; raises if damaged."""
    # The devices of `like`, which may be others than those of the save. Orbax
    # raises for other shapes.
    shapes = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=leaf.sharding), like)
    args = self._ocp.args
    restored = self._manager.restore(number, args=args.Composite(
        progress=args.StandardRestore(shapes), extra=args.JsonRestore()))
    # Copied, so that the step may donate the buffers.
    return jax.tree.map(jnp.copy, restored['progress']), restored['extra']

  def close(self) -> None:
    """Waits for writers and closes."""
    self._manager.close()
