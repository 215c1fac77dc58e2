"""Huge pages for the C allocator of Linux. No JAX here.

XLA takes the memory of each execution anew, some hundred megabytes a training
step on a CPU, and the kernel maps and clears it page by page: with pages of
2 MiB instead of 4 KiB a step takes a tenth less time. Many systems grant huge
pages to who asks (`madvise`), and glibc asks if a variable says so when the
process starts.
"""

import os
import sys

_ENABLED = '/sys/kernel/mm/transparent_hugepage/enabled'
_VARIABLE = 'GLIBC_TUNABLES'


def wanted(environment: dict[str, str], enabled: str = _ENABLED) -> bool:
  """Returns whether starting anew would give this process huge pages.

  Args:
    environment: Its variables; who has set the one for glibc decides alone.
    enabled: File in which the kernel says who gets huge pages.
  """
  if _VARIABLE in environment:
    return False
  try:
    with open(enabled, encoding='ascii') as file:
      return '[madvise]' in file.read()
  except OSError:
    return False  # Not Linux, or a kernel without them.


def start_anew() -> None:
  """Starts this Python process anew with huge pages, if that gives any.

  To be called before anything has happened. The process keeps its number.
  """
  if wanted(dict(os.environ)):
    os.environ[_VARIABLE] = 'glibc.malloc.hugetlb=1'
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
