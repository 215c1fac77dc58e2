"""Workdirs: folders of runs; who owns one, and whether its run has finished."""

from collections.abc import Iterator, Sequence
import contextlib
import os
import re
from typing import Any

import filelock

from adapters_jax.downloads import paths
from adapters_jax import errors
from adapters_jax.downloads import assets
from adapters_jax.downloads import atomic
from adapters_jax.downloads import json_files
from adapters_jax.downloads import locks
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import identity
from adapters_jax.runs import records
from adapters_jax.runs import trackers
from adapters_jax.training import saves

STATE = 'resume'  # Folder of the resumable state.
_LONGEST = 40  # Characters of a method in the name of a folder.
_SETTINGS = 'run.json'
_LOCK = '.lock'
# Every claim leaves one behind, even if no run began.
_LOCKS = (_LOCK, _LOCK + locks.SOFT)


def path_of(config: config_lib.Config, experiment: str) -> str:
  """Returns the workdir of a run, by default named after its settings.

  Args:
    config: Settings.
    experiment: Name of the experiment.
  """
  if config.workdir:
    return os.path.abspath(paths.expanded(config.workdir, 'workdir'))
  return os.path.abspath(
      below(os.path.join('runs', experiment, config.task_name), config))


def record_of(folder: str) -> str:
  """Returns the path of the record in a workdir."""
  return os.path.join(folder, records.RECORD)


def state_of(folder: str) -> str:
  """Returns the folder of the resumable state in a workdir."""
  return os.path.join(folder, STATE)


def below(parent: str, config: config_lib.Config) -> str:
  """Returns the folder of a run, with a readable name that ends in a hash.

  Args:
    parent: Folder of the runs of a task.
    config: Settings.

  Returns:
    PARENT/METHOD-RATE-SEED-HASH, or PARENT/HASH where an earlier version made
    that folder.
  """
  digest = identity.digest(identity.portable(config))
  old = os.path.join(parent, digest)
  if os.path.isdir(old):
    return old
  if config.tune != 'adapters':
    method = config.tune + (
        f'-{config.top_k}' if config.tune == 'top_k' else '')
  else:
    method = config.adapter_config or f'adapter-{config.adapter_size}'
  method = re.sub(r'[^A-Za-z0-9._]+', '-', method)[:_LONGEST].strip('-.')
  return os.path.join(
      parent, f'{method}-rate-{config.learning_rate:g}-seed-{config.seed}-'
      f'{digest}')


def _differing(a: dict[str, Any], b: dict[str, Any]) -> str:
  names = sorted(k for k in {*a, *b} if a.get(k) != b.get(k))
  return ', '.join(f'{n} {a.get(n)!r} there, {b.get(n)!r} here' for n in names)


def _listed(folder: str) -> set[str]:
  """Returns the names in a workdir, without locks and unfinished writes."""
  names = set(os.listdir(folder)) if os.path.isdir(folder) else set()
  return {name for name in names
          if name not in _LOCKS and not atomic.is_scratch(name)}


def _is_empty(folder: str, names: set[str]) -> bool:
  """Returns whether a workdir has neither results nor a saved state."""
  tracked = {one.place for one in trackers.TRACKERS.values()}
  # A kill during the first save leaves a folder without a save.
  return names <= {_SETTINGS, STATE, *tracked} and not saves.exists(
      state_of(folder))


def _read_settings(folder: str) -> dict[str, Any]:
  """Returns the settings in a workdir, completed if of an earlier version."""
  path = os.path.join(folder, _SETTINGS)
  try:
    return identity.completed(json_files.read(path, what='`workdir`: '))
  except errors.UserError as error:
    raise errors.UserError(
        f'{error}; give another folder, or delete this one to run again'
    ) from error


def finished(folder: str) -> records.Record | None:
  """Returns the record in a workdir, None if its run has not finished.

  Args:
    folder: Workdir of the run.

  Raises:
    errors.UserError: the record cannot be read.
  """
  path = record_of(folder)
  if not os.path.exists(path):
    return None
  try:
    return records.read(path)
  except (OSError, ValueError) as error:
    raise errors.UserError(
        f'`workdir`: the record is damaged ({error}); delete {folder} to run '
        'again') from error


