"""Units of a sweep on a Ray cluster (extra 'sweep').

Every machine needs this package installed and must see the same files under the
same paths: workdirs, own data, checkpoint folders. A worker that dies has its
unit started again, which goes on from its last evaluation.
"""

from collections.abc import Callable, Iterator, Sequence
import contextlib
import functools
import math
import os
import socket
from typing import Any

from adapters_jax import errors
from adapters_jax.sweeps import engine

# Settings of this process that its workers take over.
_PASSED_ON = ('ADAPTERS_JAX_CACHE', 'JAX_PLATFORMS', 'HF_HOME',
              'GLIBC_TUNABLES')

_SECONDS_TO_ANSWER = 5.0


def _import_ray() -> Any:
  try:
    import ray
  except ImportError as error:
    raise errors.UserError(
        "--launcher=ray: Ray is not installed; pip install -e '.[sweep]'"
    ) from error
  return ray


def share(
    how: engine.Options, machines: Sequence[dict[str, float]]
) -> tuple[int, int, int]:
  """Returns (workers, cores of each, GPUs of each).

  Args:
    how: The flags; what they leave open is chosen.
    machines: The resources of each, as Ray counts them.

  Raises:
    options.UserError: no machine has what a worker is to have.
  """
  gpus_there = int(sum(m.get('GPU', 0) for m in machines))
  gpus = how.gpus_per_worker
  if gpus < 0:
    gpus = 1 if gpus_there else 0
  workers = how.workers or (
      max(1, gpus_there // gpus) if gpus else len(machines))
  cores = how.cpus_per_worker
  if not cores:
    a_machine = math.ceil(workers / len(machines))
    cores = max(1, int(min(m.get('CPU', 1) for m in machines)) // a_machine)
  for flag, name, wanted in (
      ('cpus_per_worker', 'CPU', cores), ('gpus_per_worker', 'GPU', gpus)):
    most = int(max(m.get(name, 0) for m in machines))
    if wanted > most:
      raise errors.UserError(
          f'--{flag}={wanted}: no machine of the cluster has more than {most}')
  return workers, cores, gpus


@contextlib.contextmanager
def started(how: engine.Options) -> Iterator[tuple[engine.Launch, int]]:
  """Joins or starts a cluster; yields (launch, how many units at a time).

  Raises:
    options.UserError: Ray is not installed, or the cluster not there.
  """
  ray = _import_ray()
  try:
    if ':' in how.address:  # Ray tries for minutes, and then exits.
      host, _, port = how.address.rpartition(':')
      socket.create_connection((host, int(port)), _SECONDS_TO_ANSWER).close()
    # A cluster started here reports to nobody unless its user wants that.
    os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')
    ray.init(address=how.address or 'local', logging_level='warning')
  except OSError as error:
    raise errors.UserError(
        f'--address={how.address}: cannot join a Ray cluster there ({error}); '
        "start one with 'ray start --head', set RAY_AUTH_MODE=token if it asks "
        'for a token, or leave the flag out') from error
  try:
    machines = [node['Resources'] for node in ray.nodes() if node['Alive']]
    workers, cores, gpus = share(how, machines)
    environment = {name: os.environ[name] for name in _PASSED_ON
                   if name in os.environ}
    # XLA makes a thread for each core that it sees, and reads this instead.
    environment['NPROC'] = str(cores)
    task_options = dict(
        num_cpus=cores, num_gpus=gpus, max_retries=how.retries,
        runtime_env={'env_vars': environment})
    yield functools.partial(_launch, ray, task_options, workers), workers
  finally:
    ray.shutdown()


def _launch(
    ray: Any, task_options: dict[str, Any], workers: int,
    function: Callable[..., Any], calls: Sequence[tuple[Any, ...]],
) -> Iterator[tuple[int, Any]]:
  """A sweeps.Launch with at most so many calls at a time."""
  from adapters_jax.training import loop
  remote = ray.remote(function).options(
      **task_options, retry_exceptions=[loop.Interrupted])
  waiting, running = list(enumerate(calls)), {}
  while waiting or running:
    while waiting and len(running) < workers:
      number, arguments = waiting.pop(0)
      running[remote.remote(*arguments)] = number
    for done in ray.wait(list(running))[0]:
      number = running.pop(done)
      try:
        yield number, ray.get(done)
      except ray.exceptions.RayError as error:  # Of this unit; others go on.
        cause = getattr(error, 'cause', None) or error
        yield number, f'{type(cause).__name__}: {str(cause).splitlines()[0]}'
