"""Everything that a compiled program depends on, as keys of its file."""

import contextlib
import functools
import hashlib
import importlib.metadata
import os
import platform
from typing import Any

import jax
import psutil

from adapters_jax.downloads import file_hash
from adapters_jax.training import threads

_VERSION = 1  # Counts changes of the programs' files.
# Parts of the names of JAX's settings that no trace depends on.
_IRRELEVANT = ('cache', 'log', 'dump', 'traceback', 'profiler', 'explain')


def hash_of(*parts: str) -> str:
  """Returns a hash of texts."""
  return hashlib.sha256(repr((_VERSION, *parts)).encode()).hexdigest()[:40]


@functools.cache
def sources() -> str | None:
  """Returns a hash of this package's sources.

  None if a file has changed since this process started, as the process may have
  imported the old one.
  """
  root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
  started = psutil.Process().create_time()
  found = hashlib.sha256()
  for path in file_hash.files_below(root):
    if path.endswith('.py'):
      if os.path.getmtime(path) > started:
        return None
      with open(path, 'rb') as file:
        content = file.read()
      found.update(repr((os.path.relpath(path, root), len(content))).encode())
      found.update(content)
  return found.hexdigest()


def surroundings(device: Any) -> tuple[str, str]:
  """Returns what a compilation depends on, apart from the program.

  Args:
    device: Device of the program.

  Returns:
    (versions, flags and processor, settings of JAX and of the thread).
  """
  settings = sorted(
      (name, str(getattr(jax.config, name, None)))
      for name in jax.config.values
      if not any(part in name for part in _IRRELEVANT))
  return _environment(device), repr(settings)


@functools.cache
def _environment(device: Any) -> str:
  versions = [f'{name} {importlib.metadata.version(name)}'
              for name in ('jax', 'jaxlib', 'flax', 'optax', 'numpy')]
  flags = [os.environ.get(name, '') for name in (
      'XLA_FLAGS', 'LIBTPU_INIT_ARGS')]
  processor = [platform.machine()]
  if device.platform == 'cpu':
    with contextlib.suppress(OSError), open('/proc/cpuinfo') as file:
      processor += sorted({line for line in file if line.startswith(
          ('model name', 'flags', 'Features'))})
    # XLA divides loops among the cores when it compiles.
    processor.append(f'{threads.cores()} cores, {threads.in_use()} threads')
  return repr((
      platform.python_version(), versions, flags, processor, device.platform,
      device.device_kind, device.id, device.client.platform_version))
