"""Kills at file events and at random times; the resumed runs must be equal."""

from collections.abc import Callable, Iterator
import contextlib
import dataclasses
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from typing import Any
from unittest import mock

from adapters_jax.runs import config as config_lib
from adapters_jax.runs import saving
from scripts.stress import place as place_lib

# Calls of `os` that change a folder. Files that TensorStore writes in C++ are
# seen when orbax renames their folder.
_EVENTS = ('open', 'replace', 'rename', 'remove', 'unlink', 'mkdir', 'rmdir',
           'fsync')


@contextlib.contextmanager
def events(folder: str, act: Callable[[int, str], None]) -> Iterator[None]:
  """Calls act(number, name) before every file event below a folder.

  Args:
    folder: Folder to watch.
    act: Called with the number and the name of the event.
  """
  numbers = iter(range(10**9))
  inside = [False]  # The events of `act` itself do not count.

  def writes(name, args):
    if name != 'open' or not args:
      return name != 'open'
    if isinstance(args[0], str):  # Python's own `open`.
      return any(letter in args[0] for letter in 'wxa+')
    return bool(args[0] & (os.O_WRONLY | os.O_RDWR))

  def wrapped(name, function):
    def call(first, *args, **kwargs):
      path = ''
      if name == 'fsync':
        path = os.path.realpath(f'/proc/self/fd/{first}')
      elif not isinstance(first, int):
        path = os.fsdecode(first)
      if writes(name, args) and path.startswith(folder) and not inside[0]:
        inside[0] = True
        try:
          act(next(numbers), name)
        finally:
          inside[0] = False
      return function(first, *args, **kwargs)
    return call

  with contextlib.ExitStack() as stack:
    for name in _EVENTS:
      stack.enter_context(mock.patch.object(
          os, name, wrapped(name, getattr(os, name))))
    stack.enter_context(mock.patch(
        'builtins.open', wrapped('open', open)))
    # With whole paths, not names in an open folder.
    stack.enter_context(mock.patch.object(shutil, '_use_fd_functions', False))
    yield


def at_file_events(
    place: place_lib.Place, whole: Any, rng: random.Random, most: int,
    every: int = 1,
) -> dict[str, Any]:
  """Resumes from copies of a workdir, as kills at file events would leave it.

  Args:
    place: Place of the runs.
    whole: Result of the run without a kill.
    rng: Generator that draws the events to resume from.
    most: Most copies to resume from.
    every: Events from one copy to the next.

  Returns:
    {'events', 'resumed', 'different': descriptions}
  """
  events_seen, offset = [0], rng.randrange(every)
  folder, copies = place.path('events'), place.path('copies')

  def copy(number, name):
    # A copy is the folder as a kill leaves it: no process holds its locks.
    events_seen[0] += 1
    if os.path.isdir(folder) and number % every == offset:
      with contextlib.suppress(shutil.Error):  # A thread removed a file.
        shutil.copytree(folder, os.path.join(copies, f'{number}-{name}'))

  # Removes the lower limit on the time between two saves.
  with mock.patch.object(saving, '_LITTLE', 0.0):
    with events(folder, copy):
      place_lib.train(place.config('events', save_minutes=1e-9))
  names = sorted(os.listdir(copies), key=lambda name: int(name.split('-')[0]))
  chosen = names if len(names) <= most else sorted(
      rng.sample(names, most), key=names.index)
  different = []
  for name in chosen:
    kind, found = place_lib.attempt(
        place_lib.resumed, place, os.path.join('copies', name))
    if kind != 'result' or found != whole:
      different.append(f'{name}: {kind} {found if kind != "result" else ""}')
  shutil.rmtree(copies)
  shutil.rmtree(folder)
  return {'events': events_seen[0], 'resumed': len(chosen),
          'different': different}


def command(place: place_lib.Place, name: str) -> list[str]:
  """Returns the command of a run.

  Args:
    place: Place of the run.
    name: Name of its workdir.
  """
  settings = dataclasses.asdict(place.config(name, resume=True))
  return [sys.executable, '-m', 'experiments.glue', *(
      f'--{flag}={value}' for flag, value in settings.items()
      if value != getattr(config_lib.Config, flag))]


def at_random_times(
    place: place_lib.Place, whole: Any, rng: random.Random, most: int
) -> dict[str, Any]:
  """Kills processes at random times, and resumes each until it has finished.

  Args:
    place: Place of the runs.
    whole: Result of the run without a kill.
    rng: Generator that draws times and signals.
    most: Number of signals to send.

  Returns:
    {'runs', 'kills': SIGKILL sent, 'terms': SIGTERM sent, 'slowest_term':
    seconds from SIGTERM to the end, 'different': descriptions}
  """
  different: list[str] = []
  sent = {signal.SIGKILL: 0, signal.SIGTERM: 0}
  runs, slowest, usual = 0, 0.0, 0.0
  while sum(sent.values()) < most or not runs:
    runs += 1
    name = f'random-{runs}'
    for attempt in range(5):  # The last one finishes.
      start = time.monotonic()
      process = subprocess.Popen(
          command(place, name), stdout=subprocess.PIPE,
          stderr=subprocess.STDOUT, text=True)
      number = rng.choice(list(sent))
      last = attempt == 4 or sum(sent.values()) >= most
      try:
        # A run without a signal shows how long one takes.
        out, _ = process.communicate(
            timeout=None if last else rng.uniform(0.1, usual or 10))
      except subprocess.TimeoutExpired:
        sent[number] += 1
        asked = time.monotonic()
        process.send_signal(number)
        out, _ = process.communicate()
        if number == signal.SIGTERM:
          slowest = max(slowest, time.monotonic() - asked)
      usual = max(usual, min(time.monotonic() - start, 60))
      if 'Traceback' in out and number != signal.SIGKILL:
        different.append(f'{name}: {out[-1000:]}')
      if process.returncode == 0:
        break
    found = (place_lib.result(place.path(name)) if process.returncode == 0
             else (process.returncode, out[-300:]))
    if found != whole:
      different.append(f'{name}: {found}')
  return {'runs': runs, 'kills': sent[signal.SIGKILL],
          'terms': sent[signal.SIGTERM], 'slowest_term': round(slowest, 1),
          'different': different}
