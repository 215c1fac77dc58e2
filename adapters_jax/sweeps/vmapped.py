"""Units of a sweep: single runs, or groups of runs vmapped together.

No JAX at import: a sweep may be planned on a machine without a device.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
import dataclasses
import logging
import os
import shutil
from typing import Any

from adapters_jax import errors
from adapters_jax.downloads import atomic
from adapters_jax.downloads import json_files
from adapters_jax.runs import allocator
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import identity
from adapters_jax.runs import options
from adapters_jax.runs import records
from adapters_jax.runs import rungs
from adapters_jax.runs import workdirs
from adapters_jax.sweeps import differences
from adapters_jax.sweeps import grid
from adapters_jax.training import saves

_log = logging.getLogger(__name__)

Unit = tuple[config_lib.Config, ...]

_FOLDER = '.groups'
_MEMBERS = 'group.json'
_LIST = 'members'


def group_key(config: config_lib.Config) -> tuple[Any, ...]:
  """Returns the settings that all runs of one group share."""
  free = options.marked(config_lib.Config, 'vmapped')
  return tuple(getattr(config, f.name) for f in dataclasses.fields(config)
               if f.name not in free)


def run_unit(
    configs: Sequence[config_lib.Config], experiment: str, kind: Any,
    pause: float = 0.0,
) -> list[records.Record | rungs.Paused | str]:
  """Trains or continues one run, or a group of runs.

  Until all of its runs have finished, a group's state is in a folder next to
  their workdirs.

  Args:
    configs: Settings of the runs, all of one `group_key`, with absolute
      workdirs.
    experiment: Name of the experiment.
    kind: Kind of the task.
    pause: Epochs after which the runs wait with their states saved; 0 to train
      to the end.

  Returns:
    The record of each run, its pause, or the reason of its failure.

  Raises:
    errors.Interrupted: a signal arrived; the state is saved.
    errors.SweepError: a fault that the other units share.
  """
  import jax  # Here, as planning needs no JAX; the next import needs it too.
  from adapters_jax.runs import run
  if len({group_key(config) for config in configs}) != 1:
    names = ', '.join(options.marked(config_lib.Config, 'vmapped'))
    raise ValueError(f'runs of a group may differ in {names} alone')
  # An earlier launch may have been killed.
  configs = [dataclasses.replace(config, resume=True) for config in configs]
  try:
    if len(configs) == 1:
      return run.run_group(configs, experiment, kind, pause=pause)
    folder = group_folder(configs)
    found = run.run_group(
        configs, experiment, kind,
        names=[*map(differences.line_of(configs), configs)],
        state_folder=workdirs.state_of(folder),
        # Under the runs' locks: else `_remove_idle` of another process that
        # starts the same sweep could take the group for an abandoned one.
        begin=lambda: begin_group(configs), pause=pause)
    shutil.rmtree(folder, ignore_errors=True)
    return found
  except errors.SweepError:
    raise
  except (errors.UserError, OSError) as error:  # Other units continue.
    return [str(error)] * len(configs)
  except jax.errors.JaxRuntimeError as error:  # Such as a device out of memory.
    if jax.process_count() > 1:
      raise  # Hosts that no longer compute together cannot start another run.
    way_out = ''
    if len(configs) > 1 and _saved(group_folder(configs)):
      # Without a saved state, the next launch may form smaller groups anyway.
      way_out = ('; to go on in smaller groups, from the first step, delete '
                 f'{group_folder(configs)}')
    return [errors.first_line(error) + way_out] * len(configs)
  finally:
    allocator.release()


def group_folder(configs: Sequence[config_lib.Config]) -> str:
  """Returns the folder of a group's state, next to those of its runs.

  Args:
    configs: Settings of the runs, with absolute workdirs.
  """
  parent = os.path.dirname(configs[0].workdir)
  names = [grid.run_name(config) for config in configs]
  return os.path.join(parent, _FOLDER, identity.digest({_LIST: names}))


def begin_group(configs: Sequence[config_lib.Config]) -> str:
  """Creates the folder of a group, with a file that names its runs.

  Args:
    configs: Settings of the runs, with absolute workdirs.

  Returns:
    Path of the folder.
  """
  # Before training, so that `_begun` also finds a group that was killed.
  folder = group_folder(configs)
  atomic.write_json(os.path.join(folder, _MEMBERS), {
      _LIST: [grid.run_name(config) for config in configs]})
  return folder


def _begun(folder: str) -> list[tuple[str, list[str]]]:
  """Returns (path, names of its runs) of the groups begun in a folder."""
  found = []
  root = os.path.join(folder, _FOLDER)
  for name in sorted(os.listdir(root)) if os.path.isdir(root) else ():
    path = os.path.join(root, name, _MEMBERS)
    if os.path.exists(path):
      try:
        members = json_files.strings(json_files.read(path), _LIST, path)
        if identity.digest({_LIST: members}) != name:
          raise errors.UserError('its runs are not those of its name')
        found.append((os.path.dirname(path), list(members)))
      except errors.UserError as error:
        # The state is not lost: the same runs lead to the same folder name.
        _log.warning('the group in %s is left out, as its file is damaged (%s)',
                     os.path.dirname(path), error)
  return found


def _resumed(
    runs: Sequence[config_lib.Config], todo: dict[str, config_lib.Config],
    experiment: str,
) -> list[Unit]:
  """Returns the groups begun before, and takes their runs out of `todo`.

  A group continues whole, with those of its runs that have a record, as after a
  kill between two records. One without a saved state is dissolved: its runs may
  form smaller groups, as after running out of memory.
  """
  by_name = {grid.run_name(run): run for run in runs}
  units: list[Unit] = []
  left: list[tuple[str, list[str]]] = []
  taken: set[str] = set()
  folders = {os.path.dirname(run.workdir) for run in runs}
  begun = [one for folder in sorted(folders) for one in _begun(folder)]
  # Of groups that share a run, only the one with the most steps continues.
  begun.sort(key=lambda one: -_saved(one[0]))
  for path, names in begun:
    known = [by_name[name] for name in names if name in by_name]
    if not _saved(path):
      if known:
        _remove_idle(path, known[0], experiment)
      continue
    mine = [name for name in names if name in todo]
    if mine and (len(known) < len(names) or not taken.isdisjoint(names)):
      left.append((path, names))  # Another sweep may need its state.
    elif mine:
      units.append(tuple(known))
      taken.update(names)
      for name in mine:
        del todo[name]
    elif len(known) == len(names) and all(
        workdirs.finished(run.workdir) for run in known):
      shutil.rmtree(path)  # A kill came before the folder was removed.
    # Otherwise its runs have a score at this rung, and continue from it.
  for path, names in left:
    anew = sum(name in todo and not saves.exists(
        workdirs.state_of(todo[name].workdir)) for name in names)
    if anew:
      _log.warning(
          'a group of %d runs, some outside this sweep or in another group, is '
          'left in %s; %d of its runs here start anew', len(names), path, anew)
  return units


def _saved(path: str) -> int:
  """Returns the number of the last save of a group, 0 without one."""
  return saves.last(workdirs.state_of(path))


def _remove_idle(
    path: str, member: config_lib.Config, experiment: str
) -> None:
  """Removes the folder of a group without a state, unless it is training."""
  try:
    with workdirs.claimed(member, experiment):
      if not _saved(path):
        shutil.rmtree(path, ignore_errors=True)
  except errors.UserError:
    pass  # Another process trains it, and has not saved yet.


def remove_groups_of(config: config_lib.Config, sweep: Collection[str]) -> None:
  """Removes the states of a sweep's groups of a run that trains no further.

  These groups cannot continue whole; their other runs have states of their own.
  A group with a run of another sweep stays, as it may be that run's only state.

  Args:
    config: Settings of the run, whose absolute workdir this process holds.
    sweep: Names of all runs of the sweep, as `grid.run_name` gives them.
  """
  for path, names in _begun(os.path.dirname(config.workdir)):
    if grid.run_name(config) in names and all(name in sweep for name in names):
      shutil.rmtree(path, ignore_errors=True)


def make_units(
    runs: Sequence[config_lib.Config], todo: Iterable[config_lib.Config],
    experiment: str, size_of: Callable[[Sequence[config_lib.Config]], int],
) -> list[Unit]:
  """Divides the unfinished runs into units.

  Groups begun before continue unchanged, and runs begun alone stay alone.

  Args:
    runs: All runs of the sweep, with absolute workdirs.
    todo: Runs without a record.
    experiment: Name of the experiment.
    size_of: (runs of one key, widest adapters first) -> runs per group.
  """
  left = {grid.run_name(run): run for run in todo}
  units = _resumed(runs, left, experiment)
  alike = {}
  for config in left.values():
    saved = saves.exists(workdirs.state_of(config.workdir))
    waits = rungs.read(config.workdir).waits if saved else 0.0
    if saved and not waits:
      units.append((config,))  # Its state is that of a single run.
    else:  # Runs that wait after equal epochs may train together.
      alike.setdefault((group_key(config), waits), []).append(config)
  fresh = []
  for found in alike.values():  # Similar sizes together, to pad less.
    found.sort(key=lambda config: -config.adapter_size)
    size = size_of(found) if len(found) > 1 else 1
    fresh += [tuple(found[i:i + size]) for i in range(0, len(found), size)]
  position = {grid.run_name(run): number for number, run in enumerate(runs)}
  fresh.sort(key=lambda unit: position[grid.run_name(unit[0])])
  return units + fresh
