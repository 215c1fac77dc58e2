"""Runs that train together; a single run is a group of one.

One program trains several runs on one base: their states are stacked to
[runs, ...], the base is not. Runs of a group may differ in the fields of
`config.Config` marked 'vmapped'. Narrow adapters are padded with zeros, which
stay zeros since every activation has f(0) = 0, and are cut back when saved.

Every run keeps its own data order, dropout and best step. The batches of one
step must have one shape, so the sequence of their lengths depends on no setting
of the run (`batching.Schedule`). A grouped run therefore equals, up to
rounding, the same run in any other group or alone; its record notes the group.
"""

from collections.abc import Callable, Sequence
import dataclasses
import logging
from typing import Any

import jax
import numpy as np

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.data import class_weights
from adapters_jax.model import pretrained
from adapters_jax.runs import compiled
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import console
from adapters_jax.runs import frozen
from adapters_jax.runs import log as log_lib
from adapters_jax.runs import models
from adapters_jax.runs import padding
from adapters_jax.runs import progress as progress_lib
from adapters_jax.runs import saving
from adapters_jax.runs import setup as setup_lib
from adapters_jax.runs import signals
from adapters_jax.runs.kinds import kind as kind_lib
from adapters_jax.training import adapter_drop
from adapters_jax.training import loop
from adapters_jax.training import programs
from adapters_jax.training import resume as resume_lib
from adapters_jax.training import sharding
from adapters_jax.training import steps as steps_lib

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Group:
  """Runs to train together.

  Attributes:
    configs: Settings of each run.
    setup: Shared setup, with the model of the widest run.
    members: Setup of each run, at its own size.
    names: Name of each run in messages.
  """
  configs: tuple[config_lib.Config, ...]
  setup: setup_lib.Setup
  members: tuple[setup_lib.Setup, ...]
  names: tuple[str, ...] = ()

  def __len__(self) -> int:
    return len(self.configs)

  def first(self, runs: int) -> 'Group':
    """Returns the group of the first runs alone."""
    return dataclasses.replace(
        self, configs=self.configs[:runs], members=self.members[:runs],
        names=self.names[:runs])

  def take(self, tree: Any, index: int) -> Any:
    """Returns one run's part of a tree.

    Args:
      tree: Tree with leaves [runs, ...], or [...] for a single run.
      index: Index of the run.
    """
    if len(self) == 1:
      return tree
    return jax.tree.map(lambda leaf: leaf[index], tree)


def make_group(
    configs: Sequence[config_lib.Config], kind: kind_lib.Kind,
    mesh: jax.sharding.Mesh | None = None, names: Sequence[str] = (),
) -> Group:
  """Loads data and base once, and initialises every run at its own size.

  Args:
    configs: Settings of each run.
    kind: Kind of their task.
    mesh: Devices; the first one alone when None.
    names: Name of each run in messages.
  """
  configs = tuple(configs)
  # The widest run gives the shapes to which all others are padded.
  setup = kind.prepare(max(configs, key=lambda c: c.adapter_size), mesh)
  if len(configs) == 1:
    return Group(configs, setup, (setup,), tuple(names))
  shape = setup.model.config
  # The whole base again: that of `setup` lacks the tuned leaves.
  folder = pretrained.resolve(configs[0].checkpoint)
  base = models.load_base(configs[0], folder, kind.head_of(configs[0]))
  base = trees.overlay(base, frozen.of(configs[0]).tuned)
  note = (f'trained as one of {len(configs)} runs of one program: times are '
          'its share')
  members = []
  for config in configs:
    model = setup.model.clone(config=dataclasses.replace(
        shape, adapters=models.adapter_configs(config, shape.layers),
        first_layer=0))  # Adapters of a cached layer are initialised too.
    tuned, params = models.init_tuned(
        model, base, setup.select, config.seed, folder)
    members.append(dataclasses.replace(
        setup, model=model, tuned=tuned, params=params,
        schedule=dataclasses.replace(
            setup.schedule, seed=config.seed, class_weights=class_weights.of(
                config.class_weights, setup.task.labels,
                setup.splits['train'].labels)),
        notes=(*setup.notes, note)))
  return Group(configs, setup, tuple(members), tuple(names))


