"""Where arrays live: the mesh, shardings by rules on paths, and the hosts.

One program runs on every device (jit with named shardings). A batch is split
over all devices. Trees are replicated, but with an `fsdp` axis large leaves are
stored in slices and gathered where they are used. Every host runs the same
script and makes its own rows of each batch; the first host writes the files.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
import contextlib
import functools
import io
import itertools
import logging
import os
import re
import threading
import time
from typing import Any

import jax
from jax.experimental import mesh_utils
from jax.experimental import multihost_utils
import numpy as np

from adapters_jax import errors

_log = logging.getLogger(__name__)

P = jax.sharding.PartitionSpec

_WAIT_LINE = 10.0  # Seconds between messages while hosts are joining.

# Both axes split the batch; 'fsdp' slices the large leaves as well.
AXES = ('data', 'fsdp')

# Last axes of leaves whose path matches, first match first; other leaves are
# whole. Gathering small adapters and heads would cost more than it saves. Rows
# are read from embeddings: slices would move hidden states between devices.
RULES = (
    (r'(^|/)(adapter\w*|head)/', ()),
    (r'/kernel$', ('fsdp', None)),
)


def start_hosts(
    coordinator: str, processes: int, process: int, seconds: int = 300
) -> None:
  """Joins the hosts of a run. Call it before JAX is asked for its devices.

  Args:
    coordinator: '' for one process, 'auto' where JAX detects the cluster (Cloud
      TPU, SLURM, Open MPI, Kubernetes), else host:port of the first process.
    processes: Number of processes.
    process: Index of this process, from 0.
    seconds: Most seconds to wait for the other processes; then this one ends,
      with status 2.

  Raises:
    errors.UserError: the flags contradict each other or 'auto' finds nothing.
  """
  if not coordinator:
    if processes or process >= 0:
      raise errors.UserError(
          '`processes` and `process` go with `coordinator=host:port`')
    return
  if coordinator == 'auto':
    try:
      with _waiting(seconds, 'the other processes of the cluster'):
        jax.distributed.initialize(initialization_timeout=2 * seconds)
    except ValueError as error:
      raise errors.UserError(
          f'`coordinator=auto`: found no cluster here ({error}); give '
          '`coordinator=host:port`, `processes` and `process`') from error
    return
  if not re.fullmatch(r'.+:\d+', coordinator):
    raise errors.UserError(
        f"`coordinator={coordinator}`: give host:port, or 'auto'")
  if not 0 <= process < processes:
    raise errors.UserError(
        f'`process={process}` `processes={processes}`: number the processes '
        'from 0 and say how many there are')
  others = ('all other processes' if process == 0 else
            f'process 0 at {coordinator}')
  with _waiting(seconds, f'{others}, as number {process} of {processes}'):
    jax.distributed.initialize(
        coordinator, processes, process, initialization_timeout=2 * seconds)


@contextlib.contextmanager
def _waiting(seconds: int, others: str) -> Iterator[None]:
  """Logs the time of a wait; ends the process when it takes too long."""
  over = threading.Event()

  def watch():
    start = time.monotonic()
    while not over.wait(min(_WAIT_LINE, seconds)):
      passed = time.monotonic() - start
      if passed >= seconds:
        _log.error(
            '`coordinator`: waited %d s for %s; start every process with the '
            'same `coordinator` and `processes` and its own `process`, or '
            'wait longer with `join_seconds`', passed, others)
        # JAX would abort at its own limit: its client raises no error.
        os._exit(2)
      _log.info('waiting for %s: %d s', others, passed)

  thread = threading.Thread(target=watch, daemon=True)
  thread.start()
  try:
    yield
  finally:
    over.set()
    thread.join()


def first_host() -> bool:
  """Returns whether this process writes the files and talks to the user."""
  return jax.process_index() == 0


def hosts() -> int:
  """Returns the number of processes of this run."""
  return jax.process_count()


def agreed(choice: bool) -> bool:
  """Returns the first host's choice; every host must make the call."""
  if hosts() == 1:
    return choice
  return bool(multihost_utils.broadcast_one_to_all(np.asarray(choice)))


def wait_for_all(name: str) -> None:
  """Waits until every host has made the call of this name."""
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices(name)


