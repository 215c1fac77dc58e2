"""Data that the runs of a sweep share: read, hashed and tokenised once.

No JAX or NumPy at import.
"""

from collections.abc import Callable, Iterator, Mapping
import contextlib
import contextvars
import dataclasses
import os
from typing import Any

from adapters_jax.data import prepared
from adapters_jax.downloads import file_hash
from adapters_jax.downloads import paths
from adapters_jax.runs import config as config_lib

# The last key and its data, where a sweep keeps them; one entry, as runs on the
# same data follow each other.
_entry: contextvars.ContextVar[list[Any] | None] = contextvars.ContextVar(
    'entry', default=None)


@contextlib.contextmanager
def kept() -> Iterator[None]:
  """Keeps the data of a run for the next ones in the context.

  The memory is free again afterwards.
  """
  token = _entry.set([])
  try:
    yield
  finally:
    _entry.reset(token)


def of(
    config: config_lib.Config, make: Callable[..., Any], data: Any,
    task: Any, *more: Any,
) -> Any:
  """Returns make(config, data, *more), perhaps the result of an earlier run.

  Within `kept`, `make` gets only the settings that data depend on, the others
  at their defaults; so no other setting can lead to a result of an earlier run.
  Its messages are logged once.

  Args:
    config: Settings.
    make: Function of a module with one such function. Callers must not change
      what it returns, of which arrays are read-only.
    data: Data in memory, which are not kept; None for those of the settings.
    task: `tasks.Task` by name, whose `source` is read; None for files.
    *more: Further arguments that can be compared.
  """
  entry = _entry.get()
  # Before the data are read: if they change meanwhile, the next run has another
  # key.
  key = None if entry is None or data else _key(config, make, task, more)
  if entry is None or key is None:
    return make(config, data, *more)
  if entry and entry[0] == key:
    return entry[1]
  entry.clear()  # Now, as both may not fit in memory.
  found = make(config_lib.Config(**_settings(config)), None, *more)
  _protect(found)
  entry[:] = key, found
  return found


def _settings(config: config_lib.Config) -> dict[str, Any]:
  """Returns {name: value} of the settings that data depend on."""
  return {field.name: getattr(config, field.name)
          for field in dataclasses.fields(config)
          if field.metadata['role'] == 'data' or field.name == 'data_dir'}


def _key(
    config: config_lib.Config, make: Callable[..., Any],
    task: Any, more: tuple[Any, ...],
) -> Any:
  """Returns everything that the data depend on, None if it is not known."""
  from adapters_jax.model import pretrained  # Imports JAX.
  folder = pretrained.resolve(config.checkpoint)
  files = [*config.files.values()]
  if task is not None:
    root = paths.expanded(
        config.data_dir, 'data_dir') or prepared.default_data_dir()
    files = [*file_hash.files_below(os.path.join(root, task.source))]
  try:
    return (make.__module__, _settings(config), task, more,
            # Small files of a hub's checkpoint may be in another folder.
            pretrained.config_of(config.checkpoint),
            [*map(_stamp, files)],
            [_stamp(os.path.join(folder, name))
             for name in sorted(os.listdir(folder))])
  except OSError:  # `make` reports an absent file with a remedy.
    return None


def _stamp(path: str) -> tuple[Any, ...]:
  """Returns what changes with the content of a file."""
  found = os.stat(path)
  return (os.path.abspath(path), found.st_dev, found.st_ino, found.st_size,
          found.st_mtime_ns, found.st_ctime_ns)


def _protect(value: Any) -> None:
  """Makes the arrays in some data read-only."""
  import numpy as np  # The data are read: it is imported.
  if isinstance(value, np.ndarray):
    value.flags.writeable = False
  elif dataclasses.is_dataclass(value):
    for field in dataclasses.fields(value):
      _protect(getattr(value, field.name))
  elif isinstance(value, Mapping):
    for one in value.values():
      _protect(one)
  # Texts are many, and cannot change.
  elif isinstance(value, (list, tuple)) and value and not (
      isinstance(value[0], (str, int))):
    for one in value:
      _protect(one)
