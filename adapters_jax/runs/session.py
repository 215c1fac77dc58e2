"""Process-wide state of a run: compile cache, precision, signals."""

from collections.abc import Iterator
import contextlib
import functools
import logging
import os
import warnings

import jax

from adapters_jax.downloads import evict
from adapters_jax.downloads import pinned
from adapters_jax.model import precision
from adapters_jax.model import pretrained
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import signals
from adapters_jax.training import hosts
from adapters_jax.training import programs
from adapters_jax.training import sharding

_log = logging.getLogger(__name__)

_MOST_BYTES = 2**30  # Of JAX's compile cache, if the user sets no bound.


def enable_compilation_cache() -> None:
  """Keeps compiled programs in the cache folder, for the next start."""
  folder = os.path.join(pinned.cache_dir(), 'compiled')
  if not _is_usable(folder):
    return
  if not _is_writable(folder):  # JAX would warn for each program.
    warnings.filterwarnings(
        'ignore', 'Error writing persistent compilation cache entry')
  jax.config.update('jax_compilation_cache_dir', folder)
  # JAX's default, 1 s, would leave out small programs.
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.2)
  # If the user sets a bound, JAX evicts by itself.
  if (os.path.isdir(folder)
      and jax.config.values['jax_compilation_cache_max_size'] < 0):
    evict.least_recent(folder, _MOST_BYTES)
  programs.keep_in(os.path.join(pinned.cache_dir(), 'programs'))


@functools.cache  # One warning.
def _is_usable(folder: str) -> bool:
  """Returns whether a folder can be read; makes it, and warns if it cannot."""
  try:
    os.makedirs(folder, exist_ok=True)
    os.listdir(folder)
  except OSError as error:
    _log.warning(
        '%s: %s; nothing compiled is kept for the next start; set '
        'ADAPTERS_JAX_CACHE to another folder', folder, error.strerror)
    return False
  return True


@functools.cache  # One warning.
def _is_writable(folder: str) -> bool:
  """Returns whether a folder can be written; warns if it cannot."""
  if os.access(folder, os.W_OK):
    return True
  _log.warning(
      '%s cannot be written; nothing that is compiled now is kept for the next '
      'start; set ADAPTERS_JAX_CACHE to another folder', folder)
  return False


@contextlib.contextmanager
def computing(
    config: config_lib.Config, *, keep_programs: bool = True
) -> Iterator[precision.Choices]:
  """Sets the matmul precision of the settings within the context.

  A mesh of `jax.set_mesh` is set aside: a run has its own.

  Args:
    config: Settings.
    keep_programs: Whether to enable the compile cache, for the whole process.

  Yields:
    The choices for this device.
  """
  if keep_programs:
    enable_compilation_cache()
  shape = pretrained.config_of(config.checkpoint)
  chosen = precision.choose(config.precision, shape.head_dim)
  with (jax.default_matmul_precision(chosen.matmul),
        sharding.without_context_mesh()):
    yield chosen


@contextlib.contextmanager
def stop_requests() -> Iterator[signals.Stop]:
  """Yields the requests to stop by SIGTERM or Ctrl-C in the context.

  On several hosts any host's request stops all of them at the same step.
  """
  if jax.process_count() > 1:
    with signals.interrupts_as_terminations():
      yield signals.Stop(hosts.stopped_together())
    return
  with signals.requests() as stop:
    yield stop