@contextlib.contextmanager
def on_first_host(
    resource: contextlib.AbstractContextManager[Any],
) -> Iterator[None]:
  """Holds a resource on the first host; the others wait, and print nothing.

  Raises:
    errors.UserError: the first host cannot have it.
  """
  wait_for_all('before the first host')
  with contextlib.ExitStack() as stack:
    problem = None
    try:
      if first_host():
        stack.enter_context(resource)
    except errors.UserError as error:
      problem = error
    if not agreed(problem is None):  # Every host must end.
      raise problem or errors.UserError('the first process could not start')
    if not first_host():
      stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
    yield


def stopped_together() -> Callable[[], bool]:
  """Returns asked(): whether to stop now, at the same call on every host.

  Any host's SIGTERM stops all. Every host must call it once a step.
  """
  calls = itertools.count()  # The number of the call is JAX's sync point.
  return lambda: multihost_utils.reached_preemption_sync_point(next(calls))


def parse_mesh(text: str, devices: int) -> dict[str, int]:
  """Returns {axis: size} of 'data:4,fsdp:2'.

  Args:
    text: Axes of AXES with sizes; one axis without a size takes the rest.
    devices: Number of devices.

  Raises:
    errors.UserError: another form, or another number of devices.
  """
  sizes = {}
  for part in text.split(','):
    name, colon, size = part.strip().partition(':')
    if (name not in AXES or name in sizes
        or (colon and not (size.isdecimal() and int(size)))):
      raise errors.UserError(
          f"`mesh={text}`: not of the form 'data', 'data:8' or "
          "'data:4,fsdp:2'")
    sizes[name] = int(size) if colon else 0
  open_axes = [name for name, size in sizes.items() if not size]
  taken = int(np.prod([size for size in sizes.values() if size]))
  if len(open_axes) == 1 and devices % taken == 0:
    sizes[open_axes[0]] = devices // taken
  elif open_axes or taken != devices:
    raise errors.UserError(
        f'`mesh={text}`: does not fit {devices} device'
        f'{"s" * (devices != 1)}; the sizes must multiply to that number, and '
        'one axis may go without a size')
  return sizes


def make_mesh(
    text: str, batch_size: int, devices: Any = None, *, accumulate: int = 1
) -> jax.sharding.Mesh:
  """Returns the mesh of all devices.

  Args:
    text: Axes and sizes, as for `parse_mesh`.
    batch_size: Number of examples of a batch, over all devices.
    devices: Devices to use; those of all hosts when None.
    accumulate: Number of parts that a batch is computed in.

  Raises:
    errors.UserError: the mesh does not fit the devices or the batch.
  """
  devices = list(jax.devices() if devices is None else devices)
  sizes = parse_mesh(text, len(devices))
  if batch_size % (len(devices) * accumulate):
    parts = f' in {accumulate} parts (`accumulate`)' if accumulate > 1 else ''
    raise errors.UserError(
        f'`mesh={text}`: a batch of {batch_size} (`batch_size`){parts} does '
        f'not split over {len(devices)} devices; give a multiple of '
        f'{len(devices) * accumulate}')
  return jax.sharding.Mesh(
      mesh_utils.create_device_mesh(tuple(sizes.values()), devices),
      tuple(sizes))


def mesh_line(mesh: jax.sharding.Mesh) -> str:
  """Returns e.g. 'mesh data:4,fsdp:2 over 2 processes'."""
  axes = ','.join(f'{name}:{size}' for name, size in mesh.shape.items())
  hosts = jax.process_count()
  return f'mesh {axes}' + (f' over {hosts} processes' if hosts > 1 else '')


def spec_of(
    path: str, shape: tuple[int, ...], axes: Mapping[str, int]
) -> jax.sharding.PartitionSpec:
  """Returns the partition of a leaf by RULES.

  The leaf is whole along an axis that the mesh lacks or cannot divide evenly.

  Args:
    path: Path of the leaf; those of an optimizer state end like a parameter's.
    shape: Shape of the leaf.
    axes: {axis: size} of the mesh.
  """
  rule = next((rule for pattern, rule in RULES if re.search(pattern, path)), ())
  # Stacked leaves have axes in front of those of their rule.
  names = (None,) * (len(shape) - len(rule)) + rule
  return P(*(
      name if name in axes and size % axes[name] == 0 else None
      for name, size in zip(names, shape, strict=True)))


