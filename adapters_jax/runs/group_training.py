"""Trains a group of runs, and notes the losses, scores and failure of each."""

from collections.abc import Callable, Sequence
from concurrent import futures
import itertools
import logging
from typing import Any

import numpy as np

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.runs import allocator
from adapters_jax.runs import compiled
from adapters_jax.runs import console
from adapters_jax.runs import group as group_lib
from adapters_jax.runs import log as log_lib
from adapters_jax.runs import progress as progress_lib
from adapters_jax.runs import same_inputs
from adapters_jax.runs import saving
from adapters_jax.runs import signals
from adapters_jax.runs import sittings
from adapters_jax.runs import trackers as trackers_lib
from adapters_jax.runs.kinds import kind as kind_lib
from adapters_jax.training import loop
from adapters_jax.training import programs
from adapters_jax.training import resume as resume_lib
from adapters_jax.training import steps as steps_lib

_log = logging.getLogger(__name__)

Trackers = Sequence[trackers_lib.Tracker]  # Of a run.


def _load_ahead(
    group: group_lib.Group, train_step: Any, progress: loop.Progress, first: int
) -> futures.Executor | None:
  """Reads kept programs in the order of their first use in an epoch.

  Args:
    group: Runs.
    train_step: Step of `compiled.make_step`.
    progress: Progress of the runs.
    first: Number of the first step.

  Returns:
    The thread that reads them, None where none are kept.
  """
  if not isinstance(train_step, programs.Program):
    return None
  schedule = group.setup.schedule
  last = min(group.setup.steps, first + schedule.steps_per_epoch)
  numbers = {schedule.at(step).length: step
             for step in reversed(range(first, last))}
  return train_step.load_ahead(
      [(progress.state, group.setup.base, group_lib.group_batch(group, step))
       for step in sorted(numbers.values())])


class _Watch:
  """Callbacks of the training loop, which fill in the log of each run."""

  def __init__(
      self, group: group_lib.Group, score: kind_lib.Score, log: log_lib.Log,
      done: int, trackers: Sequence[Trackers]):
    self._group, self._score, self._runs_log = group, score, log
    self._trackers = trackers
    self._rates = [compiled.make_rate(config, group.setup.steps)
                   for config in group.configs]
    self._first: dict[int, int] = {}  # {length: its first step}
    self.meter = progress_lib.Meter(
        group.setup.steps, done, len(group) * group.configs[0].batch_size,
        group.setup.eval_every, log.evaluated())

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
                   for name, value in values.items()}, self._rates[i])
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
    allocator.release_excess()  # Kept blocks that this step's did not fit.
    losses = np.atleast_1d(values['loss'])  # [runs]
    for i, run in self._runs_log.training():
      run.losses.append(float(losses[i]))
      if self._trackers:
        self._track(i, step + 1, {
            'train/learning_rate': self._rates[i](step),
            **{f'train/{name}': np.atleast_1d(value)[i]
               for name, value in values.items()}})
    if training := self._runs_log.training():
      self.meter.update(
          float(np.mean([losses[i] for i, _ in training])),
          lambda: max(rate(step) for rate in self._rates),
          # The next step is already dispatched when this one is read.
          any([self._is_first(one) for one in (step, step + 1)]))

  def _track(self, i: int, step: int, values: dict[str, Any]) -> None:
    """Passes numbers of a run to its trackers."""
    for one in self._trackers[i] if self._trackers else ():
      one.add(step, {name: float(value) for name, value in values.items()})

  def _is_first(self, step: int) -> bool:
    """Returns whether no earlier step of this process had a step's length."""
    length = self._group.setup.schedule.at(step).length
    return self._first.setdefault(length, step) == step

  def evaluate(self, tuned: trees.Tree, step: int) -> Any:
    """Returns the dev score of a run, or [runs] scores; -inf if it has ended.

    Args:
      tuned: Tuned tree, [runs, ...] for several.
      step: Steps taken.

    Raises:
      errors.UserError: outputs that are not finite, of the last run left.
    """
    with self.meter.evaluation(step):
      return self._evaluate(tuned, step)

  def _evaluate(self, tuned: trees.Tree, step: int) -> Any:
    """Returns the scores; arguments as for `evaluate`."""
    task = self._group.setup.task
    scores = np.full(len(self._group), -np.inf)  # Never the best of a run.
    # Score all runs before any entry: a stop in between must leave no trace.
    found, last, failures = {}, {}, {}
    for i, run in self._runs_log.training():
      one = self._group.take(tuned, i)
      try:
        found[i] = self._score(one, 'dev')
        if self._patience_ends(i, found[i][0]):
          last[i] = self._last(one)
      except steps_lib.NotFinite as error:
        failures[i] = errors.diverged(
            f'dev {error}; after step {step}: {loop.REMEDY}')
    for i, failure in failures.items():
      self._fail(i, failure)
    for i, run in self._runs_log.training():
      dev, predictions = found[i]
      entry = run.add_evaluation(
          step, dev, predictions, self._group.setup.splits['dev'].labels, task)
      self._track(i, step, {f'dev/{one}': dev[one] for one in dev})
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
    # Now, as the group's state changes while its other runs continue.
    return {split: self._score(tuned, split)[0]
            for split in self._group.setup.scored_splits() if split != 'dev'}


