"""Memory that the C allocator of Linux keeps, in huge pages. No JAX here.

XLA takes the memory of each execution anew, some hundred megabytes a training
step on a CPU, and gives it back. By default glibc hands such pieces to the
kernel, which maps and clears them page by page at the next step. Told to keep
what it has, and to ask for pages of 2 MiB where the kernel grants them
(`madvise`), a step takes a tenth less time than with such pages alone. glibc
reads these settings when a process starts.
"""

import os
import sys

VARIABLE = 'GLIBC_TUNABLES'
_ALL = str(1 << 40)  # Bytes, more than there are: always keep, never map apart.
SETTINGS = ':'.join((
    'glibc.malloc.hugetlb=1', f'glibc.malloc.mmap_threshold={_ALL}',
    f'glibc.malloc.trim_threshold={_ALL}',
    # Other arenas than the main one cannot grow and so map large pieces apart.
    'glibc.malloc.arena_max=1'))


def wanted(environment: dict[str, str]) -> bool:
  """Returns whether starting anew would give this process the settings.

  Args:
    environment: Its variables; who has set the one for glibc decides alone.
  """
  if VARIABLE in environment:
    return False
  try:
    return os.confstr('CS_GNU_LIBC_VERSION') is not None
  except (AttributeError, OSError, ValueError):
    return False  # Another C library.


def start_anew() -> None:
  """Starts this Python process anew with the settings, if that gives any.

  To be called before anything has happened. The process keeps its number.
  """
  if wanted(dict(os.environ)):
    os.environ[VARIABLE] = SETTINGS
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
