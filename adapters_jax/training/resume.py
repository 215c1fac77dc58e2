"""The resumable state of a run on disk."""

import os
from typing import Any

import jax
import jax.numpy as jnp

from adapters_jax import errors
from adapters_jax.training import loop


class Resume:
  """The resumable state of a run in a folder, by orbax.

  A step is visible only once it is complete, so a kill during a save leaves the
  step before. The log of the run is saved with it, as JSON.
  """

  def __init__(self, folder: str):
    import orbax.checkpoint as ocp  # Slow to import, and not always needed.
    self._ocp = ocp
    self._manager = ocp.CheckpointManager(
        os.path.abspath(folder),
        options=ocp.CheckpointManagerOptions(
            max_to_keep=1, enable_async_checkpointing=False))

  def save(
      self, progress: loop.Progress, extra: dict[str, Any]
  ) -> None:
    """Saves the progress and a JSON value, unless its step is saved already.

    Args:
      progress: Progress of the run.
      extra: Value that JSON can hold.
    """
    step = loop.steps_taken(progress)
    # A stop right after an evaluation saves the same step twice.
    if step == self._manager.latest_step():
      return
    self._manager.save(step, args=self._ocp.args.Composite(
        progress=self._ocp.args.StandardSave(progress),
        extra=self._ocp.args.JsonSave(extra)))
    self._manager.wait_until_finished()

  def restore(
      self, like: loop.Progress
  ) -> tuple[loop.Progress, dict[str, Any]] | None:
    """Returns (progress, the JSON value) of the latest step, None without one.

    Args:
      like: Progress of the same shapes and types, on the target devices.

    Raises:
      errors.UserError: the saved state has other shapes or types.
    """
    step = self._manager.latest_step()
    if step is None:
      return None
    # The devices of `like`, which may be others than those of the save.
    shapes = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=leaf.sharding), like)
    restored = self._manager.restore(step, args=self._ocp.args.Composite(
        progress=self._ocp.args.StandardRestore(shapes),
        extra=self._ocp.args.JsonRestore()))
    progress = restored['progress']
    same = jax.tree.map(
        lambda a, b: a.shape == b.shape and a.dtype == b.dtype,
        progress, shapes)
    if not all(jax.tree.leaves(same)):
      raise errors.UserError(
          f'the state in {self._manager.directory} is of another model; give '
          'another `workdir`')
    # Copied to buffers that the step may donate.
    return jax.tree.map(jnp.copy, progress), restored['extra']

  def close(self) -> None:
    """Waits for writers and closes."""
    self._manager.close()
