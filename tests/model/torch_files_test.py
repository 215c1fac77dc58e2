"""Tests that files of torch.save are read, and hostile ones refused."""

import os
import pathlib
import pickle
import resource
import zipfile

import ml_dtypes
import numpy as np
import pytest

from adapters_jax.model import torch_files
from adapters_jax.model import torch_pickle
from adapters_jax.model import torch_writer

FIXTURES = pathlib.Path(__file__).parents[1] / 'fixtures' / 'torch'
LAYOUTS = ('zip', 'protocol4', 'plain')
MARK, END = b'(', b'.'
FLOATS = b'ctorch\nFloatStorage\n'
REBUILD = b'ctorch._utils\n_rebuild_tensor_v2\n'


def read(path):
  """Returns all tensors of a file."""
  return torch_files.read_tensors(path, lambda name: True)


def text(value: str) -> bytes:
  return b'X' + len(value).to_bytes(4, 'little') + value.encode()


def number(value: int) -> bytes:
  return b'J' + value.to_bytes(4, 'little', signed=True)


def numbers(*values: int) -> bytes:
  return MARK + b''.join(map(number, values)) + b't'


def storage(size: int, key: str = '0', kind: bytes = FLOATS) -> bytes:
  return (MARK + text('storage') + kind + text(key) + text('cpu')
          + number(size) + b'tQ')


def tensor(
    shape: tuple[int, ...], strides: tuple[int, ...], size: int = 4,
    offset: int = 0, key: str = '0',
) -> bytes:
  """Returns the instructions of a tensor, as torch writes them."""
  return (REBUILD + MARK + storage(size, key) + number(offset)
          + numbers(*shape) + numbers(*strides) + b'\x89}tR')


def state(*tensors: bytes) -> bytes:
  """Returns the pickle of a dict {'0': tensor, '1': tensor, ...}."""
  items = b''.join(text(str(i)) + t for i, t in enumerate(tensors))
  return b'\x80\x02}' + MARK + items + b'u' + END


def write(folder, pickled: bytes, *, compress: bool = False, **members) -> str:
  """Writes an archive of torch; without members, storage 0 has 4 numbers."""
  path = str(folder / 'x.bin')
  kind = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
  with zipfile.ZipFile(path, 'w') as archive:
    archive.writestr('x/data.pkl', pickled)
    for name, content in (members or {'0': np.arange(4.).astype(
        np.float32).tobytes()}).items():
      archive.writestr(f'x/data/{name}', content, kind)
  return path


@pytest.mark.parametrize('layout', LAYOUTS)
def test_every_kind_of_tensor(layout):
  path = str(FIXTURES / f'{layout}.bin')
  found = read(path)
  weight = np.arange(6, dtype=np.float32).reshape(2, 3)
  wanted = {
      'weight': weight, 'bias': np.array([0.5, -1.5], ml_dtypes.bfloat16),
      'tied': weight, 'transposed': weight.T,
      'slice': np.array([3, 4, 5, 6]), 'half': np.array([1.5], np.float16),
      'scalar': np.array(7, np.float32),
      'empty': np.zeros((0, 3), np.float32),
      'parameter': np.array([1, 2], np.float32)}
  assert list(found) == list(wanted) == torch_files.tensor_names(path)
  for name, value in wanted.items():
    assert found[name].dtype == value.dtype, name
    np.testing.assert_array_equal(found[name], value, name)
  assert found['tied'] is found['weight']
  assert list(torch_files.read_tensors(path, 'half'.__eq__)) == ['half']


def test_hand_written_pickles_are_those_of_torch(tmp_path):
  path = write(tmp_path, state(tensor((2,), (1,), offset=1)))
  np.testing.assert_array_equal(
      read(path)['0'], np.array([1, 2], np.float32))


@pytest.mark.parametrize('pickled, message', [
    (b'cos\nsystem\n.', 'os.system is not part of a tensor'),
    (b'\x80\x04\x8c\x02os\x8c\x06system\x93.', 'os.system is not part'),
    (b'(i__builtin__\neval\n.', 'instruction INST'),
    (REBUILD + b')\x81.', 'instruction NEWOBJ'),
    # Defaults of the function that stands for the name.
    (REBUILD + b'}' + text('__defaults__') + b')s\x86b.', 'damaged|changes'),
    (REBUILD + b'N}' + text('__defaults__') + b')s\x86b.',
     'changes other values than a dict'),
    (FLOATS + b')R.', 'calls a function'),
    (b'ccollections\nOrderedDict\n]\x85R.', 'calls a function'),
    (b'})Ns.', 'other keys than names'),
    (b'}' + MARK + text('a') + b'u.', 'damaged'),
    (b'R.', 'damaged'), (b'Nu.', 'damaged'), (b'h\x05.', 'damaged'),
    (b'N', 'damaged|no end'), (b'', 'damaged|no end'),
    (b'X\xff\xff\xff\x7fabc.', 'damaged'),
    (b'\x8e' + b'\xff' * 7 + b'\x3f.', 'damaged'),
    (b'N.', 'no dict of tensors'),
])
def test_other_pickles_are_refused(pickled, message, tmp_path):
  path = write(tmp_path, pickled)
  for call in (torch_files.tensor_names, read):
    with pytest.raises(torch_pickle.FormatError, match=message):
      call(path)


