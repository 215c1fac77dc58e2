"""Trackers: report losses and scores of a run, while it trains."""

from collections.abc import Callable, Iterable, Iterator, Mapping
import contextlib
import itertools
import json
import logging
import os
import shutil
import time
from typing import Any

from adapters_jax import errors
from adapters_jax.downloads import atomic
from adapters_jax.runs import extras
from adapters_jax.runs import identity
from adapters_jax.runs import options

_log = logging.getLogger(__name__)

_FLUSH = 120.0  # Seconds between writes of event files to the disk.


class Tracker:
  """Base class, which ignores the numbers of a run.

  An OSError, as of a full disk, turns a tracker off rather than end the run.

  Attributes:
    place: File or folder that it creates in the workdir.
    package: Optional package that it needs, '' for none.
  """
  place: str = ''
  package: str = ''

  def __init__(self, folder: str, name: str, settings: Mapping[str, Any]):
    """Stores its arguments; writes nothing yet.

    Args:
      folder: Workdir of the run.
      name: Hash of its settings.
      settings: Its settings without places.
    """
    self._folder, self._name, self._settings = folder, name, settings
    self._path = os.path.join(folder, self.place)
    self._to: Any = None  # File, writer or run.
    self._off = False

  def begin(self, done: int) -> None:
    """Starts a sitting of the run.

    Args:
      done: Steps that it has taken. Numbers of later steps, left by a sitting
        that was killed, are removed.
    """
    self._try(self._begin, done)

  def add(self, step: int, values: Mapping[str, float]) -> None:
    """Adds numbers.

    Args:
      step: Steps taken.
      values: {name: number}, names as 'train/loss' or 'dev/accuracy'.
    """
    self._try(self._add, step, values)

  def end(self) -> None:
    """Ends the sitting."""
    self._try(self._end)

  def _try(self, call: Callable[..., None], *args: Any) -> None:
    """Calls a method of the tracker; turns it off after an OSError."""
    if self._off:
      return
    try:
      call(*args)
    except OSError as error:
      self._off = True
      _log.warning('`track`: %s: %s; the run goes on without it',
                   self._path, error.strerror or error)
      with contextlib.suppress(OSError):
        self._end()

  def _begin(self, done: int) -> None:
    """See `begin`."""

  def _add(self, step: int, values: Mapping[str, float]) -> None:
    """See `add`."""

  def _end(self) -> None:
    """See `end`; also called without a start, and after an error."""


def _step_of(line: str) -> int | None:
  """Returns the step of a line of `metrics.jsonl`, None for any other line."""
  try:
    found = json.loads(line)
  except (ValueError, RecursionError):  # A kill cut the line, or damage.
    return None
  step = found.get('step') if isinstance(found, dict) else None
  return step if isinstance(step, int) else None


class JsonLines(Tracker):
  """A line of JSON for each call, in `metrics.jsonl`."""
  place = 'metrics.jsonl'

  def _begin(self, done: int) -> None:
    kept = []
    with contextlib.suppress(OSError), open(
        self._path, encoding='utf-8', errors='replace') as file:
      for line in file:
        step = _step_of(line)
        if step is not None and step <= done:
          kept.append(line.rstrip('\n') + '\n')  # A kill may cut this alone.
    with atomic.replacing(self._path) as file:
      file.write(''.join(kept if done else []).encode())
    # Line by line, for programs that follow the file.
    self._to = open(self._path, 'a', buffering=1, encoding='utf-8')

  def _add(self, step: int, values: Mapping[str, float]) -> None:
    self._to.write(json.dumps({'step': step, **values}) + '\n')

  def _end(self) -> None:
    if self._to:
      self._to.close()


class TensorBoard(Tracker):
  """TensorBoard's event files, in the folder `tensorboard`."""
  place, package = 'tensorboard', 'tensorboardX'

  def _begin(self, done: int) -> None:
    # Not SummaryWriter: a full disk ends its thread, and it then waits forever.
    from tensorboardX import event_file_writer
    from tensorboardX.proto import event_pb2
    if not done:
      shutil.rmtree(self._path, ignore_errors=True)
    os.makedirs(self._path, exist_ok=True)
    self._to = event_file_writer.EventsWriter(
        os.path.join(self._path, 'events'))
    if done:  # Hides later steps in the files of earlier sittings.
      start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
      self._to.write_event(event_pb2.Event(
          wall_time=time.time(), step=done + 1, session_log=start))
    self._flush()

  def _flush(self) -> None:
    """Writes the events so far to the disk."""
    self._to.flush()
    self._flushed = time.monotonic()

  def _add(self, step: int, values: Mapping[str, float]) -> None:
    from tensorboardX import summary
    from tensorboardX.proto import event_pb2
    for name, value in values.items():
      self._to.write_event(event_pb2.Event(
          wall_time=time.time(), step=step,
          summary=summary.scalar(name, value)))
    if time.monotonic() - self._flushed > _FLUSH:
      self._flush()

  def _end(self) -> None:
    if self._to:
      self._to.close()


@contextlib.contextmanager
def _turning_off() -> Iterator[None]:
  """Replaces any error in the context by an OSError, which ends no run."""
  try:
    yield
  except Exception as error:
    raise OSError(errors.first_line(error)) from error


class WeightsAndBiases(Tracker):
  """A run of Weights & Biases, of the project WANDB_PROJECT or adapters_jax.

  Any error of the service turns it off, such as a missing login.
  """
  place, package = 'wandb', 'wandb'

  @_turning_off()
  def _begin(self, done: int) -> None:
    import wandb
    # The id continues the run of earlier sittings; 'create_new' allows several
    # runs at once, as in a vmapped group.
    self._to = wandb.init(
        project=os.environ.get('WANDB_PROJECT', 'adapters_jax'),
        id=self._name, name=os.path.basename(self._folder), dir=self._folder,
        config=dict(self._settings), resume='allow' if done else None,
        reinit='create_new')

  @_turning_off()
  def _add(self, step: int, values: Mapping[str, float]) -> None:
    self._to.log(dict(values), step=step)

  @_turning_off()
  def _end(self) -> None:
    if self._to:
      self._to.finish()


TRACKERS: dict[str, type[Tracker]] = {
    'jsonl': JsonLines, 'tensorboard': TensorBoard, 'wandb': WeightsAndBiases}


def names(text: str) -> tuple[str, ...]:
  """Returns the names in the setting `track`.

  Args:
    text: Names with commas; '' for none.

  Raises:
    errors.UserError: an unknown name, or one whose package is missing.
  """
  # Twice the same would write twice to one file.
  found = tuple(dict.fromkeys(options.names(text)))
  for name in found:
    if name not in TRACKERS:
      raise errors.unknown('`track`', name, TRACKERS)
    if TRACKERS[name].package:
      with errors.within(f'`track={name}`'):
        extras.demand('track', TRACKERS[name].package)
  return found


@contextlib.contextmanager
def of_runs(
    text: str, runs: Iterable[tuple[str, dict[str, Any]]]
) -> Iterator[list[list[Tracker]]]:
  """Yields the trackers of each run, and ends them; [] without.

  Args:
    text: Setting `track`.
    runs: (workdir, settings without places) of each run.
  """
  chosen = names(text)
  with contextlib.ExitStack() as stack:
    found = [[TRACKERS[name](folder, identity.digest(settings), settings)
              for name in chosen] for folder, settings in runs if chosen]
    for one in itertools.chain(*found):
      stack.callback(one.end)
    yield found
