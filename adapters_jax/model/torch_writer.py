"""Files of `torch.save`, written without torch.

The layout is the zip archive of torch 1.6 and later, which `torch.load` reads
with weights_only=True.
"""

from collections.abc import Mapping
import struct
from typing import BinaryIO
import zipfile

import numpy as np

_ROOT = 'archive/'  # torch takes any name.
# Instructions of pickle's protocol 2, with their arguments.
_START = b'\x80\x02'  # PROTO
_DICT, _MARK, _SET, _STOP = b'}', b'(', b'u', b'.'
_TUPLE, _STORAGE, _FALSE, _CALL = b't', b'Q', b'\x89', b'R'
_REBUILD = b'ctorch._utils\n_rebuild_tensor_v2\n'  # GLOBAL
_FLOATS = b'ctorch\nFloatStorage\n'
_NO_HOOKS = b'ccollections\nOrderedDict\n)R'


def write(file: BinaryIO, tensors: Mapping[str, np.ndarray]) -> None:
  """Writes a dict of tensors.

  Args:
    file: Binary file, opened for writing.
    tensors: {name: array}, written as float32.
  """
  arrays = {name: np.ascontiguousarray(value, np.float32).reshape(value.shape)
            for name, value in tensors.items()}
  with zipfile.ZipFile(file, 'w', zipfile.ZIP_STORED) as archive:
    # ZipInfo has a fixed date, so that equal tensors give equal files.
    for name, content in (
        ('data.pkl', _pickle(arrays)), ('byteorder', b'little'),
        *((f'data/{key}', array.astype('<f4').tobytes())
          for key, array in enumerate(arrays.values())),
        ('version', b'3\n')):
      archive.writestr(zipfile.ZipInfo(_ROOT + name), content)


def _pickle(arrays: Mapping[str, np.ndarray]) -> bytes:
  """Returns the pickle {name: tensor}; the numbers are in other files."""
  items = b''.join(
      _text(name) + _tensor(key, array)
      for key, (name, array) in enumerate(arrays.items()))
  return _START + _DICT + _MARK + items + _SET + _STOP


def _tensor(key: int, array: np.ndarray) -> bytes:
  """Returns the call that makes a tensor.

  Args:
    key: Name of its file.
    array: Its numbers, contiguous.
  """
  storage = (_MARK + _text('storage') + _FLOATS + _text(str(key))
             + _text('cpu') + _number(array.size) + _TUPLE + _STORAGE)
  strides = (step // array.itemsize for step in array.strides)
  return (_REBUILD + _MARK + storage + _number(0) + _numbers(array.shape)
          + _numbers(strides) + _FALSE + _NO_HOOKS + _TUPLE + _CALL)


def _text(value):
  encoded = value.encode()
  return b'X' + struct.pack('<I', len(encoded)) + encoded


def _number(value):
  return b'J' + struct.pack('<i', value)


def _numbers(values):
  return _MARK + b''.join(map(_number, values)) + _TUPLE
