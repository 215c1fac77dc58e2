"""Settings of the adapter that the flag `--start` names."""

import dataclasses
from typing import Any

from adapters_jax.adapters import folders
from adapters_jax.downloads import paths
from adapters_jax.runs import config as config_lib


def settings(folder: str, checkpoint: str) -> dict[str, Any]:
  """Returns the settings of a saved adapter, {} without a folder.

  Args:
    folder: Value of the flag.
    checkpoint: Name or folder of the base.

  Raises:
    errors.UserError: no adapter, or one from which no training can start.
  """
  if not folder:
    return {}
  folders.check_saved(paths.expanded(folder, 'start'), '`start`')
  from adapters_jax.model import pretrained  # Imports JAX.
  from adapters_jax.runs import start
  return start.settings_of(
      start.load(folder), pretrained.config_of(checkpoint).layers)


def for_kind(config: config_lib.Config, kind: Any) -> config_lib.Config:
  """Resets settings taken from `start` that a kind of task does not read.

  Args:
    config: Settings.
    kind: Kind of the task.
  """
  if not config.start:
    return config
  from adapters_jax.runs import start  # Imports JAX.
  found = start.of_kind(vars(config), kind, config.form)
  return dataclasses.replace(config, **{
      name: found[name] for name in ('head_input', 'pooling')})
