"""Caches texts and labels of prepared datasets, as decoding rows is slow.

TFDS takes about 0.06 ms of processor time for a short row.
"""

from collections.abc import Callable, Mapping
import contextlib
import hashlib
import json
import logging
import os
from typing import Any

from adapters_jax.downloads import atomic
from adapters_jax.downloads import evict
from adapters_jax.downloads import file_hash
from adapters_jax.downloads import pinned

_log = logging.getLogger(__name__)

_VERSION = 2  # Counts changes of `task_rows.read` or of the files below.
_MOST_BYTES = 2 * 2**30  # Of all entries together.

# {split: JSON value}
Splits = dict[str, Any]


def cached(
    folder: str, described: Any, read: Callable[[], Splits]
) -> Splits:
  """Calls `read`, or returns the result of an earlier call.

  Args:
    folder: Folder of the dataset; changed contents make another entry.
    described: Value whose `repr` describes everything else that `read` depends
      on.
    read: () -> {split: JSON value}.

  Returns:
    The splits, with lists in place of tuples.
  """
  path = os.path.join(
      pinned.cache_dir(), 'splits', f'{_key(folder, described)}.json')
  found = _read(path)
  if found is None:
    found = read()
    _write(path, found)
  return found


def _key(folder: str, described: Any) -> str:
  """Returns a hash of everything that the splits depend on."""
  found = hashlib.sha256(repr((_VERSION, described)).encode())
  for path in file_hash.files_below(folder):
    found.update(repr((
        os.path.relpath(path, folder), file_hash.kept_sha256(path))).encode())
  return found.hexdigest()[:32]


def _read(path: str) -> Splits | None:
  """Returns the splits of an entry, None if there is none or it is damaged."""
  try:
    with open(path, 'rb') as file:
      digest, _, content = file.read().partition(b'\n')
    if hashlib.sha256(content).hexdigest().encode() != digest:
      raise ValueError('it has changed since it was written')
    found = json.loads(content)
  except FileNotFoundError:
    return None
  except (OSError, ValueError) as error:
    _log.info('%s cannot be read (%s): reading the dataset', path, error)
    return None
  with contextlib.suppress(OSError):
    os.utime(path)  # The least recently used entry is the first to go.
  return found


def _write(path: str, splits: Mapping[str, Any]) -> None:
  """Writes an entry and removes old ones; without room, it does neither.

  Args:
    path: Path of the entry.
    splits: {split: JSON value}.
  """
  content = json.dumps(splits).encode()
  if len(content) > _MOST_BYTES:
    return
  try:
    with atomic.replacing(path) as file:
      file.write(hashlib.sha256(content).hexdigest().encode() + b'\n')
      file.write(content)
    evict.least_recent(os.path.dirname(path), _MOST_BYTES)
  except OSError as error:  # A full disk, or a folder of another user.
    _log.info('the texts are not kept for the next run: %s', error)
