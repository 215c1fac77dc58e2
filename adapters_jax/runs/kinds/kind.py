"""Kind of task: the hooks in which runs of different tasks differ."""

from collections.abc import Callable, Iterable, Mapping, Sequence
import dataclasses
import functools
from typing import Any

import numpy as np

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.data import tasks
from adapters_jax.model import heads
from adapters_jax.runs import compiled
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import identity
from adapters_jax.runs import options
from adapters_jax.runs import setup as setup_lib

# {mark of settings: the only tasks that read them}
_OF_KINDS = {'embeddings': 'sentence embeddings',
             'texts': 'masked language modelling'}
# score(tuned, split) -> (metrics, predictions [examples])
Score = Callable[[trees.Tree, str], tuple[dict[str, float], np.ndarray]]
# {split: (texts of each input, their correct labels, scores or answers)}; None
# where those are unknown.
Inputs = Mapping[
    str, tuple[Sequence[tuple[str, ...]], Sequence[Any] | None]]


def labelled(
    setup: setup_lib.Setup, split: str, predictions: np.ndarray
) -> dict[str, np.ndarray]:
  """Returns the labels and predictions of a split, the default `outcomes`.

  Args:
    setup: Setup of the run.
    split: Name of the split.
    predictions: [examples] Classes or scores.
  """
  return {'labels': setup.splits[split].labels, 'predictions': predictions}


def check_no_cls_head(config: config_lib.Config) -> None:
  """Raises UserError for settings of heads on [CLS]."""
  for name, used in (('head_input', config.head_input != 'cls'),
                     ('cache_frozen', config.cache_frozen)):
    if used:
      raise errors.UserError(
          f'`{name}`: is for tasks with a head on [CLS]; leave it out')


def check_file_task(config: config_lib.Config, name: str, title: str) -> None:
  """Checks that the data are of the form of a kind of task.

  Args:
    config: Settings.
    name: Value of `file_task` that the kind needs.
    title: Name of the kind in the message.

  Raises:
    errors.UserError: another value.
  """
  if config.file_task != name:
    raise errors.UserError(
        f'`file_task={config.file_task}`: give `file_task={name}` for {title}')


def check_files_unread(
    config: config_lib.Config, names: Iterable[str], title: str
) -> None:
  """Checks settings of own data that a kind of task does not read.

  Args:
    config: Settings.
    names: Fields of Config.
    title: Name of the kind in the message.

  Raises:
    errors.UserError: a setting with another value than its default; names it.
  """
  for name in names:
    value = getattr(config, name)
    if value != getattr(config_lib.Config, name):
      raise errors.UserError(
          f'`{name}={value}`: is not for {title}; leave it out')