def test_nothing_is_executed(tmp_path):
  marker = tmp_path / 'ran'

  class Evil:

    def __reduce__(self):
      return os.system, (f'touch {marker}',)

  for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
    path = write(tmp_path, pickle.dumps({'a': Evil()}, protocol))
    with pytest.raises(torch_pickle.FormatError):
      read(path)
  assert not marker.exists()


@pytest.mark.parametrize('content, message', [
    (tensor((5,), (1,)), 'outside its storage'),
    (tensor((2,), (1,), offset=3), 'outside its storage'),
    (tensor((2, 2), (3, 2)), 'outside its storage'),
    (tensor((2,), (1,), offset=-1), 'no valid shape'),
    (tensor((2,), (-1,), offset=3), 'no valid shape'),
    (tensor((-2,), (1,)), 'no valid shape'),
    (tensor((2, 2), (1,)), 'no valid shape'),
    (tensor((1,) * 65, (1,) * 65), 'no valid shape'),
    (tensor((2,), (1,), size=-4), 'unknown kind'),
    (tensor((5,), (1,), size=5), 'ends early'),
    (tensor((2,), (1,), key='7'), 'has no x/data/7'),
    (tensor((2**30,), (0,)), 'would take 4294967296 bytes'),
    (tensor((2**30, 2**30, 2**30), (0, 0, 0)), 'would take'),
])
def test_tensors_outside_of_the_file(content, message, tmp_path):
  path = write(tmp_path, state(content))
  with pytest.raises(torch_pickle.FormatError, match=message):
    read(path)


def test_many_views_of_one_storage_are_bounded(tmp_path):
  tensors = [tensor((2000 - i,), (1,), size=2000) for i in range(1000)]
  path = write(tmp_path, state(*tensors), **{'0': bytes(8000)})
  with pytest.raises(torch_pickle.FormatError, match='would take'):
    read(path)


def test_compressed_storages_are_refused_without_their_size(tmp_path):
  size = 2**28  # Bytes, which deflate to a thousandth.
  path = write(
      tmp_path, state(tensor((1,), (1,), size=size // 4)), compress=True,
      **{'0': bytes(size)})
  before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  with pytest.raises(torch_pickle.FormatError, match='is compressed'):
    read(path)
  after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  assert os.path.getsize(path) < size // 500
  assert after - before < size // 4 // 2**10  # KiB


def test_a_large_memo_takes_no_memory(tmp_path):
  path = write(tmp_path, b'}r\xff\xff\xff\x7f.')
  before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  assert torch_files.tensor_names(path) == []
  after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  assert after - before < 2**16  # KiB


@pytest.mark.parametrize('layout', LAYOUTS)
def test_a_truncated_file_is_an_error(layout, tmp_path):
  content = (FIXTURES / f'{layout}.bin').read_bytes()
  path = tmp_path / 'x.bin'
  for length in range(1, len(content), 97):
    path.write_bytes(content[:length])
    with pytest.raises((torch_pickle.FormatError, ValueError, OSError,
                        zipfile.BadZipFile)):
      read(str(path))


def test_what_is_written_is_read_the_same(tmp_path):
  rng = np.random.default_rng(0)
  tensors = {'a.weight': rng.standard_normal((3, 5), np.float32),
             'turned': rng.standard_normal((2, 3, 4), np.float32).T,
             'scalar': np.float32(2), 'none': np.zeros((0, 3), np.float32),
             'gr\u00f6\u00dfe': np.arange(4.0)}
  for name in 'xy':
    with open(tmp_path / name, 'wb') as file:
      torch_writer.write(file, tensors)
  found = read(str(tmp_path / 'x'))
  assert list(found) == list(tensors)
  for name, value in tensors.items():
    assert found[name].dtype == np.float32
    np.testing.assert_array_equal(found[name], value)
  assert (tmp_path / 'x').read_bytes() == (tmp_path / 'y').read_bytes()


@pytest.mark.interop
def test_torch_reads_what_is_written(tmp_path):
  torch = pytest.importorskip('torch')
  tensors = {'a': np.arange(6, dtype=np.float32).reshape(2, 3).T,
             'b.c': np.float32(2), 'none': np.zeros((0, 3), np.float32)}
  with open(tmp_path / 'x.bin', 'wb') as file:
    torch_writer.write(file, tensors)
  found = torch.load(tmp_path / 'x.bin', weights_only=True)
  assert list(found) == list(tensors)
  for name, value in tensors.items():
    assert found[name].dtype == torch.float32
    np.testing.assert_array_equal(found[name].numpy(), value)
