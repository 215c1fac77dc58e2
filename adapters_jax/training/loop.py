"""The training loop, which keeps the best tuned tree of a run."""

from collections.abc import Callable
import dataclasses
import math
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.training import steps as steps_lib


@flax.struct.dataclass
class Progress:
  """Resumable state of a run, or of a group with leading axes [runs, ...].

  Attributes:
    state: Training state.
    best: Copy of the tuned tree with the best dev score so far.
    best_score: float32, dev score of `best`; -inf before the first evaluation.
    best_step: int32, number of steps before that score.
  """
  state: steps_lib.TrainState
  best: trees.Tree
  best_score: jax.Array
  best_step: jax.Array


def init_progress(state: steps_lib.TrainState) -> Progress:
  """Returns the progress of a run that has not begun."""
  return Progress(  # Copied, as the step donates the buffers of `state`.
      state=state, best=jax.tree.map(jnp.copy, state.tuned),
      best_score=jnp.asarray(-jnp.inf, jnp.float32),
      best_step=jnp.zeros((), jnp.int32))


def steps_taken(progress: Progress) -> int:
  """Returns the steps of a run, or of every run of a group."""
  # [runs] for a group, whose runs are always at the same step.
  return int(np.asarray(progress.state.step).flat[0])


# Remedy for a training that diverges; ends messages.
REMEDY = ('try a lower `learning_rate`, a lower `init_scale`, or a longer '
          '`warmup`')


def demand_finite(
    step: int, values: dict[str, Any],
    rate_at: Callable[[int], float] = lambda step: math.nan,
) -> None:
  """Raises UserError if a step's loss or gradient norm is not finite.

  Args:
    step: Number of the step.
    values: {'loss', 'grad_norm'} of the step.
    rate_at: (step) -> learning rate, for the message.

  Raises:
    errors.UserError: names settings to change.
  """
  if not all(math.isfinite(value) for value in values.values()):
    raise errors.diverged(
        f'the loss is {values["loss"]:.4g} and the gradient norm '
        f'{values["grad_norm"]:.4g} at step {step}, with learning rate '
        f'{rate_at(step):.3g}: {REMEDY}')


def keep_best(progress: Progress, score: Any, step: int) -> Progress:
  """Copies the tuned tree to `best` if its dev score is higher.

  Args:
    progress: Progress of a run, or of a group, where each run has its own best.
    score: Dev score, or [runs] scores; NaN is never better.
    step: Number of steps taken.

  Returns:
    The new progress.
  """
  # Compare in float32, the type of the saved score: a float64 that ties with
  # the best score would win or lose by rounding.
  better = np.asarray(score, np.float32) > np.asarray(progress.best_score)
  if not better.any():
    return progress

  def choose(new, old):  # Never `new` itself, whose buffer is donated.
    if better.all():
      return jnp.copy(new)
    # [runs, 1, ...], to broadcast against leaves [runs, ...].
    shape = better.shape + (1,) * (jnp.ndim(new) - better.ndim)
    return jnp.where(better.reshape(shape), new, old)

  return dataclasses.replace(
      progress,
      best=jax.tree.map(choose, progress.state.tuned, progress.best),
      best_score=choose(
          jnp.full_like(progress.best_score, score), progress.best_score),
      best_step=choose(
          jnp.full_like(progress.best_step, step), progress.best_step))


@dataclasses.dataclass(frozen=True)
class Hooks:
  """Callbacks of the training loop.

  Attributes:
    evaluate: (tuned, step) -> dev score, or [runs] scores; larger is better.
    save: Called with the progress after an evaluation, when `due`, and before
      a stop.
    due: (batch) -> whether to save before the step on this batch; with None,
      whether to save before an evaluation.
    check: Called with (step, {'loss', 'grad_norm'}) one step late, before
      `report`; an error that it raises ends the training.
    report: Called with the same; the values are numpy scalars, or [runs].
    stop: Called before every step; True saves the progress and stops.
    ended: Called before every step; True ends the training as its last step
      does.
  """
  evaluate: Callable[[trees.Tree, int], Any]
  save: Callable[[Progress], None] = lambda progress: None
  due: Callable[[steps_lib.Batch | None], bool] = lambda batch: False
  check: Callable[[int, dict[str, Any]], None] = demand_finite
  report: Callable[[int, dict[str, Any]], None] = lambda step, values: None
  stop: Callable[[], bool] = lambda: False
  ended: Callable[[], bool] = lambda: False


