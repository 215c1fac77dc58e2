"""Tests of the allocator's settings."""

import os
import subprocess
import sys
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import psutil

from adapters_jax.runs import allocator

_SCRIPT = """
import os, sys
from adapters_jax.runs import allocator
print('pid', os.getpid(), sys.argv[1:], os.environ.get('GLIBC_TUNABLES'))
sys.stdout.flush()
allocator.wanted = lambda environment: 'GLIBC_TUNABLES' not in environment
allocator.start_anew()
"""

# Ten large pieces one after the other, the first of which does not count.
_USES = """
import ctypes, resource
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
faults = []
for _ in range(10):
  piece = libc.malloc(ctypes.c_size_t(1 << 26))
  ctypes.memset(piece, 1, 1 << 26)
  libc.free(ctypes.c_void_p(piece))
  faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(faults[-1] - faults[0])
"""


class PagesTest(parameterized.TestCase):

  @parameterized.parameters(
      ('glibc 2.36', {}, True), ('glibc 2.36', {'GLIBC_TUNABLES': ''}, False),
      (None, {}, False), (ValueError('unknown'), {}, False))
  def test_asks_glibc_alone_and_leaves_a_user_in_charge(
      self, version, environment, wanted):
    with mock.patch.object(os, 'confstr', side_effect=[version]):
      self.assertEqual(allocator.wanted(environment), wanted)

  def test_memory_above_what_is_available_is_returned(self):
    if not allocator.kept():
      self.skipTest('another C library')
    own = psutil.Process()

    def returned(available):
      # Each large block is freed between small ones that stay.
      blocks = [bytearray(1 << 16) for _ in range(4000)]
      stay, blocks = blocks[::8], None
      before, kept = own.memory_info().rss, allocator.kept()
      self.assertGreater(kept, 150 << 20)
      with mock.patch.object(
          psutil, 'virtual_memory',
          return_value=mock.Mock(available=available)), mock.patch.object(
              allocator, '_FEW', 100 << 20):
        allocator.release_excess()
      after = own.memory_info().rss
      del stay  # Not earlier: all blocks would be returned.
      return before - after

    self.assertGreater(returned(100 << 20), 150 << 20)
    self.assertLess(returned(8 << 30), 10 << 20)

  def test_memory_is_kept_from_one_use_to_the_next(self):
    if not allocator.wanted({}):
      self.skipTest('another C library')

    def faults(environment):
      return int(subprocess.run(
          [sys.executable, '-c', _USES], check=True, capture_output=True,
          text=True, env={**os.environ, **environment}).stdout)

    mapped = faults({allocator.VARIABLE: ''})
    self.assertGreaterEqual(mapped, 9 * 32)  # 64 MiB in pages of 2, or less.
    self.assertLess(
        faults({allocator.VARIABLE: allocator.SETTINGS}), mapped / 9)

  def test_starts_once_more_with_the_same_arguments_and_number(self):
    environment = {k: v for k, v in os.environ.items()
                   if k != 'GLIBC_TUNABLES'}
    out = subprocess.run(
        [sys.executable, '-c', _SCRIPT, '--size=3', 'x'], check=True,
        capture_output=True, text=True, env=environment).stdout.splitlines()
    self.assertLen(out, 2)
    self.assertEqual(out[0].replace('None', allocator.SETTINGS), out[1])
    self.assertIn("['--size=3', 'x']", out[1])


if __name__ == '__main__':
  absltest.main()
