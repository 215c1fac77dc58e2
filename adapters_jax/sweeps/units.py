"""Which runs of a sweep train together: a unit is one run or a group.

No JAX here: who plans a sweep may be a machine without a device.
"""

from collections.abc import Callable, Iterable, Sequence
import dataclasses
import json
import os
import shutil
from typing import Any

from adapters_jax.downloads import atomic
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import workdirs
from adapters_jax.sweeps import grid

# What runs of a group may differ in, beside where they are.
FREE = ('seed', 'learning_rate', 'init_scale', 'adapter_size', 'workdir',
        'resume')

Unit = tuple[config_lib.Config, ...]

_FOLDER = '.groups'
_MEMBERS = 'group.json'


def key(config: config_lib.Config) -> tuple[Any, ...]:
  """Returns what runs must have in common to be in one group."""
  return tuple(getattr(config, f.name) for f in dataclasses.fields(config)
               if f.name not in FREE)


def folder_of(configs: Sequence[config_lib.Config], experiment: str) -> str:
  """Returns where a group's state is, beside the folders of its runs."""
  beside = os.path.dirname(workdirs.path_of(configs[0], experiment))
  names = [grid.name_of(config) for config in configs]
  return os.path.join(beside, _FOLDER, config_lib.digest({'members': names}))


def begin(configs: Sequence[config_lib.Config], experiment: str) -> str:
  """Makes the folder of a group, which names its runs; returns its path."""
  folder = folder_of(configs, experiment)
  atomic.write_json(os.path.join(folder, _MEMBERS), {
      'members': [grid.name_of(config) for config in configs]})
  return folder


def _begun(folder: str) -> list[tuple[str, list[str]]]:
  """Returns (path, names of its runs) of the groups begun in a folder."""
  found = []
  root = os.path.join(folder, _FOLDER)
  for name in sorted(os.listdir(root)) if os.path.isdir(root) else ():
    path = os.path.join(root, name, _MEMBERS)
    if os.path.exists(path):
      with open(path, encoding='utf-8') as file:
        found.append((os.path.dirname(path), json.load(file)['members']))
  return found


def _resumed(
    runs: Sequence[config_lib.Config], todo: dict[str, config_lib.Config],
    experiment: str,
) -> list[Unit]:
  """Returns the groups that go on as they were, and takes them out of `todo`.

  A group is the same group only whole: runs of it that have a record already
  (it was ended between two records) are in it too.
  """
  by_name = {grid.name_of(run): run for run in runs}
  units = []
  folders = {os.path.dirname(workdirs.path_of(run, experiment))
             for run in runs}
  for path, names in (one for f in sorted(folders) for one in _begun(f)):
    if not all(name in by_name for name in names):
      continue  # Of another sweep, which may want it.
    mine = [name for name in names if name in todo]
    if mine:
      units.append(tuple(by_name[name] for name in names))
    else:
      shutil.rmtree(path)
    for name in mine:
      del todo[name]
  return units


def plan(
    runs: Sequence[config_lib.Config], todo: Iterable[config_lib.Config],
    experiment: str, size_of: Callable[[Sequence[config_lib.Config]], int],
) -> list[Unit]:
  """Returns the units that make the unfinished runs.

  What was begun goes on as it was: groups as the same groups, single runs
  alone.

  Args:
    runs: All of the sweep, with absolute workdirs.
    todo: Those without a record.
    experiment: The name that their folders carry.
    size_of: (runs of one key, widest adapters first) -> runs a group.
  """
  left = {grid.name_of(run): run for run in todo}
  units = _resumed(runs, left, experiment)
  alike = {}
  for config in left.values():
    if os.path.isdir(
        os.path.join(workdirs.path_of(config, experiment), 'resume')):
      units.append((config,))
    else:
      alike.setdefault(key(config), []).append(config)
  for found in alike.values():  # Of about one size, so that little is padding.
    found.sort(key=lambda config: -config.adapter_size)
    size = size_of(found) if len(found) > 1 else 1
    units += [tuple(found[i:i + size]) for i in range(0, len(found), size)]
  return units
