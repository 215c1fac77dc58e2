"""Facts about the machine and the moment of a run, for its record."""

import contextlib
import datetime
import importlib.metadata
import os
import platform
import sys
from typing import Any

import jax

from adapters_jax.training import threads


def cpu_model() -> str:
  """Returns the processor's name, or its architecture where that is unknown."""
  try:
    with open('/proc/cpuinfo', encoding='utf-8') as file:
      for line in file:
        if line.startswith('model name'):
          return line.partition(':')[2].strip()
  except OSError:
    pass  # Not Linux.
  return platform.processor() or platform.machine()


def describe() -> dict[str, Any]:
  """Returns {'cpu': name, 'threads': number}, and what differs from defaults.

  The latter are 'cores', if their number is not that of XLA's threads, and
  'xla_flags', if any are set.
  """
  found: dict[str, Any] = {'cpu': cpu_model(), 'threads': threads.in_use()}
  if threads.cores() != found['threads']:
    found['cores'] = threads.cores()
  if flags := os.environ.get('XLA_FLAGS'):
    found['xla_flags'] = flags
  return found


def versions() -> dict[str, str]:
  """Returns {package: version} of all that decides a run's numbers."""
  names = ('jax', 'jaxlib', 'flax', 'optax', 'numpy', 'scipy', 'scikit-learn',
           'tokenizers', 'tensorflow-datasets')
  found = {'python': platform.python_version()}
  for name in names:
    # Own files need no TFDS.
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
      found[name] = importlib.metadata.version(name)
  return found


def peak_bytes() -> dict[str, int]:
  """Returns {'host', 'device'}: peak memory of this process so far, in bytes.

  Earlier runs of the process count too. A CPU has no 'device'.
  """
  found = {}
  try:
    import resource  # Not on Windows.
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found['host'] = most * (1 if sys.platform == 'darwin' else 1024)
  except ImportError:
    pass
  stats = [device.memory_stats() for device in jax.local_devices()]
  peaks = [s['peak_bytes_in_use'] for s in stats
           if s and 'peak_bytes_in_use' in s]
  if peaks:
    found['device'] = max(peaks)
  return found


def now() -> str:
  """Returns the time in UTC, as in '2026-01-31T12:00:00+00:00'."""
  return datetime.datetime.now(datetime.UTC).isoformat(
      timespec='seconds')