def shardings(mesh: jax.sharding.Mesh, tree: Any) -> Any:
  """Returns the sharding of every leaf of a tree of arrays or shapes."""

  def of(keys, leaf):
    path = jax.tree_util.keystr(keys, simple=True, separator='/')
    return jax.sharding.NamedSharding(
        mesh, spec_of(path, leaf.shape, mesh.shape))

  return jax.tree_util.tree_map_with_path(of, tree)


def replicated(mesh: jax.sharding.Mesh) -> jax.sharding.NamedSharding:
  """Returns the sharding of arrays that every device holds whole."""
  return jax.sharding.NamedSharding(mesh, P())


def of_batch(mesh: jax.sharding.Mesh) -> jax.sharding.NamedSharding:
  """Returns the sharding of arrays [batch, ...]: over all devices."""
  return jax.sharding.NamedSharding(mesh, P(mesh.axis_names))  # All on axis 0.


@functools.lru_cache
def local_rows(mesh: jax.sharding.Mesh, batch_size: int) -> tuple[int, ...]:
  """Returns the rows of a batch that this host's devices hold, ascending.

  Args:
    mesh: Devices.
    batch_size: Number of rows over all hosts.
  """
  indices = of_batch(mesh).addressable_devices_indices_map((batch_size,))
  rows = np.arange(batch_size)
  return tuple(
      sorted({int(row) for i, in indices.values() for row in rows[i]}))


def place(mesh: jax.sharding.Mesh, tree: Any) -> Any:
  """Returns a tree, given whole on every host, on the devices by RULES."""

  def put(leaf, sharding):
    leaf = np.asarray(leaf)
    return jax.make_array_from_callback(
        leaf.shape, sharding, lambda index: leaf[index])

  return jax.tree.map(put, tree, shardings(mesh, tree))


def place_batch(
    mesh: jax.sharding.Mesh, batch: Mapping[str, np.ndarray], batch_size: int
) -> dict[str, jax.Array]:
  """Returns the arrays of all hosts' rows together.

  Args:
    mesh: Devices.
    batch: Arrays [rows, ...] of this host's rows, those of `local_rows`.
    batch_size: Number of rows over all hosts.

  Returns:
    Arrays [batch_size, ...], each device holding its share.
  """
  here = np.array(local_rows(mesh, batch_size))

  def put(local):
    def shard(index):
      wanted = np.arange(batch_size)[index[0]]  # `here` is sorted.
      return local[np.searchsorted(here, wanted)]

    return jax.make_array_from_callback(
        (batch_size, *local.shape[1:]), of_batch(mesh), shard)

  return {name: put(np.asarray(local)) for name, local in batch.items()}


def place_group(
    mesh: jax.sharding.Mesh, batches: Sequence[Mapping[str, np.ndarray]]
) -> dict[str, jax.Array]:
  """Returns the batches of a group of runs as arrays [runs, batch, ...].

  Every device holds its share of each run's batch. For one process.

  Args:
    mesh: Devices.
    batches: Arrays [batch, ...] for each run.
  """
  shards = jax.sharding.NamedSharding(mesh, P(None, mesh.axis_names))
  return {
      name: jax.device_put(np.stack([b[name] for b in batches]), shards)
      for name in batches[0]}


def create(
    mesh: jax.sharding.Mesh, make: Callable[..., Any], *args: Any
) -> Any:
  """Returns make(*args), with each leaf created on its devices by RULES.

  Args:
    mesh: Devices.
    make: Function that returns a tree of arrays.
    *args: Arguments of `make`.
  """
  shapes = jax.eval_shape(make, *args)
  return jax.jit(make, out_shardings=shardings(mesh, shapes))(*args)


def gather(mesh: jax.sharding.Mesh, tree: Any) -> Any:
  """Returns a tree as whole numpy arrays; every host must make the call."""
  whole = jax.jit(lambda tree: tree, out_shardings=replicated(mesh))(tree)
  return jax.device_get(whole)
