"""Launcher of a sweep's units on a Ray cluster (extra 'sweep').

Every machine needs this package, and the same files under the same paths:
workdirs, own data, checkpoint folders. A unit whose worker dies is restarted
and continues from its last save.
"""

from collections.abc import Callable, Iterator, Sequence
import contextlib
import functools
import logging
import math
import os
import socket
from typing import Any

from adapters_jax import errors
from adapters_jax.runs import extras
from adapters_jax.training import threads

# Prefixes of the environment variables that workers get from this process. One
# of them, XLA_PYTHON_CLIENT_MEM_FRACTION, lets several workers share a GPU.
_PASSED_ON = ('ADAPTERS_JAX_CACHE', 'JAX_PLATFORMS', 'XLA_', 'HF_HOME',
              'HF_HUB_', 'GLIBC_TUNABLES')

_SECONDS_TO_ANSWER = 5.0


def share(
    machines: Sequence[dict[str, float]], *, workers: int = 0,
    cpus_per_worker: int = 0, gpus_per_worker: int = -1,
) -> tuple[int, int, int]:
  """Divides a cluster among workers: (workers, cores of each, GPUs of each).

  Args:
    machines: Resources of each machine, as Ray counts them.
    workers: Number of units at a time; 0 for one a GPU, or one a machine.
    cpus_per_worker: Cores; 0 for an equal share of a machine's.
    gpus_per_worker: GPUs; -1 for 1 if the cluster has any, else 0.

  Raises:
    errors.UserError: no machine is large enough for a worker.
  """
  all_gpus = int(sum(m.get('GPU', 0) for m in machines))
  gpus = gpus_per_worker
  if gpus < 0:
    gpus = 1 if all_gpus else 0
  able = _demand('gpus_per_worker', 'GPU', gpus, machines)
  # A head started with --num-cpus=0 runs no worker.
  able = _demand('cpus_per_worker', 'CPU', max(1, cpus_per_worker), able)
  slots = [int(m['GPU']) // gpus for m in able] if gpus else []
  workers = workers or sum(slots) or len(able)
  cores = cpus_per_worker
  if not cores and gpus:
    cores = _cores_beside_gpus(able, slots, workers)
  elif not cores:
    # The smallest machine too must have room for its share of the workers.
    a_machine = math.ceil(workers / len(able))
    cores = max(1, int(min(m['CPU'] for m in able)) // a_machine)
  return workers, cores, gpus


def _demand(
    field: str, name: str, wanted: int, machines: Sequence[dict[str, float]]
) -> list[dict[str, float]]:
  """Returns the machines that have enough of a resource for one worker.

  Raises:
    errors.UserError: there is none.
  """
  able = [m for m in machines if m.get(name, 0) >= wanted]
  if not able:
    most = int(max(m.get(name, 0) for m in machines))
    raise errors.UserError(
        f'`{field}={wanted}`: no suitable machine of the cluster has more '
        f'than {most}')
  return able


def _cores_beside_gpus(
    machines: Sequence[dict[str, float]], slots: Sequence[int], workers: int
) -> int:
  """Returns the most cores per worker with which all workers find a place.

  Args:
    machines: Resources of the machines with enough GPUs.
    slots: Number of workers for which each machine has GPUs.
    workers: Number of units at a time.
  """
  wanted = min(workers, sum(slots))

  def places(cores):
    return sum(min(slot, int(m['CPU']) // cores)
               for m, slot in zip(machines, slots, strict=True))

  most = int(max(m['CPU'] for m in machines))
  return next((cores for cores in range(most, 0, -1)
               if places(cores) >= wanted), 1)


@contextlib.contextmanager
def started(
    *, address: str = '', retries: int = 3, **resources: int
) -> Iterator[tuple[Callable[..., Iterator[tuple[int, Any]]], int]]:
  """Joins or starts a cluster; yields (launch, number of units at a time).

  Args:
    address: 'auto' or host:port; a local cluster is started when ''.
    retries: Restarts of a unit whose worker dies.
    **resources: Arguments of `share`.

  Raises:
    errors.UserError: Ray is not installed, or the cluster does not answer.
  """
  with errors.within('`launcher=ray`'):
    extras.demand('sweep', 'ray')
  import ray
  try:
    if ':' in address:  # Ray itself retries for minutes, and then exits.
      host, _, port = address.rpartition(':')
      socket.create_connection((host, int(port)), _SECONDS_TO_ANSWER).close()
    # No usage reports from a local cluster, unless its user wants them.
    os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')
    ray.init(address=address or 'local', logging_level='warning')
  except OSError as error:
    raise errors.UserError(
        f'`address={address}`: cannot join a Ray cluster there ({error}); '
        "start one with 'ray start --head', set RAY_AUTH_MODE=token if it asks "
        'for a token, or leave `address` empty') from error
  try:
    machines = [node['Resources'] for node in ray.nodes() if node['Alive']]
    workers, cores, gpus = share(machines, **resources)
    environment = {name: value for name, value in os.environ.items()
                   if name.startswith(_PASSED_ON)}
    # XLA would start a thread for each core of the machine.
    environment |= dict.fromkeys(
        threads.VARIABLES, os.environ.get(threads.VARIABLES[0], str(cores)))
    task_options = dict(
        num_cpus=cores, num_gpus=gpus, max_retries=retries,
        runtime_env={'env_vars': environment})
    yield functools.partial(_launch, ray, task_options, workers), workers
  finally:
    ray.shutdown()


def _call(
    function: Callable[..., Any], shown: bool, label: str, *arguments: Any
) -> Any:
  """Calls a function in a worker, which prints messages if its driver does."""
  if shown:
    from adapters_jax.runs import console
    console.show(prefix=f'{label}: ' if label else '')
  return function(*arguments)


def _launch(
    ray: Any, task_options: dict[str, Any], workers: int,
    function: Callable[..., Any], calls: Sequence[tuple[Any, ...]],
    labels: Sequence[str],
) -> Iterator[tuple[int, Any]]:
  """An `engine.Launch` of at most `workers` calls at a time."""
  # Retry after Interrupted: a signal stopped a worker, and another one resumes.
  remote = ray.remote(_call).options(
      **task_options, retry_exceptions=[errors.Interrupted])
  shown = logging.getLogger('adapters_jax').isEnabledFor(logging.INFO)
  waiting, running = list(enumerate(calls)), {}
  while waiting or running:
    while waiting and len(running) < workers:
      number, arguments = waiting.pop(0)
      running[remote.remote(
          function, shown, labels[number], *arguments)] = number
    for done in ray.wait(list(running))[0]:
      number = running.pop(done)
      try:
        yield number, ray.get(done)
      except ray.exceptions.RayError as error:  # One unit; others continue.
        cause = getattr(error, 'cause', None) or error
        if isinstance(cause, errors.SweepError):
          raise cause from error
        yield number, errors.first_line(cause)
