"""A full disk at every write: one line, and nothing that was saved is lost."""

import errno
import os
import random
import shutil
import time
from typing import Any

from scripts.stress import kills
from scripts.stress import place as place_lib

# Seconds for the threads of a failed save to end. Outside of this script they
# end with their process.
_THREADS = 1.0


def run(
    place: place_lib.Place, whole: Any, rng: random.Random, most: int
) -> dict[str, Any]:
  """Fails one write of a run at a time, and resumes the run.

  Args:
    place: Place of the runs.
    whole: Result of the run without a fault.
    rng: Generator that draws the writes.
    most: Most writes to fail.

  Returns:
    {'writes', 'failed', 'faults': descriptions}
  """
  name = 'disk'
  written: list[int] = []
  writing = ('open', 'fsync', 'mkdir', 'replace', 'rename')

  def count(number, event):
    if event in writing:
      written.append(number)

  with kills.events(place.path(name), count):
    place_lib.train(place.config(name))
  shutil.rmtree(place.path(name))
  chosen = written if len(written) <= most else rng.sample(written, most)
  faults = []
  for wanted in sorted(chosen):

    def fail(number, event, wanted=wanted):
      if number == wanted:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC),
                      f'{place.path(name)}/{event}')

    with kills.events(place.path(name), fail):
      outcome, found = place_lib.attempt(
          place_lib.train, place.config(name))
    # A run survives some faults: a lock, for one, need not be removed.
    if outcome == 'traceback' or (
        outcome == 'refused' and 'No space left' not in found):
      faults.append(f'write {wanted}: {outcome} {str(found)[:300]}')
    time.sleep(_THREADS)
    outcome, found = place_lib.attempt(place_lib.resumed, place, name)
    if (outcome, found) != ('result', whole):
      faults.append(f'write {wanted}: resumed: {outcome} {str(found)[:300]}')
    shutil.rmtree(place.path(name), ignore_errors=True)
  return {'writes': len(written), 'failed': len(chosen), 'faults': faults}
