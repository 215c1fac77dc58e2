"""Workdirs: the folder of a run, its owner and whether it has finished."""

from collections.abc import Iterator
import contextlib
import json
import os
from typing import Any

import filelock

from adapters_jax.downloads import atomic
from adapters_jax import errors
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import records

_SETTINGS = 'run.json'
_LOCK = '.lock'


def path_of(config: config_lib.Config, experiment: str) -> str:
  """Returns the workdir of a run, by default named after its settings.

  Args:
    config: Settings.
    experiment: Name of the experiment.
  """
  if config.workdir:
    return os.path.abspath(os.path.expanduser(config.workdir))
  name = config_lib.digest(config_lib.portable(config))
  return os.path.abspath(
      os.path.join('runs', experiment, config.task_name, name))


def _differing(a: dict[str, Any], b: dict[str, Any]) -> str:
  names = sorted(k for k in {*a, *b} if a.get(k) != b.get(k))
  return ', '.join(f'{n} {a.get(n)!r} there, {b.get(n)!r} here' for n in names)


def finished(folder: str) -> records.Record | None:
  """Returns the record in a workdir, None if its run has not finished."""
  path = os.path.join(folder, records.RECORD)
  return records.read(path) if os.path.exists(path) else None


def check_free(config: config_lib.Config, experiment: str) -> None:
  """Checks that the workdir is free for this run.

  Args:
    config: Settings.
    experiment: Name of the experiment.

  Raises:
    errors.UserError: the folder holds a run of other settings, other files, or
      an unfinished run without `resume`; or it cannot be written.
  """
  folder = path_of(config, experiment)
  if os.path.exists(folder) and not os.path.isdir(folder):
    raise errors.UserError(f'`workdir`: {folder} is not a folder')
  entries = set(os.listdir(folder)) if os.path.isdir(folder) else set()
  entries.discard(_LOCK)  # Any claim leaves it, whether or not a run began.
  if _SETTINGS in entries:
    with open(os.path.join(folder, _SETTINGS), encoding='utf-8') as file:
      there = json.load(file)
    there = config_lib.completed(there)  # Written before some fields existed.
    here = {'experiment': experiment, **config_lib.portable(config)}
    if there != here:
      raise errors.UserError(
          f'`workdir`: {folder} holds a run of other settings '
          f'({_differing(there, here)}); give another folder')
    if records.RECORD not in entries and not config.resume:
      raise errors.UserError(
          f'`workdir`: {folder} holds an unfinished run of these settings; '
          'pass `resume` to continue it, or delete the folder')
  elif entries:
    raise errors.UserError(
        f'`workdir`: {folder} is not empty and holds no run; give another')
  # `makedirs` needs write access to the lowest ancestor that exists.
  parent = folder
  while not os.path.exists(parent):
    parent = os.path.dirname(parent)
  if not os.access(parent, os.W_OK):
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
  try:
    os.makedirs(folder, exist_ok=True)
    lock = filelock.FileLock(os.path.join(folder, _LOCK))
    with lock.acquire(timeout=0):
      check_free(config, experiment)  # Again: another run may have begun.
      atomic.write_json(
          os.path.join(folder, _SETTINGS),
          {'experiment': experiment, **config_lib.portable(config)})
      yield folder
  except filelock.Timeout as error:
    raise errors.UserError(
        f'`workdir`: another process is running in {folder}') from error
  except PermissionError as error:
    raise errors.UserError(
        f'`workdir`: {folder} cannot be written ({error})') from error
