"""A place for tiny runs: base, data, settings, and quiet calls."""

from collections.abc import Callable, Iterator
import contextlib
import dataclasses
import faulthandler
import logging
import os
import shutil
import sys
import tempfile
from typing import Any

from adapters_jax import errors
from adapters_jax.downloads import file_hash
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import records
from adapters_jax.runs import run
from tests import tiny

EXPERIMENT = 'glue'
_HANG = 120  # Seconds after which a call counts as hung; it ends the process.


@dataclasses.dataclass(frozen=True)
class Place:
  """A folder with a tiny base and data.

  Attributes:
    folder: The folder, on a local disk.
  """
  folder: str

  def path(self, *names: str) -> str:
    """Returns a path below the folder."""
    return os.path.join(self.folder, *names)

  def config(self, name: str, **changed: Any) -> config_lib.Config:
    """Returns the settings of a run of 8 steps, evaluated after 4 and 8.

    Args:
      name: Name of its workdir.
      **changed: Other settings.
    """
    files = {f'{split}_file': self.path('data', f'{split}.tsv')
             for split in ('train', 'dev', 'test')}
    return tiny.run_config(
        self.path('tiny'), files, self.path(name), **changed)


@contextlib.contextmanager
def made() -> Iterator[Place]:
  """Yields a place in a temporary folder."""
  with tempfile.TemporaryDirectory(prefix='stress') as folder:
    tiny.write_checkpoint(os.path.join(folder, 'tiny'), layers=1)
    tiny.write_data(os.path.join(folder, 'data'))
    yield Place(folder)


def train(config: config_lib.Config) -> records.Record:
  """Returns the record of a run; the process ends if the run hangs."""
  with watched():
    return run.run(config, EXPERIMENT)


@contextlib.contextmanager
def watched() -> Iterator[None]:
  """Ends the process, with a traceback, if the context hangs."""
  faulthandler.dump_traceback_later(  # stderr may be a file that is lost.
      _HANG, file=sys.__stdout__, exit=True)
  try:
    yield
  finally:
    faulthandler.cancel_dump_traceback_later()


def result(folder: str) -> tuple[str, Any]:
  """Returns (hash of the weights, history) of a finished run."""
  weights = os.path.join(folder, 'adapter', 'tuned.safetensors')
  record = records.read(os.path.join(folder, records.RECORD))
  return file_hash.sha256(weights), record.history


def resumed(place: Place, name: str, **changed: Any) -> tuple[str, Any]:
  """Resumes a run; returns its result, and removes its workdir.

  Args:
    place: Place of the run.
    name: Name of its workdir.
    **changed: Settings that are not those of `Place.config`.
  """
  train(place.config(name, resume=True, **changed))
  found = result(place.path(name))
  shutil.rmtree(place.path(name))
  return found


class _Messages(logging.Handler):
  """Keeps the messages of the library."""

  def __init__(self) -> None:
    super().__init__(logging.INFO)
    self.texts: list[str] = []

  def emit(self, record: logging.LogRecord) -> None:
    """Keeps one message."""
    self.texts.append(record.getMessage())


@contextlib.contextmanager
def messages() -> Iterator[list[str]]:
  """Yields the list of the library's messages within the context."""
  logger, handler = logging.getLogger('adapters_jax'), _Messages()
  before = logger.level, logger.propagate
  logger.addHandler(handler)
  logger.setLevel(logging.INFO)
  logger.propagate = False
  try:
    yield handler.texts
  finally:
    logger.removeHandler(handler)
    logger.setLevel(before[0])
    logger.propagate = before[1]


@contextlib.contextmanager
def stderr() -> Iterator[Callable[[], str]]:
  """Yields text(), which returns this process's stderr within the context."""
  sys.stderr.flush()
  before = os.dup(2)
  with tempfile.TemporaryFile() as file:

    def text():
      sys.stderr.flush()
      file.seek(0)
      return file.read().decode(errors='replace')

    os.dup2(file.fileno(), 2)
    try:
      yield text
    finally:
      sys.stderr.flush()
      os.dup2(before, 2)
      os.close(before)


def attempt(function: Callable[..., Any], *arguments: Any) -> tuple[str, Any]:
  """Calls a function as a command does.

  Args:
    function: Function that a user's mistake may end with a UserError.
    *arguments: Its arguments.

  Returns:
    ('result', value), ('refused', message), or ('traceback', description).
  """
  try:
    with watched():
      return 'result', function(*arguments)
  except errors.UserError as error:
    text = str(error)
    if '\n' in text:
      return 'traceback', f'a message of several lines: {text!r}'
    return 'refused', text
  except Exception as error:  # Anything else would be a traceback.
    return 'traceback', f'{type(error).__name__}: {error}'
