"""Checks of files that settings name. Without JAX, so that they are quick."""

import os

from adapters_jax.downloads import paths
from adapters_jax import errors
from adapters_jax.adapters import folders
from adapters_jax.downloads import assets
from adapters_jax.downloads import hub_data
from adapters_jax.downloads import json_files
from adapters_jax.runs import config as config_lib


def check(config: config_lib.Config) -> None:
  """Checks that the files, adapters and folders of settings exist here.

  Args:
    config: Settings, each of them valid by itself.

  Raises:
    errors.UserError: no such file, or a folder without an adapter.
  """
  for split, path in config.files.items():
    if not (path.startswith(hub_data.PREFIX) or os.path.isfile(path)):
      raise errors.UserError(f'`{split}_file`: there is no file {path}')
  if config.adapters:
    folders.parse_existing(config.adapters)
  if config.start:
    folders.check_saved(paths.expanded(config.start, 'start'), '`start`')
  _check_checkpoint(config.checkpoint)


def _check_checkpoint(checkpoint: str) -> None:
  """Raises UserError for a folder that is absent or without a config.json.

  Args:
    checkpoint: Name or folder; a name is not checked.
  """
  if assets.is_folder(checkpoint):
    from adapters_jax.model import tensor_files  # Imports numpy.
    with errors.within('`checkpoint`'):
      folder = tensor_files.model_folder(checkpoint)
    json_files.read(
        os.path.join(folder, 'config.json'), what='`checkpoint`: ')
  elif checkpoint.startswith(('/', './', '../', '~')):
    raise errors.UserError(f'`checkpoint`: there is no folder {checkpoint}')
