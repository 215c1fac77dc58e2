import errno
import json
import os
import stat
import threading
from unittest import mock

import pytest

from adapters_jax.downloads import atomic


def test_no_trace_of_the_write_is_left(tmp_path):
  path = str(tmp_path / 'new' / 'a.json')
  atomic.write_json(path, {'b': 1, 'a': [None]})
  assert os.listdir(tmp_path / 'new') == ['a.json']
  with open(path) as file:
    assert list(json.load(file)) == ['b', 'a']  # In their order.
  mask = os.umask(0)
  os.umask(mask)
  assert stat.S_IMODE(os.stat(path).st_mode) == 0o666 & ~mask


@pytest.mark.parametrize('failing', ['write', 'fsync', 'replace'])
def test_a_failed_write_leaves_the_old_file(tmp_path, failing):
  path = str(tmp_path / 'a.json')
  atomic.write_json(path, 'old')
  full = OSError(errno.ENOSPC, 'No space left on device')
  if failing == 'write':
    with pytest.raises(OSError), atomic.replacing(path) as file:
      file.write(b'new')
      raise full
  else:
    with mock.patch.object(os, failing, side_effect=full):
      with pytest.raises(OSError):
        atomic.write_json(path, 'new')
  assert os.listdir(tmp_path) == ['a.json']
  with open(path) as file:
    assert json.load(file) == 'old'


def test_no_link_is_followed(tmp_path):
  target = tmp_path / 'target'
  target.write_text('untouched')
  with mock.patch.object(atomic.uuid, 'uuid4') as uuid4:
    uuid4.return_value.hex = '0' * 32
    os.symlink(target, tmp_path / f'.a.json.{"0" * 32}.part')
    with pytest.raises(FileExistsError):
      atomic.write_json(str(tmp_path / 'a.json'), 'new')
  assert target.read_text() == 'untouched'


def test_readers_never_see_a_part(tmp_path):
  # Threads have one process number, as processes on several machines may.
  path = str(tmp_path / 'a.json')
  values = [[number] * 5000 for number in range(4)]
  atomic.write_json(path, values[0])
  faults = []

  def write(value):
    try:
      for _ in range(25):
        atomic.write_json(path, value)
    except Exception as error:
      faults.append(error)

  threads = [threading.Thread(target=write, args=(v,)) for v in values]
  for thread in threads:
    thread.start()
  while any(thread.is_alive() for thread in threads):
    with open(path) as file:
      assert json.load(file) in values
  assert not faults
  assert os.listdir(tmp_path) == ['a.json']


def test_clean_removes_unfinished_writes_alone(tmp_path):
  kept = ['a.json', 'thesis.part', '.a.json.12.part', '.hidden']
  left = ['run.json.4242.part', f'.run.json.{"0f" * 16}.part',
          'tuned.safetensors.part']
  for name in (*kept, *left):
    (tmp_path / name).write_text('x')
  atomic.clean(str(tmp_path))
  assert sorted(os.listdir(tmp_path)) == sorted(kept)
  atomic.clean(str(tmp_path / 'absent'))