def held_by(
    folder: str, runs: Sequence[config_lib.Config], experiment: str
) -> config_lib.Config | None:
  """Returns the run whose workdir is the folder of many runs itself.

  Args:
    folder: Folder below which the runs have their workdirs.
    runs: Settings of the runs.
    experiment: Name of the experiment.

  Returns:
    One of `runs`; None for a folder without a run.

  Raises:
    errors.UserError: a run of other settings is in the folder itself.
  """
  folder = os.path.abspath(paths.expanded(folder, 'workdir'))
  if not os.path.exists(os.path.join(folder, _SETTINGS)):
    return None
  before = _read_settings(folder)
  for run in runs:
    wanted = {'experiment': experiment, **identity.portable(run)}
    if before == wanted:
      return run
  # Those of several runs would be a long list.
  differ = f' ({_differing(before, wanted)})' if len(runs) == 1 else ''
  raise errors.UserError(
      f'`workdir`: {folder} holds a single run of other settings{differ}; give '
      'another folder')


def check_free(config: config_lib.Config, experiment: str) -> None:
  """Checks that the workdir is free for this run.

  Args:
    config: Settings.
    experiment: Name of the experiment.

  Raises:
    errors.UserError: the folder holds results of other settings, other files,
      or a saved state without `resume`; it cannot be written; or the base on
      the hub has its name.
  """
  folder = path_of(config, experiment)
  _check_name(folder, config.checkpoint)
  try:
    _check_writable(folder)
    names = _listed(folder)
  except errors.UserError:  # A ValueError, but its message is final.
    raise
  except (OSError, ValueError) as error:
    raise errors.UserError(
        f'`workdir`: {folder} cannot be used ({error})') from error
  if _is_empty(folder, names):
    return  # An earlier start ended before its first save.
  if _SETTINGS not in names:
    raise errors.UserError(
        f'`workdir`: {folder} is not empty and holds no run; give another')
  before = _read_settings(folder)
  wanted = {'experiment': experiment, **identity.portable(config)}
  if before != wanted:
    raise errors.UserError(
        f'`workdir`: {folder} holds a run of other settings '
        f'({_differing(before, wanted)}); give another folder')
  if records.RECORD not in names and not config.resume:
    raise errors.UserError(
        f'`workdir`: {folder} holds an unfinished run of these settings; '
        'pass `resume` to continue it, or delete the folder')


def _check_name(folder: str, checkpoint: str) -> None:
  """Raises UserError for a workdir in a folder named like a base on the hub.

  From the next start on, that folder would be the base.
  """
  if checkpoint in assets.checkpoints() or assets.is_folder(checkpoint):
    return
  named = os.path.abspath(checkpoint)
  if os.path.commonpath([folder, named]) == named:
    raise errors.UserError(
        f'`workdir`: {folder} would make {named}, and `checkpoint={checkpoint}`'
        ' would name this folder; give another')


def _check_writable(folder: str) -> None:
  """Raises UserError if a folder cannot be made or written."""
  # `makedirs` needs write access to the lowest ancestor that exists.
  parent = folder
  while not os.path.lexists(parent):
    parent = os.path.dirname(parent)
  if not os.path.isdir(parent):
    raise errors.UserError(f'`workdir`: {parent} is not a folder')
  if not os.access(parent, os.W_OK | os.X_OK):
    raise errors.UserError(f'`workdir`: {folder} cannot be written')


@contextlib.contextmanager
def claimed(config: config_lib.Config, experiment: str) -> Iterator[str]:
  """Holds a checked workdir for this process, and yields its path.

  Args:
    config: Settings.
    experiment: Name of the experiment.

  Raises:
    errors.UserError: another process holds it, or it is not free.
  """
  folder = path_of(config, experiment)
  with contextlib.ExitStack() as stack:
    try:
      os.makedirs(folder, exist_ok=True)
      stack.enter_context(
          locks.held(os.path.join(folder, _LOCK), timeout=0))
    except filelock.Timeout as error:
      raise errors.UserError(
          f'`workdir`: another process is running in {folder}') from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name.
      raise errors.UserError(
          f'`workdir`: {folder} cannot be written ({error})') from error
    check_free(config, experiment)  # Again: another run may have begun since.
    for part in (folder, os.path.join(folder, 'adapter')):
      atomic.clean(part)
    yield folder


def begin(folder: str, experiment: str, settings: dict[str, Any]) -> None:
  """Writes the settings into a claimed workdir, which is then this run's.

  Call it once the data are read: a start that fails before that leaves the
  folder free for corrected settings.

  Args:
    folder: Workdir.
    experiment: Name of the experiment.
    settings: Result of `identity.portable`, from before the data were read.
  """
  atomic.write_json(os.path.join(folder, _SETTINGS),
                    {'experiment': experiment, **settings})
