"""Makes glibc keep freed memory, in huge pages. No JAX here.

XLA allocates the memory of each execution, some hundred megabytes per training
step on a CPU, and frees it. By default glibc returns such blocks to the kernel,
which maps and clears them page by page at the next step. With the settings
below glibc keeps freed memory, and asks for pages of 2 MiB where the kernel
grants them (`madvise`). Keeping the memory saves a tenth of the step time over
huge pages alone. glibc reads the settings only when a process starts.

Blocks of other sizes may not fit the kept ones, so a training at several
lengths keeps more and more. `release_excess` bounds it.
"""

import contextlib
import ctypes
import functools
import gc
import os
import sys

import psutil

VARIABLE = 'GLIBC_TUNABLES'
_ALL = str(1 << 40)  # Bytes; no request is larger, so all memory is kept.
_FEW = 1 << 30  # Bytes that may be kept in any case.
SETTINGS = ':'.join((
    'glibc.malloc.hugetlb=1', f'glibc.malloc.mmap_threshold={_ALL}',
    f'glibc.malloc.trim_threshold={_ALL}',
    # Only the main arena can grow; others map large blocks separately.
    'glibc.malloc.arena_max=1'))


def wanted(environment: dict[str, str]) -> bool:
  """Returns whether a restart would give this process the settings.

  Leaves an existing GLIBC_TUNABLES untouched.

  Args:
    environment: Environment variables of the process.
  """
  if VARIABLE in environment:
    return False
  try:
    return os.confstr('CS_GNU_LIBC_VERSION') is not None
  except (AttributeError, OSError, ValueError):
    return False  # Another C library.


class _MallInfo(ctypes.Structure):
  """glibc's struct mallinfo2."""
  _fields_ = [(name, ctypes.c_size_t) for name in (
      'arena', 'ordblks', 'smblks', 'hblks', 'hblkhd', 'usmblks', 'fsmblks',
      'uordblks', 'fordblks', 'keepcost')]


@functools.cache
def _libc() -> ctypes.CDLL | None:
  """Returns glibc from 2.33 on, or None."""
  with contextlib.suppress(AttributeError, OSError):
    found = ctypes.CDLL('libc.so.6')
    found.mallinfo2.restype = _MallInfo
    return found
  return None


def kept() -> int:
  """Returns the bytes of freed blocks, most of them kept from the kernel."""
  libc = _libc()
  return libc.mallinfo2().fordblks if libc else 0


def release_excess() -> None:
  """Returns freed memory to the kernel if it exceeds all available memory.

  A training of MPNet on texts of up to 256 tokens grew to 19 GB of 24, where
  its largest step takes 7 GB.
  """
  # The first comparison settles it for most models, within microseconds.
  if _FEW < (amount := kept()) and (
      amount > psutil.virtual_memory().available):
    _libc().malloc_trim(0)  # type: ignore[union-attr]


def release() -> None:
  """Returns freed memory to the kernel between two runs of a process.

  The next run asks for blocks of other sizes, which the kept ones may not fit:
  a second full fine-tuning of MPNet grew to 13 GB where the first took 7 GB.
  """
  gc.collect()
  with contextlib.suppress(AttributeError, OSError):  # Another C library.
    ctypes.CDLL('libc.so.6').malloc_trim(0)


def start_anew() -> None:
  """Restarts this Python process with the settings, where they apply.

  Call it before any other work, which the restart would repeat. The process id
  stays the same.
  """
  if wanted(dict(os.environ)):
    os.environ[VARIABLE] = SETTINGS
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
