"""Where arrays live: the mesh, and shardings by rules on paths.

One program runs on every device (jit with named shardings). A batch is split
over all devices. Trees are replicated, but with an `fsdp` axis large leaves are
stored in slices and gathered where they are used. Every host makes its own rows
of each batch.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
import contextlib
import functools
import re
from typing import Any

import jax
from jax.experimental import mesh_utils
import numpy as np

from adapters_jax import errors
from adapters_jax.model import precision

P = jax.sharding.PartitionSpec

# Both axes split the batch; 'fsdp' slices the large leaves as well.
AXES = ('data', 'fsdp')

# (pattern of paths, partition of the last axes); the first match counts, and
# other leaves are whole. Gathering small adapters and heads would cost more
# than it saves. Embeddings are whole, as steps read single rows of them: slices
# would move hidden states between devices.
RULES = (
    (r'(^|/)(adapter\w*|head|head_first|head_norm)/', ()),
    (r'/kernel$', ('fsdp', None)),
)


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


def one_device() -> jax.sharding.Mesh:
  """Returns the mesh of this host's first device, for work of one device."""
  return make_mesh('data', 1, jax.local_devices()[:1])


@contextlib.contextmanager
def without_context_mesh() -> Iterator[None]:
  """Sets the mesh of `jax.set_mesh` aside in the context, for this thread.

  JAX refuses programs on other devices than those of that mesh, and shardings
  of another mesh if its axes are explicit.
  """
  if jax.sharding.get_abstract_mesh().empty:
    yield
    return
  with jax.set_mesh(jax.sharding.Mesh(np.empty((), object), ())):
    yield


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


def of_evaluation(
    mesh: jax.sharding.Mesh, batch_size: int
) -> dict[str, Any]:
  """Returns the arguments of `batching.eval_batches` that depend on devices.

  Args:
    mesh: Devices of the run.
    batch_size: Number of rows of an evaluation's batch, over all hosts.
  """
  return {'local_rows': local_rows(mesh, batch_size),
          'multiple': precision.batching(mesh.devices.flat[0]).beyond}


def distribute(mesh: jax.sharding.Mesh, tree: Any) -> Any:
  """Places a tree, given whole on every host, on the devices by RULES."""

  def put(leaf, sharding):
    leaf = np.asarray(leaf)
    return jax.make_array_from_callback(
        leaf.shape, sharding, lambda index: leaf[index])

  return jax.tree.map(put, tree, shardings(mesh, tree))


def place_batch(
    mesh: jax.sharding.Mesh, batch: Mapping[str, np.ndarray], batch_size: int
) -> dict[str, jax.Array]:
  """Joins the rows of all hosts to global arrays.

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
  if jax.process_count() > 1:  # The slices of other hosts cannot be read here.
    tree = jax.jit(lambda tree: tree, out_shardings=replicated(mesh))(tree)
  return jax.device_get(tree)
