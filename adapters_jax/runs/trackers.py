"""Trackers: losses and scores of a run while it trains, for other programs."""

from collections.abc import Mapping
import contextlib
import json
import os
import shutil
from typing import Any

from adapters_jax import errors
from adapters_jax.downloads import atomic
from adapters_jax.runs import extras


class Tracker:
  """Receives the numbers of a run; this one forgets them.

  Attributes:
    place: File or folder that it makes in the workdir.
    package: Package that it needs.
  """
  place: str = ''
  package: str = ''

  def __init__(self, folder: str, name: str, settings: Mapping[str, Any]):
    """Keeps the run; writes nothing.

    Args:
      folder: Workdir of the run.
      name: Hash of its settings.
      settings: Its settings without places.
    """
    self._folder, self._name, self._settings = folder, name, settings
    self._path = os.path.join(folder, self.place)
    self._to: Any = None  # File, writer or run.

  def begin(self, done: int) -> None:
    """Starts a sitting of the run.

    Args:
      done: Steps that it has taken; numbers of later ones, from a sitting that
        was killed, are removed.
    """

  def add(self, step: int, values: Mapping[str, float]) -> None:
    """Adds numbers.

    Args:
      step: Steps taken.
      values: {name: number}, names as 'train/loss' or 'dev/accuracy'.
    """

  def end(self) -> None:
    """Ends the sitting."""


class JsonLines(Tracker):
  """A line of JSON for each call, in `metrics.jsonl`."""
  place = 'metrics.jsonl'

  def begin(self, done: int) -> None:
    kept = []
    with contextlib.suppress(OSError), open(
        self._path, encoding='utf-8') as file:
      for line in file:
        with contextlib.suppress(ValueError):  # A kill cut the last line.
          if json.loads(line)['step'] <= done:
            kept.append(line)
    with atomic.replacing(self._path) as file:
      file.write(''.join(kept if done else []).encode())
    # Line by line, for programs that follow the file.
    self._to = open(self._path, 'a', buffering=1, encoding='utf-8')

  def add(self, step: int, values: Mapping[str, float]) -> None:
    self._to.write(json.dumps({'step': step, **values}) + '\n')

  def end(self) -> None:
    if self._to:
      self._to.close()


class TensorBoard(Tracker):
  """TensorBoard's event files, in the folder `tensorboard`."""
  place, package = 'tensorboard', 'tensorboardX'

  def begin(self, done: int) -> None:
    import tensorboardX
    if not done:
      shutil.rmtree(self._path, ignore_errors=True)
    self._to = tensorboardX.SummaryWriter(
        self._path, purge_step=done + 1 if done else None)

  def add(self, step: int, values: Mapping[str, float]) -> None:
    for name, value in values.items():
      self._to.add_scalar(name, value, step)

  def end(self) -> None:
    if self._to:
      self._to.close()


class WeightsAndBiases(Tracker):
  """A run of Weights & Biases, of the project WANDB_PROJECT or adapters_jax."""
  place, package = 'wandb', 'wandb'

  def begin(self, done: int) -> None:
    import wandb
    # The same run in every sitting. Several at once, as in a vmapped group.
    self._to = wandb.init(
        project=os.environ.get('WANDB_PROJECT', 'adapters_jax'),
        id=self._name, name=os.path.basename(self._folder), dir=self._folder,
        config=dict(self._settings), resume='allow' if done else None,
        reinit='create_new')

  def add(self, step: int, values: Mapping[str, float]) -> None:
    self._to.log(dict(values), step=step)

  def end(self) -> None:
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
  found = tuple(part.strip() for part in text.split(',')) if text else ()
  for name in found:
    if name not in TRACKERS:
      raise errors.unknown('`track`', name, TRACKERS)
    if TRACKERS[name].package:
      with errors.within(f'`track={name}`'):
        extras.demand('track', TRACKERS[name].package)
  return found
