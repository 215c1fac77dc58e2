"""Ends commands with one line and a status for each error, not a traceback."""

from collections.abc import Callable, Iterator
import contextlib
import io
import os
import sys
import threading
from typing import NoReturn

from absl import flags

from adapters_jax import errors
from adapters_jax.downloads import disk
from adapters_jax.runs import signals

# Seconds for other hosts to reach the end that all have agreed on.
_OTHERS = 5.0
_SHOWN = 160  # Characters of JAX's error.


def fail(message: object) -> NoReturn:
  """Prints a message of one line, and exits with status 2.

  One of several hosts ends at once if the others do not end with it: they wait
  for its part of a computation, while JAX's shutdown would wait for them.

  Args:
    message: Message for the user, or an error.
  """
  print(f'error: {message}', file=sys.stderr, flush=True)
  if _several_hosts():
    from jax import distributed
    leaving = threading.Thread(target=distributed.shutdown, daemon=True)
    leaving.start()
    leaving.join(_OTHERS)
    _end_now()
  raise SystemExit(2)


def _several_hosts() -> bool:
  """Returns whether this process has joined others. Imports no JAX."""
  jax = sys.modules.get('jax')
  return bool(jax) and jax.distributed.is_initialized() and (
      jax.process_count() > 1)


def _is_of_others(error: Exception) -> bool:
  """Returns whether JAX raised an error on one of several hosts."""
  return _several_hosts() and isinstance(
      error, sys.modules['jax'].errors.JaxRuntimeError)


def _end_now() -> NoReturn:
  """Ends this process with status 2, without the shutdown of JAX."""
  for stream in (sys.stdout, sys.stderr):
    with contextlib.suppress(AttributeError, OSError, ValueError):
      stream.flush()
  os._exit(2)


def leave(stopped: BaseException) -> NoReturn:
  """Ends the process after a signal, together with other hosts.

  Args:
    stopped: The interruption.
  """
  # Python's shutdown waits for compilations, and may crash in one that the
  # signal interrupted. Several hosts need it, as they disconnect during it.
  if not getattr(flags.FLAGS, 'coordinator', ''):
    signals.end_process()
  raise SystemExit(signals.STATUS) from stopped


@contextlib.contextmanager
def reported(as_text: Callable[[Exception], str] = str) -> Iterator[None]:
  """Exits for errors of the context that are not bugs of the program.

  The status is 2 for a UserError or a file that cannot be read or written, 1 if
  the reader of the output has gone, and 130 after a signal.

  Args:
    as_text: Rewrites the message of a UserError.
  """
  _open_streams()
  try:
    with _flushed():
      yield
  except errors.UserError as error:
    fail(as_text(error))
  except BrokenPipeError as error:  # As of `... | head`.
    raise SystemExit(1) from error
  except OSError as error:
    found = disk.user_error(error) or _of_output(error)
    if found is None:
      raise
    fail(as_text(found))
  except (errors.Interrupted, KeyboardInterrupt) as error:
    print('stopped', file=sys.stderr)
    leave(error)
  except Exception as error:
    if _is_of_others(error):
      print(f'error: {errors.first_line(error)[:_SHOWN]}; this or another '
            'process has failed, see the output of all; the same command with '
            '--resume continues', file=sys.stderr)
      _end_now()  # JAX may abort the process if the first host has ended.
    raise
  finally:
    _drop_unwritten()


@contextlib.contextmanager
def _flushed() -> Iterator[None]:
  """Flushes standard output at the end of a context without an error."""
  # Python's shutdown would print an error of the flush, but not act on it.
  try:
    yield
  except SystemExit as end:
    if not end.code:
      sys.stdout.flush()
    raise
  sys.stdout.flush()


def _open_streams() -> None:
  """Makes standard output and error usable, even if they were closed."""
  # A closed stream is None, and the next open file would get its descriptor.
  for number in range(3):
    try:
      os.fstat(number)
    except OSError:
      os.open(os.devnull, os.O_RDWR)
  for name in ('stdout', 'stderr'):
    if getattr(sys, name) is None:
      setattr(sys, name, open(os.devnull, 'w', encoding='utf-8'))
  # UTF-8 like the input; no text may abort the output half way.
  if isinstance(sys.stdout, io.TextIOWrapper):
    sys.stdout.reconfigure(encoding='utf-8', errors='backslashreplace')


def _of_output(error: OSError) -> errors.UserError | None:
  """Returns the UserError for an error that names no file, None for others."""
  full = error.errno in disk.FULL
  text = (error.strerror or str(error)) + '; make room on the disk' * full
  if _is_writable():
    return errors.UserError(text) if full else None
  return errors.UserError(f'standard output: {text}')


def _is_writable() -> bool:
  """Returns whether standard output takes what was printed."""
  try:
    sys.stdout.flush()
  except (OSError, ValueError):  # ValueError: closed.
    return False
  return True


def _drop_unwritten() -> None:
  """Drops output that cannot be written, so that shutdown does not try to."""
  if not _is_writable():
    with contextlib.suppress(OSError, ValueError):
      os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
