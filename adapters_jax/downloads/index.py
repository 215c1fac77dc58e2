"""Releases of the Python package index, by `pip download`.

pip applies the user's own index, proxy and credentials, and checks the hash of
a release before it opens it. Nothing is installed.
"""

import importlib.util
import os
import subprocess
import sys

from adapters_jax import errors as errors_lib
from adapters_jax.downloads import assets


def download(release: assets.Release, folder: str, by_hand: str) -> str:
  """Downloads a release's wheel or sdist, hash-checked.

  Args:
    release: Release to download.
    folder: Existing empty folder for the archive and pip's requirements file.
    by_hand: Advice to a user without the index, as the end of a message.

  Returns:
    Path of the archive in `folder`.

  Raises:
    errors.UserError: there is no pip, or it fails.
  """
  requirement = release.requirement
  if importlib.util.find_spec('pip') is None:  # As in environments of uv.
    raise errors_lib.UserError(
        f'{requirement} is needed and this environment has no pip: run '
        f'`{sys.executable} -m ensurepip`, or {by_hand}')
  # Hashes can be given in a requirements file, not as an argument.
  pinned = os.path.join(folder, 'requirements.txt')
  with open(pinned, 'w', encoding='utf-8') as file:
    file.write(f'{requirement} --hash=sha256:{release.sha256}\n')
  # A process of its own, as pip has no Python interface.
  command = [
      sys.executable, '-m', 'pip', 'download', '--quiet', '--no-deps',
      '--require-hashes', '--disable-pip-version-check', '--dest', folder,
      '--requirement', pinned]
  command += (['--no-binary', release.package] if release.source
              else ['--only-binary', release.package])
  result = subprocess.run(command, capture_output=True, text=True, check=False)
  if result.returncode:
    errors = [line for line in result.stderr.splitlines() if 'ERROR' in line]
    reason = errors[-1] if errors else result.stderr.strip()[-300:]
    raise errors_lib.UserError(
        f'could not download {requirement} with `pip download` ({reason}); '
        f'check the network and pip\'s index settings, or {by_hand}')
  (archive,) = [  # pip's requirements file is in the folder too.
      entry for entry in os.listdir(folder)
      if entry.endswith('.tar.gz' if release.source else '.whl')]
  return os.path.join(folder, archive)
