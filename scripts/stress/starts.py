"""Processes that start at the same time with an empty cache."""

import os
import subprocess
from typing import Any

from scripts.stress import kills
from scripts.stress import place as place_lib


def run(place: place_lib.Place, whole: Any, number: int) -> dict[str, Any]:
  """Starts runs of equal settings, one more than there are workdirs.

  Args:
    place: Place of the runs.
    whole: Result of such a run in this process.
    number: Number of processes.

  Returns:
    {'processes', 'finished', 'refused': those that found their workdir in use,
    'faults': descriptions}
  """
  environment = {**os.environ, 'ADAPTERS_JAX_CACHE': place.path('cold-cache')}
  # Two processes share the first workdir.
  names = [f'cold-{max(0, i - 1)}' for i in range(number)]
  processes = [subprocess.Popen(
      kills.command(place, name), env=environment, text=True,
      stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for name in names]
  faults, refused, finished = [], 0, 0
  for name, process in zip(names, processes, strict=True):
    out, _ = process.communicate()
    if process.returncode == 2 and 'another process is running' in out:
      refused += 1
    elif process.returncode or 'Traceback' in out:
      faults.append(f'{name}: status {process.returncode}, {out[-1000:]}')
    else:
      finished += 1
  faults += [f'{name}: another result' for name in sorted(set(names))
             if place_lib.result(place.path(name)) != whole]
  return {'processes': number, 'finished': finished, 'refused': refused,
          'faults': faults}