class _LateMetrics:
  """Reads the metrics of a step while the device computes the next one."""

  def __init__(self, hooks: Hooks):
    self._hooks = hooks
    self._pending: tuple[int, dict[str, Any]] | None = None

  def put(self, step: int, metrics: dict[str, Any]) -> None:
    """Reads the metrics of the step before, and keeps those of this one."""
    self.read()
    self._pending = step, metrics

  def read(self) -> None:
    """Waits for the kept metrics; checks and reports them."""
    if self._pending is not None:
      (step, metrics), self._pending = self._pending, None
      values = {name: np.asarray(value)[()] for name, value in metrics.items()}
      self._hooks.check(step, values)
      self._hooks.report(step, values)


def _scored(
    progress: Progress, hooks: Hooks, done: int, steps: int
) -> Progress:
  """Returns the progress after an evaluation, which is saved."""
  try:
    score = hooks.evaluate(progress.state.tuned, done)
  except errors.Interrupted as error:
    hooks.save(progress)
    raise errors.Interrupted(
        f'stopped in the evaluation after {done} of {steps} steps') from error
  progress = keep_best(progress, score, done)
  hooks.save(progress)
  return progress


def fit(
    train_step: Callable[..., Any], progress: Progress, base: trees.Tree,
    batch_at: Callable[[int], steps_lib.Batch], hooks: Hooks, *,
    steps: int, eval_every: int, evaluated: int = 0, pause: int = 0,
) -> Progress:
  """Trains to the last step and keeps the tuned tree with the best dev score.

  Args:
    train_step: Step of `steps.make_train_step`, for one run or for a group.
    progress: Progress to start from; its buffers are donated.
    base: Frozen tree.
    batch_at: (step) -> batch, a pure function.
    hooks: Evaluation, saving, reports and requests to stop.
    steps: Steps of the whole training.
    eval_every: Steps between evaluations; the last step is always evaluated.
    evaluated: Steps taken at the last evaluation. If `progress` was saved
      between a step and its evaluation, it is evaluated first.
    pause: Number of steps after which to save and return; 0 for none.

  Returns:
    Progress after the last step, at the pause, or where `hooks.ended`.

  Raises:
    errors.Interrupted: a stop was asked for; the progress is saved.
    errors.UserError: the loss is not finite; nothing later is saved.
  """
  late = _LateMetrics(hooks)

  def is_evaluated(done):
    return done % eval_every == 0 or done == steps

  first = steps_taken(progress)
  if evaluated < first and is_evaluated(first):
    progress = _scored(progress, hooks, first, steps)
  for step in range(first, min(steps, pause or steps)):
    if hooks.ended():
      break
    if hooks.stop():
      late.read()
      hooks.save(progress)
      raise errors.Interrupted(f'stopped after {step} of {steps} steps')
    batch = batch_at(step)
    if hooks.due(batch):
      late.read()  # Raises if the last step diverged, before anything is saved.
      hooks.save(progress)
    state, metrics = train_step(progress.state, base, batch)
    progress = dataclasses.replace(progress, state=state)
    late.put(step, metrics)
    if is_evaluated(step + 1):
      late.read()
      if hooks.due(None):
        hooks.save(progress)
      progress = _scored(progress, hooks, step + 1, steps)
  if steps_taken(progress) < steps:
    late.read()  # Raises if the last step diverged, before it is saved.
    hooks.save(progress)
  return progress
