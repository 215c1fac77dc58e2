"""Inputs of a saved state (data, computation, base), compared on a resume.

The settings of a run name a task, a precision and a base of the hub. Each name
may mean something else in another folder, on another processor or on another
day. A run that resumed with other inputs would hide the change in its record.
"""

from typing import Any

from adapters_jax import errors
from adapters_jax.model import base as base_lib
from adapters_jax.model import precision
from adapters_jax.runs import group as group_lib
from adapters_jax.runs import log as log_lib
from adapters_jax.training import hosts


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


def continued(
    log: log_lib.Log, inputs: dict[str, Any], folder: str
) -> log_lib.Log:
  """Returns the log of a saved state, once its inputs are the present ones.

  Every host must make the call; all of them end if one has other inputs.

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
  # States of earlier versions have no such hashes.
  if files := base_lib.differing_files(
      before.get('base_files', now['base_files']), now['base_files']):
    return (f'was trained with another {" and ".join(files)} of the base than '
            'at hand; give the base')
  return ''
