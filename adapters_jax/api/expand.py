"""Expands flags that name several tasks to the settings of each one."""

import dataclasses
import os
from typing import Any

from adapters_jax import errors
from adapters_jax.data import rows
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import options


@dataclasses.dataclass(frozen=True)
class Folders:
  """Data folders of text classification."""
  HELP = 'task and data'

  folder: str = options.option(
      '', 'Folder with train, dev and test files, or several with commas.')


def tasks(config: config_lib.Config) -> list[config_lib.Config]:
  """Returns the settings of each task that `task` names.

  Args:
    config: Settings; `task` is a comma-separated list, or 'all' for GLUE.
  """
  # With own data, `task` is only a name, which may contain a comma.
  if config.files:
    return [config]
  if config.task == 'all':
    from adapters_jax.analysis import tables  # Imports numpy.
    names = tables.GLUE_TASKS
  else:
    names = tuple(name.strip() for name in config.task.split(','))
  return [dataclasses.replace(config, task=name) for name in names]


def in_folder(config: config_lib.Config, folder: str) -> config_lib.Config:
  """Returns the settings with a folder's files, and its name as the task.

  Args:
    config: Settings.
    folder: Folder with one file per split. The test file may be missing, and
      the dev file if the settings hold out dev examples.

  Raises:
    errors.UserError: no train or dev file, or two of one split.
  """
  found: dict[str, Any] = {}
  for split in ('train', 'dev', 'test'):
    paths = [os.path.join(folder, split + form) for form in rows.FORMATS]
    paths = [path for path in paths if os.path.isfile(path)]
    needed = split == 'train' or (split == 'dev' and not config.dev_fraction)
    if len(paths) > 1 or (needed and not paths):
      there = ' and '.join(paths) if paths else 'none'
      raise errors.UserError(
          f'`folder`: one {split} file ({", ".join(rows.FORMATS)}) is needed '
          f'in {folder}, there is {there}')
    found[f'{split}_file'] = paths[0] if paths else ''
  # Absolute: '.' and 'DIR/' have no base name.
  name = os.path.basename(os.path.abspath(folder))
  return dataclasses.replace(config, task=name, **found)


def folders(
    config: config_lib.Config, named: Folders
) -> list[config_lib.Config]:
  """Returns the settings of each folder that `folder` names.

  Args:
    config: Settings.
    named: Folders.

  Raises:
    errors.UserError: no folder, one without the files of its splits, `folder`
      together with files, or one `task` for several folders.
  """
  names = options.names(named.folder)
  if not names:
    raise errors.UserError('`folder`: name a folder with train.tsv, dev.tsv')
  if config.files:
    given = ', '.join(f'`{split}_file`' for split in config.files)
    raise errors.UserError(
        f'{given}: `folder` has files of its own; give one or the other')
  # Only a task other than the experiments' defaults was given by the user.
  if config.task not in (
      '', config_lib.Config.task, config_lib.SQUAD, config_lib.TEXTS):
    if len(names) > 1:
      raise errors.UserError(
          f'`task={config.task}`: names the data of one `folder`, there are '
          f'{len(names)}; leave it out')
    return [dataclasses.replace(in_folder(config, *names), task=config.task)]
  configs = [in_folder(config, name) for name in names]
  tasks_named = [one.task for one in configs]
  for name in tasks_named:
    if tasks_named.count(name) > 1:  # Tables would take them for one task.
      raise errors.UserError(
          f'`folder`: {tasks_named.count(name)} folders are named {name}; give '
          'each a name of its own')
  return configs
