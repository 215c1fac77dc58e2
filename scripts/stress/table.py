"""The figures of the stress as lines of Markdown."""

from collections.abc import Mapping
from typing import Any


def lines(found: Mapping[str, Any]) -> list[str]:
  """Returns a table of the cases of each part and of their faults.

  Args:
    found: Figures that `python -m scripts.stress` writes.
  """
  events, kills = found['file_events'], found['random_kills']
  damage, disk = found['damage'], found['full_disk']
  starts, flags = found['cold_starts'], found['flags']
  outcomes = damage['outcomes']
  rows = [
      ('Kill at a file event, then `--resume`',
       f'{events["resumed"]:,} of {events["events"]:,} events of a run',
       f'{len(events["different"])} results differ'),
      ('SIGKILL at a random time, then `--resume`',
       f'{kills["kills"]:,}, in {kills["runs"]} runs',
       f'{len(kills["different"])} results differ'),
      ('SIGTERM at a random time, then `--resume`', f'{kills["terms"]:,}',
       f'slowest end after {kills["slowest_term"]} s'),
      ('Damaged file', f'{damage["mutations"]:,} changes of '
       f'{damage["files"]} files',
       f'{outcomes["refused"]:,} refused in one line, {outcomes["equal"]:,} '
       f'without effect or repaired, {outcomes["warned"]:,} other results '
       f'after a warning, {outcomes["silent"]:,} without one, '
       f'{outcomes["traceback"]:,} tracebacks'),
      ('Full disk at a write, then `--resume`',
       f'{disk["failed"]:,} of {disk["writes"]:,} writes of a run',
       f'{len(disk["faults"])} tracebacks or other results'),
      ('Processes that start at once with an empty cache',
       f'{starts["processes"]:,}, two of them with one workdir',
       f'{len(starts["faults"])} failures or other results'),
      ('Random wrong flags', f'{flags["commands"]:,} commands',
       f'{len(flags["faults"])} without exit status 2 and one line'),
  ]
  return ['| tried | how often | outcome |', '|---|---|---|',
          *(f'| {" | ".join(row)} |' for row in rows)]
