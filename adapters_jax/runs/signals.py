"""Handles requests to stop by SIGTERM or Ctrl-C. No JAX here.

Where no work would be lost, as before the first step or during an evaluation, a
signal ends the process at once. Otherwise the training loop polls for it
between steps, and saves the state first. A thread backs up both: while the main
thread compiles a program, Python runs no handler, and that can take longer than
the grace period of a cluster.
"""

from collections.abc import Callable, Iterator
import contextlib
import os
import signal
import sys
import threading
import time
import types
from typing import Any, NoReturn

from adapters_jax import errors

STATUS = 130  # Exit status of a process that a signal stopped.
# Seconds within which a signal is not a second request: senders may signal a
# process and then its group.
_REPEATED = 1.0
# Seconds from a signal to the forced end of the process. Clusters commonly kill
# 30 seconds after SIGTERM.
_SAVED = 2.0  # While compiling, with nothing to save.
_AT_MOST = 20.0
# Functions whose exceptions the interpreter prints and drops: finalizers, and
# JAX's callback of the garbage collector.
_DROPPING = ('__del__', '_xla_gc_callback')


class Stop:
  """Whether to stop, as a function; and whether a stop would lose work.

  Attributes:
    unsaved: Whether steps were taken since the state was saved.
  """

  def __init__(self, asked: Callable[[], bool] = lambda: False):
    self._asked = asked
    self.unsaved = False

  def __call__(self) -> bool:
    """Returns whether the caller is to save its state and stop."""
    return self._asked()

  def demand_none(self) -> None:
    """Raises Interrupted if a stop is asked for: the state is saved."""
    if self():
      raise errors.Interrupted('stopped')


class _AtOnce(KeyboardInterrupt):
  """A signal that ends the work where it stands."""


def _is_dropped(frame: types.FrameType | None) -> bool:
  """Returns whether Python drops an exception raised in a frame."""
  while frame is not None:
    if frame.f_code.co_name in _DROPPING:
      return True
    frame = frame.f_back
  return False


class _Signals(Stop):
  """The requests of this process's signals."""

  def __init__(self) -> None:
    super().__init__()
    self._arrived: float | None = None
    self.handled = self.answered = False

  def __call__(self) -> bool:
    self.answered = self.answered or self._arrived is not None
    return self.answered

  def handle(self, number: int, frame: Any) -> None:
    """Notes a signal; ends the work if nothing is lost, or if asked again."""
    del number
    now = time.monotonic()
    again = self._arrived is not None and now - self._arrived > _REPEATED
    if self._arrived is None:
      self._arrived = now
    self.handled = True
    # Where Python would drop the exception, the thread signals again.
    if (not self.unsaved or again) and not _is_dropped(frame):
      raise _AtOnce


class Interrupt:
  """Whether Ctrl-C was pressed where there is a result to keep.

  Attributes:
    worth: Whether there is one; until then Ctrl-C raises KeyboardInterrupt.
  """

  def __init__(self) -> None:
    self._arrived: float | None = None
    self.worth = False

  def __call__(self) -> bool:
    """Returns whether the caller is to stop and return its result."""
    return self._arrived is not None

  def handle(self, number: int, frame: Any) -> None:
    """Notes a signal; raises KeyboardInterrupt without a result, or again."""
    now = time.monotonic()
    again = self._arrived is not None and now - self._arrived > _REPEATED
    if not self.worth or again:
      signal.default_int_handler(number, frame)
    if self._arrived is None:
      self._arrived = now


def _is_interactive() -> bool:
  """Returns whether this process runs a notebook or a prompt."""
  # Whoever imported IPython may have started no shell.
  shell = getattr(sys.modules.get('IPython'), 'get_ipython', lambda: None)
  return hasattr(sys, 'ps1') or shell() is not None


def end_process() -> NoReturn:
  """Ends the process at once, after its output is written."""
  for stream in (sys.stdout, sys.stderr):
    with contextlib.suppress(AttributeError, OSError, ValueError):
      stream.flush()
  os._exit(STATUS)


