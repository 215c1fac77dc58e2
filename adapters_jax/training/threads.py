"""Fixes the number of threads of XLA's matrix products on a CPU. No JAX here.

XLA starts one thread per core of the process, and products on one thread round
in another order than on several. With the variables below the number is fixed,
so that runs have equal bits on any number of cores.
"""

import os

from adapters_jax import errors

# jaxlib prefers the first one; older versions know only NPROC.
VARIABLES = ('PJRT_NPROC', 'NPROC')


def cores() -> int:
  """Returns the number of cores that this process may use."""
  if hasattr(os, 'sched_getaffinity'):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def use(number: int) -> None:
  """Fixes the number of threads; call it before JAX looks for its devices.

  Args:
    number: Threads; 0 for one a core, or for that of the environment.
  """
  if number:
    for name in VARIABLES:
      os.environ[name] = str(number)


def in_use() -> int:
  """Returns the number of threads from the environment, else the cores."""
  for name in VARIABLES:
    value = os.environ.get(name, '').strip()
    if value.isdecimal() and int(value):
      return int(value)
  return cores()


def demand_number(wanted: int) -> None:
  """Raises UserError if JAX has or will have another number of threads.

  Args:
    wanted: Threads; 0 for any number.
  """
  if wanted not in (0, in_use()):
    raise errors.UserError(
        f'`threads={wanted}`: JAX reads the number when it starts, and it is '
        f'{in_use()}; leave `threads` out, and set the environment variable '
        f'{VARIABLES[0]}={wanted} before')
