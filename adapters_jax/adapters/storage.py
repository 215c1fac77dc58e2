"""Saved adapters: `tuned.safetensors` and `config.json` in a folder."""

import json
import os
from typing import Any

import jax
import numpy as np
from safetensors import numpy as safetensors_numpy

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.downloads import atomic

FORMAT = 1
WEIGHTS = 'tuned.safetensors'
SETTINGS = 'config.json'


def folder_of(path: str) -> str:
  """Returns the folder of an adapter; a run's workdir has it inside."""
  inner = os.path.join(path, 'adapter')
  return inner if os.path.isdir(inner) else path


def save_tuned(
    folder: str, tuned: trees.Tree, settings: dict[str, Any]
) -> None:
  """Writes tuned.safetensors and config.json, loadable on any device.

  Args:
    folder: Folder of the adapter, made if absent.
    tuned: Partial tree; saved whole, so that head and norms are never lost.
    settings: JSON value that describes it; see `Adapter.save`.
  """
  # safetensors demands contiguous arrays.
  flat = {path: np.ascontiguousarray(leaf)
          for path, leaf in trees.flatten(jax.device_get(tuned)).items()}
  with atomic.replacing(os.path.join(folder, WEIGHTS)) as file:
    file.write(safetensors_numpy.save(flat))
  # Last: where there are settings, the weights are complete.
  atomic.write_json(
      os.path.join(folder, SETTINGS), {'format': FORMAT, **settings})


def load_settings(folder: str) -> dict[str, Any]:
  """Returns the JSON value saved with a tuned tree.

  Args:
    folder: Folder of the adapter.

  Raises:
    errors.UserError: no saved adapter in the folder.
  """
  path = os.path.join(folder, SETTINGS)
  try:
    with open(path, encoding='utf-8') as file:
      settings = json.load(file)
  except (OSError, ValueError) as error:
    raise errors.UserError(
        f'{folder} holds no saved adapter: {path} cannot be read ({error})'
    ) from error
  if not isinstance(settings, dict) or settings.get('format') != FORMAT:
    raise errors.UserError(
        f'{path} is not of format {FORMAT}, which this version reads')
  return settings


def load_tuned(folder: str) -> tuple[trees.Tree, dict[str, Any]]:
  """Returns (tuned tree of numpy arrays, settings) of a folder.

  Args:
    folder: Folder of the adapter.

  Raises:
    errors.UserError: no saved adapter, or a damaged one.
  """
  settings = load_settings(folder)
  path = os.path.join(folder, WEIGHTS)
  try:
    flat = safetensors_numpy.load_file(path)
  except Exception as error:  # The library raises its own and OSErrors.
    raise errors.UserError(f'{path} cannot be read ({error})') from error
  return trees.unflatten(flat), settings
