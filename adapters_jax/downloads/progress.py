"""Progress of long downloads, as log records that a bar can be drawn from."""

import dataclasses
import logging
import time
from typing import Any, Self

import tqdm

_log = logging.getLogger(__name__)

_TICK = 0.25  # Seconds between records for a bar.
_LINE = 10.0  # Seconds between records for a log file.


@dataclasses.dataclass(frozen=True)
class Transfer:
  """State of a download, the attribute `transfer` of its log records.

  Attributes:
    name: Name of the download.
    done: Bytes that have arrived.
    total: Bytes in total; 0 if unknown.
    ended: Whether this is the last record.
  """
  name: str
  done: int
  total: int
  ended: bool = False


class Reporter:
  """Reports a download to the log, and is a context that ends the report.

  Records at level DEBUG come several times a second, for a bar; records at INFO
  every 10 seconds, for a log file. Short downloads make none.
  """

  def __init__(self, name: str, total: int):
    """Starts the clock.

    Args:
      name: Name of the download.
      total: Bytes in total; 0 if unknown.
    """
    self._name, self._total = name, total
    self._ticked = self._logged = time.monotonic()
    self._done = 0
    self._shown = False

  def update(self, done: int) -> None:
    """Reports, unless the last report is recent.

    Args:
      done: Bytes that have arrived.
    """
    now = time.monotonic()
    self._done = min(done, self._total) if self._total else done
    if now - self._logged >= _LINE:
      self._logged = self._ticked = now
      self._report(logging.INFO)
    elif now - self._ticked >= _TICK:
      self._ticked = now
      self._report(logging.DEBUG)

  def _report(self, level: int, ended: bool = False) -> None:
    """Writes one record."""
    self._shown = not ended
    of = f' of {self._total / 1e6:,.0f}' if self._total else ''
    _log.log(
        level, '%s: %.0f%s MB', self._name, self._done / 1e6, of,
        extra={'transfer': Transfer(
            self._name, self._done, self._total, ended)})

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *_) -> None:
    if self._shown:  # An error too ends the bar.
      self._report(logging.DEBUG, ended=True)


class Bar(tqdm.tqdm):
  """A tqdm that draws nothing and reports to the log.

  For libraries that accept a class of bars.
  """

  def __init__(self, *args: Any, **kwargs: Any):
    super().__init__(*args, **{**kwargs, 'disable': True})
    self._reporter = Reporter(kwargs.get('desc') or 'download', self.total or 0)

  def update(self, n: float | None = 1) -> None:
    """Counts `n` more bytes."""
    self.n += n or 0
    self._reporter.update(int(self.n))

  def close(self) -> None:
    if hasattr(self, '_reporter'):  # tqdm closes in `__init__` too.
      self._reporter.__exit__()
    super().close()
