"""Files of measurements, for the scripts that measure one thing each."""

import dataclasses
import platform
from typing import Any

from adapters_jax.downloads import atomic
from adapters_jax.runs import records
from adapters_jax.training import threads


def write(config: Any, **found: Any) -> None:
  """Writes the measurements of a script to the file `config.out`, if given.

  Args:
    config: Settings of the script, a dataclass.
    **found: Measured numbers; cores, machine and commit are added.
  """
  settings = dataclasses.asdict(config)
  path = settings.pop('out')
  if path:  # `cores` are those that this process may use.
    atomic.write_json(path, {
        **settings, **found, 'cores': threads.cores(),
        'machine': platform.machine(),
        'commit': records.commit_of(records.__file__)})  # Of the library.