@dataclasses.dataclass(frozen=True)
class Kind:
  """Task-specific hooks of a run.

  Of their arguments `setup` is that of the run, `split` the name of a split,
  and `predictions` are those that the Score returns for it.

  Attributes:
    find: (name) -> task; UserError for a task of another kind.
    load: (config) -> {split: examples} of a task by name, or of the user's
      files; UserError for a fault of these.
    fingerprint: (examples) -> their number and hash, as in a record.
    prepare: (config, mesh or None) -> setup.
    make_score: (setup, batch size) -> Score.
    head_of: (config) -> head.
    outcomes: (setup, split, predictions) -> {name: [examples] numbers} to keep
      in a record, for statistics beyond the metrics.
    inputs: (config) -> {split: (texts of each input, correct labels or None)},
      without 'train'.
    threshold_of: (score, tuned) -> probability from which on a label is given;
      None for the most probable class.
    usage: Line that shows how to use the adapter in `{folder}`, or with the
      flags `{below}` that put it below another, printed at the end; '' for a
      call of `predict`.
    report: (setup, split, predictions) -> table to log at the end, '' for none.
    reads: Keys of `_OF_KINDS`: marks of settings that other kinds do not read.
    defaults: Defaults of settings, in place of those of Config.
    eval_batches: (setup, split, batch size) -> the batches that a Score of the
      split computes.
    drawn: Whether dev examples in memory were drawn from those for training.
    of_texts: Whether the labels are those of whole texts.
  """
  find: Callable[[str], tasks.Task]
  load: Callable[[config_lib.Config], Mapping[str, Any]]
  fingerprint: Callable[[Any], dict[str, Any]]
  prepare: Callable[..., setup_lib.Setup]
  make_score: Callable[[Any, int], Score]
  head_of: Callable[[config_lib.Config], heads.Head]
  outcomes: Callable[..., dict[str, np.ndarray]] = labelled
  inputs: Callable[[config_lib.Config], Inputs] = lambda config: {}
  threshold_of: Callable[[Any, trees.Tree], float | None] = (
      lambda score, tuned: None)
  usage: str = ''
  report: Callable[..., str] = lambda setup, split, predictions: ''
  reads: tuple[str, ...] = ()
  defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  eval_batches: Callable[[Any, str, int], compiled.Batches] = (
      compiled.eval_batches)
  drawn: bool = False
  of_texts: bool = False

  def of_data(self, data: Mapping[str, Any]) -> 'Kind':
    """Returns this kind for examples in memory.

    Args:
      data: {'train', 'dev' and perhaps 'test': examples}, passed to `prepare`.
    """
    return dataclasses.replace(
        self, prepare=functools.partial(self.prepare, data=data))

  def facts(self, config: config_lib.Config) -> setup_lib.Facts:
    """Returns the facts of the examples to train on and to score."""
    splits, _ = setup_lib.drawn(config, self.load(config))
    return {name: self.fingerprint(split) for name, split in splits.items()}

  def check_data(self, config: config_lib.Config) -> None:
    """Raises UserError for a fault of the user's files, before many runs."""
    if config.files:
      self.load(config)

  def check_settings(
      self, config: config_lib.Config, *, in_memory: bool = False
  ) -> None:
    """Checks that this kind of task reads every setting that was given.

    Args:
      config: Settings.
      in_memory: Whether the data are in memory, in place of files.

    Raises:
      errors.UserError: a setting of another kind of task or of another `tune`,
        or one of own data without own data; names it.
    """
    self.check_tuned([config])
    unread = {mark: title for mark, title in _OF_KINDS.items()
              if mark not in self.reads}
    if not config.files and not in_memory:
      unread['files'] = 'own data; give `train_file`'
    for mark, title in unread.items():
      for name in options.marked(config_lib.Config, mark):
        value = getattr(config, name)
        if value not in (getattr(config_lib.Config, name),
                         self.defaults.get(name)):
          raise errors.UserError(f'`{name}={value}`: is for {title}')

  def check_tuned(self, given: Iterable[config_lib.Config]) -> None:
    """Checks that every setting for one `tune` has a run that reads it.

    Args:
      given: Settings of the runs as a grid makes them, before
        `identity.without_unread`.

    Raises:
      errors.UserError: no run reads a setting; names it.
    """
    given = list(given)
    for name, tune in identity.OF_TUNE.items():
      if any(config.tune == tune for config in given):
        continue
      usual = getattr(config_lib.Config, name), self.defaults.get(name)
      for value in (getattr(config, name) for config in given):
        if value not in usual:
          raise errors.UserError(
              f'`{name}={value}`: is read by `tune={tune}` alone; give that, '
              'or leave it out')

  def loss_of(
      self, config: config_lib.Config, setup: setup_lib.Setup
  ) -> compiled.Loss:
    """Returns the loss of a run, (logits, labels) -> losses [batch].

    Args:
      config: Settings.
      setup: Setup of the run.

    Raises:
      errors.UserError: the head's loss takes no smoothed labels.
    """
    head = self.head_of(config)
    if not config.label_smoothing:
      return head.make_loss(setup.task.outputs)
    if head.make_smoothed is None:
      raise errors.UserError(
          f'`label_smoothing={config.label_smoothing}`: is not for such '
          'tasks; leave it out')
    return head.make_smoothed(config.label_smoothing)
