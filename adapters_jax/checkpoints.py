"""A run on disk: the small portable adapter, and the state for resuming."""

import json
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import numpy as safetensors_numpy

from adapters_jax import options
from adapters_jax import results
from adapters_jax import training
from adapters_jax import trees

FORMAT = 1
WEIGHTS = 'tuned.safetensors'
SETTINGS = 'config.json'


def save_tuned(
    folder: str, tuned: trees.Tree, settings: dict[str, Any]
) -> None:
  """Writes tuned.safetensors and config.json, loadable on any device.

  Args:
    folder: Made if absent.
    tuned: The partial tree; saved whole, so head and norms are never lost.
    settings: What a reader needs to build the model; see `prepare.artefact`.
  """
  os.makedirs(folder, exist_ok=True)
  flat = {path: np.ascontiguousarray(leaf)
          for path, leaf in trees.flatten(jax.device_get(tuned)).items()}
  path = os.path.join(folder, WEIGHTS)
  with open(f'{path}.part', 'wb') as file:  # With the user's own permissions.
    file.write(safetensors_numpy.save(flat))
  os.replace(f'{path}.part', path)
  results.write_json(
      os.path.join(folder, SETTINGS), {'format': FORMAT, **settings})


def load_settings(folder: str) -> dict[str, Any]:
  """Returns what was saved beside a tuned tree.

  Raises:
    options.UserError: there is no saved adapter in the folder.
  """
  path = os.path.join(folder, SETTINGS)
  try:
    with open(path, encoding='utf-8') as file:
      settings = json.load(file)
  except (OSError, ValueError) as error:
    raise options.UserError(
        f'{folder} holds no saved adapter: {path} cannot be read ({error})'
    ) from error
  if not isinstance(settings, dict) or settings.get('format') != FORMAT:
    raise options.UserError(
        f'{path} is not of format {FORMAT}, which this version reads')
  return settings


def load_tuned(folder: str) -> tuple[trees.Tree, dict[str, Any]]:
  """Returns (tuned tree of numpy arrays, settings) of a folder.

  Raises:
    options.UserError: there is no saved adapter, or it is damaged.
  """
  settings = load_settings(folder)
  path = os.path.join(folder, WEIGHTS)
  try:
    flat = safetensors_numpy.load_file(path)
  except Exception as error:  # The library raises its own and OSErrors.
    raise options.UserError(f'{path} cannot be read ({error})') from error
  return trees.unflatten(flat), settings


class Resume:
  """The resumable state of a run in a folder, by orbax.

  A step is visible only when it is complete, so a kill during a save leaves the
  one before. The history travels with it as JSON.
  """

  def __init__(self, folder: str):
    import orbax.checkpoint as ocp  # Slow to import, and not always needed.
    self._ocp = ocp
    self._manager = ocp.CheckpointManager(
        os.path.abspath(folder),
        options=ocp.CheckpointManagerOptions(
            max_to_keep=1, enable_async_checkpointing=False))

  def save(
      self, progress: training.Progress, extra: dict[str, Any]
  ) -> None:
    """Saves the progress and a JSON value, unless its step is there."""
    step = training.steps_taken(progress)
    if step == self._manager.latest_step():
      return
    self._manager.save(step, args=self._ocp.args.Composite(
        progress=self._ocp.args.StandardSave(progress),
        extra=self._ocp.args.JsonSave(extra)))
    self._manager.wait_until_finished()

  def restore(
      self, like: training.Progress
  ) -> tuple[training.Progress, dict[str, Any]] | None:
    """Returns (progress, the JSON value) of the latest step, None if none.

    Args:
      like: Progress of the same shapes and types, and on the devices wanted.

    Raises:
      options.UserError: what is saved has other shapes or types.
    """
    step = self._manager.latest_step()
    if step is None:
      return None
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
      raise options.UserError(
          f'the state in {self._manager.directory} is of another model; give '
          'another --workdir')
    # Fresh buffers, which the step may donate.
    return jax.tree.map(jnp.copy, progress), restored['extra']

  def close(self) -> None:
    """Waits for writers and closes."""
    self._manager.close()