Start = tuple[loop.Progress, log_lib.Log]


def _start(
    group: group_lib.Group, resume: resume_lib.Resume | None,
    joined: Callable[[], Start | None],
) -> Start:
  """Returns the progress and log from which a group trains.

  Args:
    group: Runs.
    resume: Saved states, None to ignore them.
    joined: Builds the start from states that the runs saved individually; used
      if the group has no saved state.

  Raises:
    errors.UserError: a state of other data, of another computation or base.
  """
  progress = group_lib.initial(group)
  inputs = same_inputs.of_group(group)

  def check(progress, extra):
    # Of the runs still in training only: the others may have diverged.
    for i, _ in log_lib.Log.from_json(extra).training():
      resume_lib.demand_finite_weights(group.take(progress, i))

  saved = resume.restore(progress, check) if resume else None
  start = joined() if resume is None or saved is None else (
      saved[0], same_inputs.continued(
          log_lib.Log.from_json(saved[1]), inputs, resume.folder))
  if not start:
    return progress, log_lib.Log(
        [log_lib.RunLog() for _ in group.configs], inputs=inputs)
  _log.info('continuing from step %d', loop.steps_taken(start[0]))
  return start


def train_group(
    group: group_lib.Group, kind: kind_lib.Kind, score: kind_lib.Score, *,
    state_folder: str = '', restore: bool = False, pause: int = 0,
    stop: signals.Stop,
    joined: Callable[[], Start | None] = lambda: None,
    trackers: Sequence[Trackers] = (),
    ended: Callable[[], bool] = lambda: False,
) -> Start:
  """Trains a group to its last step, or to a pause.

  Args:
    group: Runs.
    kind: Kind of their task.
    score: Score of `kind.make_score`.
    state_folder: Folder of the resumable state; '' saves none.
    restore: Whether to continue from a saved state, if there is one.
    pause: Number of steps after which to save and return; 0 for none.
    stop: Requests to stop the training.
    joined: Builds the start of a group from states that its runs saved
      individually, None without them; used if the group has no saved state.
    trackers: Trackers of each run, () for none.
    ended: Called before every step; True ends the training as its last step
      does, but without its evaluation.

  Returns:
    Progress, with leaves [runs, ...] for several runs, and the log.

  Raises:
    errors.Interrupted: `stop` returned True; the state is saved.
    errors.UserError: the loss of the only run is not finite, or the state is
      of other data, of another computation or base.
  """
  setup = group.setup
  loss = kind.loss_of(group.configs[0], setup)
  _, train_step = compiled.make_step(
      group.configs[0], setup, loss, len(group))
  resume = resume_lib.Resume(state_folder) if state_folder else None
  progress, log = _start(group, resume if restore else None, joined)
  first = loop.steps_taken(progress)
  if resume:
    sittings.add(log, first)
  watch = _Watch(group, score, log, first, trackers)
  saver = saving.Saver(
      resume, log, progress, group.configs[0].save_minutes, stop)
  hooks = loop.Hooks(
      watch.evaluate, saver.save, saver.due, watch.check, watch.report, stop,
      ended=lambda: not log.training() or ended())
  ahead = _load_ahead(group, train_step, progress, first)
  try:
    for one in itertools.chain(*trackers):
      one.begin(first)
    progress = loop.fit(
        saver.counted(train_step), progress, setup.base,
        lambda step: group_lib.group_batch(group, step), hooks,
        steps=setup.steps, eval_every=setup.eval_every,
        evaluated=log.evaluated(), pause=pause)
  except errors.UserError:
    if log.alive() or len(group) == 1:
      raise  # A group reports its failures run by run.
    # All runs failed: nobody reads `progress`, whose buffers were donated.
  finally:
    if ahead:
      ahead.shutdown(cancel_futures=True)
    watch.meter.close()
    if resume:
      resume.close()
  return progress, log