@contextlib.contextmanager
def requests() -> Iterator[Stop]:
  """Yields the requests to stop that arrive within the context.

  Outside of the main thread there are none: signals belong to the caller.

  Raises:
    errors.Interrupted: a signal arrived where nothing was to be saved.
  """
  if threading.current_thread() is not threading.main_thread():
    yield Stop()
    return
  stop = _Signals()
  numbers = [signal.SIGTERM]
  # Left ignored if it was, as a script's shell does for jobs with `&`.
  if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
    numbers.append(signal.SIGINT)
  before = {number: signal.signal(number, stop.handle) for number in numbers}
  try:
    with _watched(stop):
      yield stop
  except _AtOnce as error:
    raise errors.Interrupted('stopped') from error
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)


@contextlib.contextmanager
def interrupts() -> Iterator[Interrupt]:
  """Yields whether Ctrl-C was pressed in a notebook or at a prompt.

  Elsewhere, Ctrl-C ends a program, and in a thread or where the caller handles
  it, it is the caller's.

  Raises:
    KeyboardInterrupt: there was nothing to keep, or it was pressed again.
  """
  found = Interrupt()
  if (threading.current_thread() is not threading.main_thread()
      or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
      or not _is_interactive()):
    yield found
    return
  signal.signal(signal.SIGINT, found.handle)
  try:
    yield found
  finally:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def interrupts_as_terminations() -> Iterator[None]:
  """Turns Ctrl-C into SIGTERM within the context; a second one raises.

  Several hosts stop together for JAX's notifier, which knows SIGTERM alone.

  Raises:
    KeyboardInterrupt: the second Ctrl-C.
  """
  if (threading.current_thread() is not threading.main_thread()
      or signal.getsignal(signal.SIGINT) == signal.SIG_IGN):
    yield
    return
  arrived: float | None = None

  def handle(number, frame):
    del number, frame
    nonlocal arrived
    now = time.monotonic()
    if arrived is None:
      arrived = now
      os.kill(os.getpid(), signal.SIGTERM)
    elif now - arrived > _REPEATED:
      raise KeyboardInterrupt

  before = signal.signal(signal.SIGINT, handle)
  # The thread of a context around this one would end the process.
  watched = signal.set_wakeup_fd(-1)
  try:
    yield
  finally:
    signal.set_wakeup_fd(watched, warn_on_full_buffer=False)
    signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _watched(stop: _Signals) -> Iterator[None]:
  """Ends the process if a signal of the context stays unanswered."""
  reading, writing = os.pipe()
  os.set_blocking(writing, False)
  before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
  over = threading.Event()
  watcher = threading.Thread(
      target=_watch, args=(reading, stop, over), daemon=True)
  watcher.start()
  try:
    yield
  finally:
    over.set()
    signal.set_wakeup_fd(before)
    os.close(writing)  # Ends the thread's read.
    watcher.join()
    os.close(reading)


def _watch(reading: int, stop: _Signals, over: threading.Event) -> None:
  """Waits for a signal, then for its answer; ends the process without one."""
  # A notebook's Ctrl-C ends a cell, not the process.
  forced = {signal.SIGTERM, *(
      () if _is_interactive() else (signal.SIGINT,))}
  while data := os.read(reading, 1):  # C code writes the number of the signal.
    if data[0] in forced:
      break
  else:
    return
  start = last = time.monotonic()
  main = threading.main_thread().ident
  assert main is not None  # It has started.
  while not over.wait(0.05) and not stop.answered:
    now = time.monotonic()
    passed = now - start
    if stop.handled and not stop.unsaved and now - last > _SAVED:
      last = now
      # The exception was lost, as in code that catches all of them.
      signal.pthread_kill(main, signal.SIGTERM)
    idle = not stop.unsaved and not stop.handled
    if passed > (_SAVED if idle else _AT_MOST):
      saved = 'nothing was lost' if idle else 'the last saved state remains'
      os.write(2, f'stopped; {saved}\n'.encode())
      os._exit(STATUS)  # The main thread is in C code, and cannot raise.
