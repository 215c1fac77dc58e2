"""Inputs in parts, as they arrive, and the progress of their labelling."""

from collections.abc import Callable, Iterable, Iterator
import collections
import itertools
import logging
import os
import queue
import select
import shutil
import stat
import tempfile
import threading
import time
from typing import IO, Any

_log = logging.getLogger(__name__)

PART = 1024  # Inputs per call, which bounds the memory.
_PAUSE = 0.1  # Seconds without an input that end a part.
_LONGEST = 1.0  # Seconds that the first input of a part waits for others.
_LINES = 30.0  # Seconds between messages.
_END = object()


class Pipe:
  """Lines of a pipe or terminal, each as soon as it is whole."""

  def __init__(self, file: IO[bytes]):
    """Reads past the buffer of a file, of which nothing was read.

    Args:
      file: File whose descriptor is read; not closed.
    """
    # Own: a thread may outlive the file, whose number others then get.
    self._number = os.dup(file.fileno())
    self._lines: collections.deque[bytes] = collections.deque()
    self._parts: list[bytes] = []  # Of a line that is not whole.

  def __iter__(self) -> Iterator[bytes]:
    while self._lines or self._fill():
      yield self._lines.popleft()

  def _fill(self) -> bool:
    """Waits for a line; returns whether there is one."""
    while not self._lines:
      new = self.read(2**16)
      if not new:
        last = b''.join(self._parts)
        self._parts.clear()
        self._lines.extend([last] if last else [])
        break
      *whole, rest = new.split(b'\n')
      if whole:
        whole[0] = b''.join((*self._parts, whole[0]))
        self._parts.clear()
        self._lines.extend(line + b'\n' for line in whole)
      self._parts += [rest] if rest else []
    return bool(self._lines)

  def read(self, size: int) -> bytes:
    """Waits for bytes and returns at most `size` of them, b'' at the end."""
    return os.read(self._number, size)

  def seekable(self) -> bool:
    return False

  def paused(self) -> bool:
    """Returns whether no line comes for a while."""
    return not self._lines and not select.select(
        [self._number], [], [], _PAUSE)[0]

  def __del__(self):
    os.close(self._number)


def seekable(file: IO[bytes], form: str) -> IO[bytes]:
  """Returns a file that can be read in a format.

  A pipe of TSV, which is read twice, or of Parquet, read in jumps, is copied to
  a temporary file, so that its first input waits for its end.

  Args:
    file: File open for reading bytes.
    form: Its format.
  """
  if form not in ('tsv', 'parquet') or file.seekable():
    return file
  whole = tempfile.TemporaryFile()
  shutil.copyfileobj(file, whole)
  whole.seek(0)
  return whole


def parts(
    file: IO[bytes], read: Callable[[Any], Iterable[Any]]
) -> Iterator[list[Any]]:
  """Yields inputs in parts of PART, or fewer where a pipe's writer pauses.

  Args:
    file: File open for reading bytes.
    read: (file or `Pipe`) -> its inputs.
  """
  # The price: a fault in a late line shows only after earlier output.
  if file.seekable():
    inputs = iter(read(file))
    while part := list(itertools.islice(inputs, PART)):
      yield part
    return
  # Of a thread: half a record must not hold back those before it.
  arrived: queue.Queue[Any] = queue.Queue(PART)
  threading.Thread(
      target=_forward, args=(Pipe(file), read, arrived), daemon=True).start()
  ended = False
  while not ended:
    part, ended = _next_part(arrived)
    if part:
      yield part


def _forward(
    pipe: Pipe, read: Callable[[Any], Iterable[Any]], arrived: queue.Queue[Any]
) -> None:
  """Puts the inputs of a pipe into a queue, then _END or an error."""
  try:
    for one in read(pipe):
      arrived.put(one)
    arrived.put(_END)
  except Exception as error:  # For the thread that asks for inputs.
    arrived.put(error)


def _next_part(arrived: queue.Queue[Any]) -> tuple[list[Any], bool]:
  """Returns (inputs, whether they are the last); raises an error of `_forward`.

  Args:
    arrived: Inputs.
  """
  part: list[Any] = []
  one = arrived.get()
  latest = time.monotonic() + _LONGEST
  while one is not _END:
    if isinstance(one, Exception):
      raise one
    part.append(one)
    if len(part) == PART:
      return part, False
    try:
      one = arrived.get(
          timeout=max(0, min(_PAUSE, latest - time.monotonic())))
    except queue.Empty:
      return part, False
  return part, True


class Progress:
  """Logs how many inputs are labelled, twice a minute."""

  def __init__(self, file: IO[bytes] | None):
    """Starts the clock.

    Args:
      file: File that is read from start to end, whose share is told; None for
        one that is read in jumps.
    """
    self._file = file
    self._size = _size_of(file) if file else 0
    self._since, self._before = time.monotonic(), 0

  def update(self, count: int) -> None:
    """Logs, unless the last message is recent.

    Args:
      count: Inputs labelled so far.
    """
    now = time.monotonic()
    seconds = now - self._since
    if seconds < _LINES:
      return
    share = ''
    if self._file and self._size:
      share = f'; {self._file.tell() / self._size:.0%} of the file'
    rate = (count - self._before) / seconds
    _log.info('labelled %s inputs, %s a second%s', f'{count:,}',
              f'{rate:,.0f}' if rate >= 10 else f'{rate:.2g}', share)
    self._since, self._before = now, count


def _size_of(file: IO[bytes]) -> int:
  """Returns the bytes of a regular file, 0 for others."""
  try:
    found = os.fstat(file.fileno())
  except OSError:  # In memory.
    return 0
  return found.st_size if stat.S_ISREG(found.st_mode) else 0
