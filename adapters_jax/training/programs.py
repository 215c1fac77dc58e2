"""Keeps compiled programs on disk, to call them without a trace.

JAX's compile cache only saves the compilation, as its key is the lowered
program. Tracing and lowering a training step of six layers take a second of
processor time for each batch length. In this module the key is everything that
a trace depends on: the sources of this package, versions, JAX's settings, the
description of the function, and the shapes of its arguments.

  KEY.index       names a program; one for each key
  DIGEST.program  executable, named after the lowered program and the machine

Several keys share a file if their programs lower alike, so that a change of the
sources costs a trace, not a compilation. Unreadable files count as absent. As
with JAX's own cache, only the owner may have write access to the folder: the
files hold machine code.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent import futures
import contextlib
import hashlib
import inspect
import logging
import os
import pickle
import threading
from typing import Any
import zlib

import jax
from jax.experimental import serialize_executable
from jax.experimental.compilation_cache import compilation_cache

from adapters_jax.downloads import atomic
from adapters_jax.downloads import evict
from adapters_jax.training import program_keys

_log = logging.getLogger(__name__)

_PACKAGE = __name__.partition('.')[0]
_MOST_BYTES = 2**30  # Maximum size of the folder.
# Early versions of JAX load a program onto all devices.
_SUPPORTED = 'execution_devices' in inspect.signature(
    serialize_executable.deserialize_and_load).parameters

_folder: str | None = None


def keep_in(folder: str) -> None:
  """Keeps the programs of this process in a folder, from now on."""
  global _folder
  _folder = folder


def kept(
    jitted: Callable[..., Any], described: Any, mesh: jax.sharding.Mesh,
    written: Iterable[Any] = (),
) -> Callable[..., Any]:
  """Returns a function whose programs are read from disk where possible.

  Args:
    jitted: Result of `jax.jit`, without static arguments.
    described: Value whose `repr` describes all that the function closes over.
    mesh: Devices; only the programs of a single CPU are kept, as other devices
      have not been tried. JAX's own cache serves them.
    written: Functions and classes whose code the trace executes. The key only
      covers the sources of this package, so nothing is kept if one is foreign.

  Returns:
    `jitted` itself where no program can be kept.
  """
  text = repr(described)
  foreign = [one for one in written if not _is_ours(one)]
  # An address stands for an object that does not describe itself.
  device = mesh.devices.flat[0]
  if (_folder is None or not _SUPPORTED or mesh.size > 1
      or device.platform != 'cpu' or jax.process_count() > 1 or foreign
      or ' at 0x' in text):
    return jitted
  return Program(jitted, text, device)


def _is_ours(written: Any) -> bool:
  """Returns whether the sources of this package define a function or class."""
  if getattr(written, '__closure__', None):
    return False  # The values of a closure are described nowhere.
  module = getattr(written, '__module__', '')
  return module.partition('.')[0] == _PACKAGE


class Program:
  """A jitted function whose compiled programs are kept on disk.

  Calls from several threads may share it.
  """

  def __init__(self, jitted: Any, described: str, device: Any):
    """See `kept`; `device` is that of the arguments."""
    self._jitted, self._described, self._device = jitted, described, device
    self._ready: dict[Any, Callable[..., Any]] = {}
    self._locks: dict[Any, threading.Lock] = {}

  def __call__(self, *args: Any) -> Any:
    signature = _signature(args)
    call = self._ready.get(signature)
    if call is None:
      call = self._obtain(signature, args)
    return call(*args)

  def load_ahead(self, calls: Iterable[Sequence[Any]]) -> futures.Executor:
    """Reads the programs of coming calls in a thread, in their order.

    Args:
      calls: Arguments of each call; arrays or `jax.ShapeDtypeStruct`.

    Returns:
      The thread. Shut it down before the process ends: XLA aborts a process
      whose interpreter ends while it loads a program.
    """
    # Computed in this thread: a context's precision is thread-local.
    wanted = [(signature, self._key(signature))
              for signature in map(_signature, calls)]

    def load(signature, key):
      with self._lock(signature):
        if signature not in self._ready:
          call = self._read(key)
          if call is not None:
            self._ready[signature] = call

    pool = futures.ThreadPoolExecutor(1, 'load_ahead')
    for one in wanted:
      pool.submit(load, *one)
    return pool

  def _lock(self, signature: Any) -> threading.Lock:
    return self._locks.setdefault(signature, threading.Lock())

  def _key(self, signature: Any) -> str | None:
    """Returns the name of an index entry; None if the sources have changed."""
    sources = program_keys.sources()
    if sources is None:
      return None
    return program_keys.hash_of(
        sources, *program_keys.surroundings(self._device), self._described,
        repr(signature))

  def _obtain(self, signature: Any, args: Sequence[Any]) -> Callable[..., Any]:
    """Returns the program of a call: loaded, or else compiled and written."""
    with self._lock(signature):
      if signature not in self._ready:
        key = self._key(signature)
        self._ready[signature] = self._read(key) or self._make(
            key, signature, args)
      return self._ready[signature]

  def _read(self, key: str | None) -> Callable[..., Any] | None:
    """Returns the program of an index entry, None if there is none."""
    try:
      with open(_path(f'{key}.index'), encoding='ascii') as file:
        return _load(file.read(), self._device)
    except (OSError, UnicodeDecodeError):
      return None

  def _make(
      self, key: str | None, signature: Any, args: Sequence[Any]
  ) -> Callable[..., Any]:
    """Returns a program that this process has traced; writes what is new."""
    lowered = self._jitted.lower(*args)
    # Hash the signature too: the text omits unused arguments, whose shapes and
    # types a program checks.
    structure, leaves, _ = signature
    digest = program_keys.hash_of(
        lowered.as_text(), str(structure), repr(leaves),
        *program_keys.surroundings(self._device))
    call = _load(digest, self._device)
    if call is None:
      # Without JAX's cache: an executable from it cannot be serialised again.
      with _without_jax_cache():
        call = lowered.compile()
      if not _write(digest, call):
        return call
    if key is not None:
      with contextlib.suppress(OSError):
        with atomic.replacing(_path(f'{key}.index')) as file:
          file.write(digest.encode('ascii'))
    return call


def _signature(args: Sequence[Any]) -> Any:
  """Returns a hashable key of all that traces of a function differ in."""
  leaves, structure = jax.tree.flatten(args)
  return (structure, tuple(
      (leaf.shape, leaf.dtype, getattr(leaf, 'weak_type', False))
      for leaf in leaves), getattr(jax.config, 'jax_default_matmul_precision'))


def _path(name: str) -> str:
  return os.path.join(_folder, name)


def _load(digest: str, device: Any) -> Callable[..., Any] | None:
  """Returns the program of a file, None if it cannot be read.

  Args:
    digest: Name of the program.
    device: Device to run it on.
  """
  path = _path(f'{digest}.program')
  try:
    with open(path, 'rb') as file:
      content = file.read()
    if hashlib.sha256(content[32:]).digest() != content[:32]:
      raise ValueError('it has changed since it was written')
    executable, inputs, outputs = pickle.loads(zlib.decompress(content[32:]))
    found = serialize_executable.deserialize_and_load(
        executable, inputs, outputs, execution_devices=[device])
    with contextlib.suppress(OSError):
      os.utime(path)  # The least recently used file is the first to go.
    return found
  except FileNotFoundError:
    return None
  except Exception as error:  # Damage, or another JAX, has many.
    _log.debug('%s cannot be loaded: %s', path, error)
    return None


def _write(digest: str, compiled: jax.stages.Compiled) -> bool:
  """Writes a program, and returns whether it was possible.

  Args:
    digest: Name of the program.
    compiled: The program, compiled by this process.
  """
  try:
    content = zlib.compress(
        pickle.dumps(serialize_executable.serialize(compiled)), 1)
    with atomic.replacing(_path(f'{digest}.program')) as file:
      file.write(hashlib.sha256(content).digest() + content)
    evict.least_recent(_folder, _MOST_BYTES)
  except Exception as error:  # A full disk, or what JAX cannot serialise.
    _log.debug('a program is not kept: %s', error)
    return False
  return True


@contextlib.contextmanager
def _without_jax_cache():
  """Compiles without JAX's own cache in the context."""
  before = jax.config.jax_enable_compilation_cache
  jax.config.update('jax_enable_compilation_cache', False)
  compilation_cache.reset_cache()  # JAX reads the setting once.
  try:
    yield
  finally:
    jax.config.update('jax_enable_compilation_cache', before)
    compilation_cache.reset_cache()