def initial(group: Group) -> loop.Progress:
  """Returns the progress before the first step, [runs, ...] for several."""
  setup = group.setup

  def one(config, tuned):
    return loop.init_progress(compiled.initial_state(
        config, compiled.optimizer_of(config, setup), tuned))

  # `tuned` is an argument: in a closure it would be a constant of the program.
  if len(group) == 1:
    return sharding.create(
        setup.mesh, lambda tuned: one(group.configs[0], tuned), setup.tuned)
  return sharding.create(  # [runs, ...]; each state holds its run's own rate.
      setup.mesh,
      lambda tuned: trees.stack(map(one, group.configs, tuned)),
      [padding.widen(member.tuned, setup.tuned) for member in group.members])


def group_batch(group: Group, step: int) -> dict[str, Any]:
  """Returns the arrays [batch, ...] of a step, [runs, batch, ...] for several.

  Args:
    group: Runs.
    step: Number of the step.
  """
  batches = [member.schedule.batch(step) for member in group.members]
  if len(batches) == 1:
    batch: dict[str, Any] = sharding.place_batch(
        group.setup.mesh, batches[0], group.configs[0].batch_size)
  else:
    batch = sharding.place_group(group.setup.mesh, batches)
  if choices := group.configs[0].dropped_layers:
    batch = {**batch, compiled.DROPPED: np.arange(
        adapter_drop.number_at(choices, step))}
  return batch


def _load_ahead(
    group: Group, train_step: Any, progress: loop.Progress, first: int
) -> None:
  """Reads kept programs in the order of their first use in an epoch.

  Args:
    group: Runs.
    train_step: Step of `compiled.make_step`.
    progress: Progress of the runs.
    first: Number of the first step.
  """
  if not isinstance(train_step, programs.Program):
    return
  schedule = group.setup.schedule
  last = min(group.setup.steps, first + schedule.steps_per_epoch)
  numbers = {schedule.at(step).length: step
             for step in reversed(range(first, last))}
  train_step.load_ahead(
      [(progress.state, group.setup.base, group_batch(group, step))
       for step in sorted(numbers.values())])


class _Watch:
  """The loop's view of a group: losses in, scores out, failures noted."""

  def __init__(
      self, group: Group, score: kind_lib.Score, log: log_lib.Log, done: int):
    self._group, self._score, self._runs_log = group, score, log
    self._rates = [compiled.make_rate(config, group.setup.steps)
                   for config in group.configs]
    self.meter = progress_lib.Meter(
        group.setup.steps, done, len(group) * group.configs[0].batch_size)

  def check(self, step: int, values: dict[str, Any]) -> None:
    """Notes runs whose loss is not finite; raises when none is left.

    Args:
      step: Number of the step.
      values: {'loss', 'grad_norm'}: scalars of one run, or [runs].
    """
    for i, run in self._runs_log.training():
      try:
        loop.demand_finite(
            step, {name: np.atleast_1d(value)[i]
                   for name, value in values.items()}, self._rates[i](step))
      except errors.UserError as error:
        self._fail(i, error)

  def _fail(self, i: int, error: errors.UserError) -> None:
    """Notes that a run has failed; raises when none is left."""
    self._runs_log.runs[i].failed = str(error)
    if len(self._group) > 1:
      _log.info('failed: %s: %s', self._group.names[i], error)
    if not self._runs_log.alive():
      raise error

  def report(self, step: int, values: dict[str, Any]) -> None:
    """Keeps the losses of a step and counts it; values as for `check`."""
    losses = np.atleast_1d(values['loss'])  # [runs]
    for i, run in self._runs_log.training():
      run.losses.append(float(losses[i]))
    if training := self._runs_log.training():
      self.meter.update(float(np.mean([losses[i] for i, _ in training])),
                        max(rate(step) for rate in self._rates))

  def evaluate(self, tuned: trees.Tree, step: int) -> Any:
    """Returns the dev score of a run, or [runs] scores; -inf if it has ended.

    Args:
      tuned: Tuned tree, [runs, ...] for several.
      step: Steps taken.

    Raises:
      errors.UserError: outputs that are not finite, of the last run left.
    """
    task = self._group.setup.task
    scores = np.full(len(self._group), -np.inf)  # Never the best of a run.
    # All before the first entry: a stop in between must leave no trace.
    found, last, failures = {}, {}, {}
    for i, run in self._runs_log.training():
      one = self._group.take(tuned, i)
      try:
        found[i] = self._score(one, 'dev')
        if self._patience_ends(i, found[i][0]):
          last[i] = self._last(one)
      except steps_lib.NotFinite as error:
        failures[i] = errors.UserError(
            f'dev {error}; after step {step}: {loop.REMEDY}')
    for i, failure in failures.items():
      self._fail(i, failure)
    for i, run in self._runs_log.training():
      dev, predictions = found[i]
      entry = run.add_evaluation(step, dev, predictions, task)
      name = f'{self._group.names[i]}: ' if len(self._group) > 1 else ''
      _log.info('step %d: %sloss %.4f; dev %s', step, name, entry['loss'],
                console.percent(dev))
      scores[i] = dev[task.metrics[0]]
      if i in last:
        run.stopped, run.last = step, {'dev': dev, **last[i]}
        _log.info('%sstopped after step %d of %d: no better dev score in %d '
                  'evaluations', name, step, self._group.setup.steps,
                  self._group.configs[i].patience)
    return scores if len(self._group) > 1 else scores[0]

  def _patience_ends(self, i: int, dev: dict[str, float]) -> bool:
    """Returns whether an evaluation of a run is its last."""
    patience = self._group.configs[i].patience
    metric = self._group.setup.task.metrics[0]
    return bool(patience) and patience <= log_lib.since_best(
        [*(entry['dev'][metric] for entry in self._runs_log.runs[i].history),
         dev[metric]])

  def _last(self, tuned: trees.Tree) -> dict[str, dict[str, float]]:
    """Returns the scores of a run's last step on other splits than dev."""
    # At once: other runs of the group, and so its state, may continue.
    return {split: self._score(tuned, split)[0]
            for split in self._group.setup.scored_splits() if split != 'dev'}


