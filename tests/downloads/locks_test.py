import errno
import logging
import os
import threading

import filelock
import pytest

from adapters_jax.downloads import locks


@pytest.fixture(name='path', params=['flock', 'ENOLCK', 'ENOTSUP', 'ENOSYS'])
def fixture_path(request, tmp_path, monkeypatch):
  """A path for a lock, on file systems with flock and without."""
  if request.param != 'flock':
    fcntl = pytest.importorskip('fcntl')

    def flock(*_):
      raise OSError(getattr(errno, request.param), 'no locks')

    monkeypatch.setattr(fcntl, 'flock', flock)
  return str(tmp_path / 'some.lock')


def test_one_holder_at_a_time(path):
  with locks.held(path):
    with pytest.raises(filelock.Timeout):
      with locks.held(path, timeout=0):
        pass
  with locks.held(path, timeout=0):
    pass


def test_errors_of_the_holder_pass_and_release(path):
  with pytest.raises(OSError, match='mine'):
    with locks.held(path):
      raise OSError(errno.ENOLCK, 'mine')
  with locks.held(path, timeout=0):
    pass


def test_waiting_is_reported(path, monkeypatch, caplog):
  monkeypatch.setattr(logging.getLogger('adapters_jax'), 'propagate', True)
  caplog.set_level(logging.INFO)
  monkeypatch.setattr(locks, '_PATIENCE', 0.01)
  order = []
  with locks.held(path):
    thread = threading.Thread(target=_wait, args=(path, order))
    thread.start()
    while not caplog.records:
      pass
    order.append('first')
  thread.join()
  assert order == ['first', 'second']
  assert os.path.basename(path) in caplog.messages[0]


def _wait(path, order):
  with locks.held(path):
    order.append('second')
