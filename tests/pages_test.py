"""Tests for huge pages."""

import os
import subprocess
import sys
import tempfile

from absl.testing import absltest
from absl.testing import parameterized

from adapters_jax import pages

_SCRIPT = """
import os, sys
from adapters_jax import pages
print('pid', os.getpid(), sys.argv[1:], os.environ.get('GLIBC_TUNABLES'))
sys.stdout.flush()
pages.wanted = lambda environment: 'GLIBC_TUNABLES' not in environment
pages.start_anew()
"""


class PagesTest(parameterized.TestCase):

  @parameterized.parameters(
      ('always [madvise] never', {}, True),
      ('[always] madvise never', {}, False),
      ('always madvise [never]', {}, False),
      ('always [madvise] never', {'GLIBC_TUNABLES': ''}, False),
  )
  def test_asks_only_where_the_kernel_grants(self, text, environment, wanted):
    with tempfile.NamedTemporaryFile('w') as file:
      file.write(text)
      file.flush()
      self.assertEqual(pages.wanted(environment, file.name), wanted)

  def test_does_without_where_the_kernel_has_none(self):
    self.assertFalse(pages.wanted({}, '/nowhere/at/all'))

  def test_starts_once_more_with_the_same_arguments_and_number(self):
    environment = {k: v for k, v in os.environ.items()
                   if k != 'GLIBC_TUNABLES'}
    out = subprocess.run(
        [sys.executable, '-c', _SCRIPT, '--size=3', 'x'], check=True,
        capture_output=True, text=True, env=environment).stdout.splitlines()
    self.assertLen(out, 2)
    self.assertEqual(out[0].replace('None', 'glibc.malloc.hugetlb=1'), out[1])
    self.assertIn("['--size=3', 'x']", out[1])


if __name__ == '__main__':
  absltest.main()
