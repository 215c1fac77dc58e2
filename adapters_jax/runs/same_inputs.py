"""Inputs of runs (data, computation, base), compared on resumes and hosts.

The settings of a run name a task, a precision and a base of the hub. Each name
may mean something else in another folder, on another processor or on another
day. A run that resumed with other inputs would hide the change in its record,
and hosts with different inputs would together train a run that no one started.
"""

from collections.abc import Sequence
import functools
import json
import logging
from typing import Any

import jax

from adapters_jax import errors
from adapters_jax.downloads import file_hash
from adapters_jax.model import base as base_lib
from adapters_jax.model import precision
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import group as group_lib
from adapters_jax.runs import identity
from adapters_jax.runs import log as log_lib
from adapters_jax.training import hosts

_log = logging.getLogger(__name__)


def of_group(group: group_lib.Group) -> dict[str, Any]:
  """Returns the inputs of a group, as its states keep them.

  Args:
    group: Runs.

  Returns:
    {'data': as in a record, 'computation': types, precision and kind of
    device, 'base': result of `base.identity`, 'base_files': that of
    `base.file_hashes`}
  """
  setup, origin = group.setup, group.members[0].origin
  device = setup.mesh.devices.flat[0]
  # Without the kind of attention, which may change when a run leaves its group.
  types = precision.choose(group.configs[0].precision, 1, device).types
  return {'data': setup.data, 'computation': f'{types}, on {device.platform}',
          'base': origin.base if origin else '',
          'base_files': origin.base_files if origin else {}}


def demand_same_settings(configs: Sequence[config_lib.Config]) -> None:
  """Calls `demand_same_on_hosts` for the settings, before the data are read.

  Args:
    configs: Settings of each run; every host has as many.
  """
  if jax.process_count() == 1:
    return
  for config in configs:
    origin = hosts.together(functools.partial(identity.origin_of, config))
    demand_same_on_hosts({
        # These two decide together with whom a host computes, and when.
        'settings': {**origin.settings, 'mesh': config.mesh,
                     'resume': config.resume},
        'base': origin.base, 'base_files': origin.base_files})


def demand_same_on_hosts(own: dict[str, Any]) -> None:
  """Raises an error on all hosts if one of them was given other inputs.

  Every host must make the call.

  Args:
    own: {name: value} of this process, in types of JSON.

  Raises:
    errors.SweepError: a process has other values than the first.
  """
  text = json.dumps(own, sort_keys=True)
  first = hosts.first_text(text)  # The first host has one.
  names = _differing(json.loads(first), json.loads(text))
  if problem := hosts.first_text('' if not names else (
      f'`coordinator`: process {jax.process_index()} has another '
      f'{" and another ".join(names)} than process 0; start every process with '
      'the same settings and files')):
    raise errors.SweepError(problem)  # As other runs would, too.


def _differing(first: dict[str, Any], own: dict[str, Any]) -> list[str]:
  """Returns the names whose values differ, within `settings` one by one."""
  names = [name for name in {**first, **own}
           if first.get(name) != own.get(name)]
  if 'settings' not in names:
    return names
  one, other = first['settings'], own['settings']
  return [f'`{name}`' for name in {**one, **other}
          if one.get(name) != other.get(name)]


def continued(
    log: log_lib.Log, inputs: dict[str, Any], folder: str
) -> log_lib.Log:
  """Returns the log of a saved state, once its inputs are the present ones.

  Every host must make the call; all of them end if one has other inputs. Small
  files of the base that only the state or only the base has are a warning.

  Args:
    log: Log of the state. One of an earlier version has no inputs, and may
      continue with any.
    inputs: Result of `of_group`.
    folder: Folder of the state.

  Raises:
    errors.UserError: the state has other inputs.
  """
  if problem := hosts.first_text(_difference(log.inputs, inputs)):
    raise errors.UserError(
        f'`resume`: the state in {folder} {problem} as before, or delete that '
        'folder to begin again')
  if names := file_hash.unmatched(
      log.inputs.get('base_files', {}), inputs['base_files']):
    _log.warning(
        'the state in %s or the base at hand has no %s, which may change '
        'results', folder, ' and '.join(names))
  log.inputs = inputs
  return log


def _difference(before: dict[str, Any], now: dict[str, Any]) -> str:
  """Describes a difference of inputs and its remedy; '' if there is none.

  Args:
    before: Inputs of a state.
    now: Inputs at hand.
  """
  if not before:
    return ''
  if splits := [
      name for name in now['data'] | before['data']
      if before['data'].get(name) != now['data'].get(name)]:
    return (f'was trained with other {", ".join(splits)} examples than those '
            'at hand; give the data')
  if before['computation'] != now['computation']:
    return (f'{before["computation"]}, and this machine '
            f'{now["computation"]}; continue on a processor')
  if not base_lib.same(before['base'], now['base']):
    return (f'was trained on the base {before["base"]}, and {now["base"]} is '
            'at hand; give the base')
  # States of earlier versions have no such hashes, or those of fewer files.
  if files := file_hash.changed(
      before.get('base_files', {}), now['base_files']):
    return (f'was trained with another {" and ".join(files)} of the base than '
            'at hand; give the base')
  return ''
