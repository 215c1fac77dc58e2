"""Locks between processes, also on file systems without flock."""

from collections.abc import Iterator
import contextlib
import errno
import logging
import warnings

import filelock

# Errors of flock on NFS, Lustre and some containers' file systems.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS,
             errno.EINVAL)
SOFT = '.held'  # Suffix of the file that stands for a lock without flock.
_PATIENCE = 5.0  # Seconds of waiting before a message.

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def held(path: str, timeout: float = -1) -> Iterator[None]:
  """Holds a lock, which is released at the latest when the process ends.

  Without flock, the lock is a file with the id and the machine of the process.
  A file that a killed process left on another machine has to be deleted.

  Args:
    path: Path of the lock file, in an existing folder.
    timeout: Seconds to wait for another holder; -1 for any time.

  Raises:
    filelock.Timeout: another process holds it.
    OSError: the file cannot be created.
  """
  with contextlib.ExitStack() as stack:
    try:
      first = _PATIENCE if timeout < 0 else timeout
      stack.enter_context(_acquired(path, first))
    except filelock.Timeout as error:
      if timeout >= 0:
        raise
      _log.info('waiting for another process, which holds %s', error.lock_file)
      stack.enter_context(_acquired(path, -1))
    yield


def _acquired(
    path: str, timeout: float
) -> contextlib.AbstractContextManager[object]:
  """Acquires the lock; arguments and errors as for `held`."""
  try:
    with warnings.catch_warnings():
      # filelock itself makes a soft lock for ENOSYS, and warns.
      warnings.simplefilter('ignore')
      return filelock.FileLock(path).acquire(timeout=timeout)
  except OSError as error:  # Timeout is one, without a number.
    if error.errno not in _NO_LOCKS:
      raise
    return filelock.SoftFileLock(path + SOFT).acquire(timeout=timeout)
