"""Coordinates the hosts of a run: they join, agree and wait for each other.

Every host runs the same script; the first one writes the files.
"""

from collections.abc import Callable, Iterator
import contextlib
import io
import itertools
import logging
import os
import re
import socket
import threading
import time
from typing import Any, TypeVar, cast

import jax
from jax.experimental import multihost_utils
import numpy as np

from adapters_jax import errors

_log = logging.getLogger(__name__)
_T = TypeVar('_T')

_WAIT_LINE = 10.0  # Seconds between messages while hosts are joining.


def join_all(
    coordinator: str, processes: int, process: int, seconds: int = 300
) -> None:
  """Joins the hosts of a run. Call it before JAX is asked for its devices.

  Hosts that an earlier run of this process has joined stay together.

  Args:
    coordinator: '' for one process, 'auto' where JAX detects the cluster (Cloud
      TPU, SLURM, Open MPI, Kubernetes), else host:port of the first process.
    processes: Number of processes.
    process: Index of this process, from 0.
    seconds: Maximum seconds to wait for the other processes; then this process
      ends with status 2.

  Raises:
    errors.UserError: the flags contradict each other, the port of the first
      process cannot be used, or 'auto' finds nothing.
  """
  if not coordinator:
    if processes or process >= 0:
      raise errors.UserError(
          '`processes` and `process` go with `coordinator=host:port`')
    return
  if jax.distributed.is_initialized():
    return
  if coordinator == 'auto':
    try:
      with _waiting(seconds, 'the other processes of the cluster'):
        jax.distributed.initialize(initialization_timeout=2 * seconds)
    except ValueError as error:
      raise errors.UserError(
          f'`coordinator=auto`: found no cluster here ({error}); give '
          '`coordinator=host:port`, `processes` and `process`') from error
    return
  if not re.fullmatch(r'.+:\d+', coordinator):
    raise errors.UserError(
        f"`coordinator={coordinator}`: give host:port, or 'auto'")
  if not 0 <= process < processes:
    raise errors.UserError(
        f'`process={process}` `processes={processes}`: number the processes '
        'from 0 and say how many there are')
  if process == 0:
    _check_port(coordinator)
  others = ('all other processes' if process == 0 else
            f'process 0 at {coordinator}')
  with _waiting(seconds, f'{others}, as number {process} of {processes}'):
    jax.distributed.initialize(
        coordinator, processes, process, initialization_timeout=2 * seconds)


def _check_port(coordinator: str) -> None:
  """Raises UserError for a port where JAX's coordinator cannot listen.

  JAX itself would end the process with a segmentation fault.
  """
  port = coordinator.rpartition(':')[2]
  # JAX reads the variable too; it may name another port.
  host, _, number = os.environ.get(
      'JAX_COORDINATOR_BIND_ADDRESS', f':{port}').rpartition(':')
  host = host.strip('[]')
  family = socket.AF_INET6 if ':' in host else socket.AF_INET
  try:
    with socket.socket(family) as probe:
      # As gRPC: the connections of an earlier run may be closing still.
      probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
      probe.bind((host, int(number)))
  except (OSError, OverflowError, ValueError) as error:
    raise errors.UserError(
        f'`coordinator={coordinator}`: port {number} cannot be used '
        f'({getattr(error, "strerror", None) or error}); give another'
    ) from error


@contextlib.contextmanager
def _waiting(seconds: int, others: str) -> Iterator[None]:
  """Logs the time of a wait; ends the process when it takes too long."""
  over = threading.Event()

  def watch():
    start = time.monotonic()
    while not over.wait(min(_WAIT_LINE, seconds)):
      passed = time.monotonic() - start
      if passed >= seconds:
        _log.error(
            '`coordinator`: waited %d s for %s; start every process with the '
            'same `coordinator` and `processes` and its own `process`, or '
            'wait longer with `join_seconds`', passed, others)
        # JAX would abort at its own limit: its client raises no error.
        os._exit(2)
      _log.info('waiting for %s: %d s', others, passed)

  thread = threading.Thread(target=watch, daemon=True)
  thread.start()
  try:
    yield
  finally:
    over.set()
    thread.join()


def is_first() -> bool:
  """Returns whether this process writes the files and talks to the user."""
  return jax.process_index() == 0


def agreed(choice: bool) -> bool:
  """Returns the first host's choice; every host must make the call."""
  if jax.process_count() == 1:
    return choice
  return bool(multihost_utils.broadcast_one_to_all(np.asarray(choice)))


def first_text(text: str) -> str:
  """Returns the text of the first host that has one; every host must call.

  Args:
    text: Text such as a fault that this host has found, '' for none.
  """
  if jax.process_count() == 1:
    return text
  own = text.encode()
  # Pad to one length: the arrays of all hosts must have equal shapes.
  longest = int(np.max(multihost_utils.process_allgather(np.asarray(len(own)))))
  found = multihost_utils.process_allgather(
      np.frombuffer(own.ljust(longest, b'\0'), np.uint8))  # [hosts, bytes]
  texts = [row.tobytes().rstrip(b'\0').decode() for row in np.asarray(found)]
  return next(filter(None, texts), '')


@contextlib.contextmanager
def on_first(
    resource: contextlib.AbstractContextManager[Any],
) -> Iterator[None]:
  """Holds a resource on the first host; the others wait, and print nothing.

  Raises:
    errors.UserError: the first host cannot acquire it.
  """
  if jax.process_count() > 1:  # Waits until all are here.
    multihost_utils.sync_global_devices('before the first host')
  with contextlib.ExitStack() as stack:
    problem = None
    try:
      if is_first():
        stack.enter_context(resource)
    except errors.UserError as error:
      problem = error
    if not agreed(problem is None):  # All hosts must raise.
      raise problem or errors.UserError('the first process could not start')
    if not is_first():
      stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
    yield


def by_first(act: Callable[[], object]) -> None:
  """Calls a function on the first host alone; the others wait for its end.

  Args:
    act: Function such as one that writes files.

  Raises:
    OSError: that of the first host's call.
    errors.UserError: that of the first host's call; on other hosts, that the
      call failed.
  """
  problem: OSError | errors.UserError | None = None
  if is_first():
    try:
      act()
    except (OSError, errors.UserError) as error:
      problem = error
  if not agreed(problem is None):  # Every host must end.
    raise problem or errors.UserError('the first process could not write')


def together(make: Callable[[], _T]) -> _T:
  """Returns the result of a function that every host calls.

  If it fails on one host, all raise: the others would wait for it.

  Args:
    make: Function such as one that reads files, without exchanges of hosts.

  Raises:
    OSError: that of this host's call.
    errors.UserError: that of this host's call, else of another host's.
  """
  found: _T | None = None
  problem: OSError | errors.UserError | None = None
  text = ''
  try:
    found = make()
  except (OSError, errors.UserError) as error:
    problem, text = error, str(error) or 'another process failed'
  if text := first_text(text):
    raise problem or errors.UserError(text)
  return cast(_T, found)


def stopped_together() -> Callable[[], bool]:
  """Returns asked(): whether to stop now, at the same call on every host.

  Any host's SIGTERM stops all. Every host must call it once a step.
  """
  calls = itertools.count()  # The number of the call is JAX's sync point.
  return lambda: multihost_utils.reached_preemption_sync_point(next(calls))