def train_group(
    group: Group, kind: kind_lib.Kind, score: kind_lib.Score, *,
    state_folder: str = '', restore: bool = False, pause: int = 0,
    stop: signals.Stop,
    joined: Callable[[], tuple[loop.Progress, log_lib.Log] | None] = (
        lambda: None),
) -> tuple[loop.Progress, log_lib.Log]:
  """Trains a group to its last step, or to a pause.

  Args:
    group: Runs.
    kind: Kind of their task.
    score: Score of `kind.make_score`.
    state_folder: Folder of the resumable state; '' saves none.
    restore: Whether to continue from a saved state, if there is one.
    pause: Number of steps after which to save and return; 0 for none.
    stop: Requests to stop the training.
    joined: Makes the start of a group out of states that its runs saved alone,
      None without them; used if the group has no saved state.

  Returns:
    Progress, with leaves [runs, ...] for several runs, and the log.

  Raises:
    errors.Interrupted: `stop` returned True; the state is saved.
    errors.UserError: the loss of the only run is not finite.
  """
  setup = group.setup
  loss = kind.loss_of(group.configs[0], setup)
  _, train_step = compiled.make_step(
      group.configs[0], setup, loss, len(group))
  progress, log = initial(group), log_lib.new(len(group))
  resume = resume_lib.Resume(state_folder) if state_folder else None

  def check(progress, extra):
    # Others have diverged, or may have since patience stopped them.
    for i, _ in log_lib.Log.from_json(extra).training():
      resume_lib.demand_finite_weights(group.take(progress, i))

  saved = resume.restore(progress, check) if restore and resume else None
  start = (saved[0], log_lib.Log.from_json(saved[1])) if saved else joined()
  if start:
    progress, log = start
    _log.info('continuing from step %d', loop.steps_taken(progress))
  first = loop.steps_taken(progress)
  _load_ahead(group, train_step, progress, first)
  watch = _Watch(group, score, log, first)
  saver = saving.Saver(
      resume, log, progress, group.configs[0].save_minutes, stop)
  hooks = loop.Hooks(
      watch.evaluate, saver.save, saver.due, watch.check, watch.report, stop,
      ended=lambda: not log.training())
  try:
    progress = loop.fit(
        saver.counted(train_step), progress, setup.base,
        lambda step: group_batch(group, step), hooks, steps=setup.steps,
        eval_every=setup.eval_every, evaluated=log.evaluated(), pause=pause)
  except errors.UserError:
    if log.alive() or len(group) == 1:
      raise  # A group reports its failures run by run.
    # All runs failed: nobody reads `progress`, whose buffers were donated.
  finally:
    watch.meter.close()
    if resume:
      resume.close()
  return progress, log
