"""The jitted steps, and the loop that keeps the best of a run."""

from collections.abc import Callable, Mapping
import functools
import math
from typing import Any

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from adapters_jax import options
from adapters_jax import trees

Batch = Mapping[str, np.ndarray]


@flax.struct.dataclass
class TrainState:
  """What a training step changes.

  Attributes:
    step: int32, steps taken.
    tuned: The partial tree that is trained.
    opt_state: Of the optimizer, over `tuned` alone.
    rng: Random key of the run; a step folds its number into it.
  """
  step: jax.Array
  tuned: trees.Tree
  opt_state: optax.OptState
  rng: jax.Array


@flax.struct.dataclass
class Progress:
  """Everything a run needs to go on: saved for resuming.

  Attributes:
    state: The training state.
    best: Copy of the tuned tree with the best dev score so far.
    best_score: float32, its score; -inf before the first evaluation.
    best_step: int32, the steps it had taken.
  """
  state: TrainState
  best: trees.Tree
  best_score: jax.Array
  best_step: jax.Array


class Interrupted(Exception):
  """A run was asked to stop and has saved what it had."""


def init_state(
    tuned: trees.Tree, tx: optax.GradientTransformation, rng: jax.Array
) -> TrainState:
  """Returns the state before the first step; copies `tuned`."""
  tuned = jax.tree.map(jnp.copy, tuned)  # The step donates its state.
  return TrainState(
      step=jnp.zeros((), jnp.int32), tuned=tuned, opt_state=tx.init(tuned),
      rng=jnp.copy(rng))


def init_progress(state: TrainState) -> Progress:
  """Returns the progress of a run that has not begun."""
  return Progress(
      state=state, best=jax.tree.map(jnp.copy, state.tuned),
      best_score=jnp.asarray(-jnp.inf, jnp.float32),
      best_step=jnp.zeros((), jnp.int32))


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """Returns [batch] losses of logits [batch, classes], labels [batch] int."""
  return optax.softmax_cross_entropy_with_integer_labels(
      logits, labels.astype(jnp.int32))


def squared_error(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """Returns [batch] losses of scores [batch, 1], labels [batch] float."""
  return jnp.square(logits[:, 0] - labels)


def inputs(batch: Batch) -> dict[str, Any]:
  """Returns what of a batch a model reads."""
  return {name: value for name, value in batch.items()
          if name not in ('labels', 'weights')}


def make_train_step(
    model: nn.Module, tx: optax.GradientTransformation,
    loss_fn: Callable[[jax.Array, jax.Array], jax.Array],
    *,
    accumulate: int = 1,
    shardings: Any = None,
    grouped: bool = False,
) -> Callable[..., tuple[TrainState, dict[str, jax.Array]]]:
  """Returns train_step(state, base, batch) -> (state, metrics), jitted.

  The state is donated. `base` is neither differentiated nor changed. The batch
  has tokens and segments [batch, length] int32 (or hidden [batch, length, dim],
  see `frozen`), mask [batch, length] bool, labels [batch], and weights [batch]
  float32, zero for filler examples.

  Args:
    model: Its `apply` returns [batch, outputs] logits.
    tx: The optimizer of the state.
    loss_fn: (logits [batch, outputs], labels [batch]) -> losses [batch].
    accumulate: Parts that a batch is computed in, one after the other. The
      gradient is that of the whole batch, but for the bits of the dropout.
    shardings: (of the state, of the metrics) on several devices, else None.
    grouped: Whether the step is that of a group of runs on one base: state,
      batch and metrics then have a leading axis [runs, ...].
  """

  @jax.value_and_grad
  def grad_of(tuned, base, batch, rng, total):
    logits = model.apply(
        {'params': trees.overlay(base, tuned)}, **inputs(batch), train=True,
        rngs={'dropout': rng})
    losses = loss_fn(logits, batch['labels'])  # [batch]
    return jnp.sum(batch['weights'] * losses) / total

  def train_step(state, base, batch):
    rng = jax.random.fold_in(state.rng, state.step)
    # The weight of the whole batch: its parts may differ in filler examples.
    total = jnp.sum(batch['weights'])

    def add_part(sums, part):
      number, batch = part
      new = grad_of(
          state.tuned, base, batch, jax.random.fold_in(rng, number), total)
      return jax.tree.map(jnp.add, sums, new), None

    if accumulate == 1:
      loss, grads = grad_of(state.tuned, base, batch, rng, total)
    else:
      (loss, grads), _ = jax.lax.scan(
          add_part, jax.tree.map(jnp.zeros_like, (total, state.tuned)),
          (jnp.arange(accumulate), _in_parts(batch, accumulate)))
    updates, opt_state = tx.update(grads, state.opt_state, state.tuned)
    state = state.replace(
        step=state.step + 1, opt_state=opt_state,
        tuned=optax.apply_updates(state.tuned, updates))
    return state, {'loss': loss, 'grad_norm': optax.tree.norm(grads)}

  if grouped:
    train_step = jax.vmap(train_step, in_axes=(0, None, 0))
  return jax.jit(train_step, donate_argnums=0, out_shardings=shardings)


def _in_parts(batch: Batch, parts: int) -> dict[str, jax.Array]:
  """Returns arrays [parts, batch / parts, ...], part i of rows i, i + parts, ..

  So every device finds its share of each part among its own rows.
  """
  return {
      name: value.reshape(-1, parts, *value.shape[1:]).swapaxes(0, 1)
      for name, value in batch.items()}


def make_eval_step(
    model: nn.Module, *, shardings: Any = None
) -> Callable[..., jax.Array]:
  """Returns eval_step(base, tuned, batch) -> [batch, outputs], jitted.

  Args:
    model: Its `apply` returns [batch, outputs] logits.
    shardings: Of the result on several devices, else None.
  """

  @functools.partial(jax.jit, out_shardings=shardings)
  def eval_step(base, tuned, batch):
    return model.apply({'params': trees.overlay(base, tuned)}, **inputs(batch))

  return eval_step


def predict(
    eval_step: Callable[..., jax.Array], base: trees.Tree, tuned: trees.Tree,
    batches: list[tuple[np.ndarray, Batch]], examples: int,
) -> np.ndarray:
  """Returns the logits of a split, every example exactly once, in its order.

  Args:
    eval_step: Of `make_eval_step`.
    base: The frozen tree.
    tuned: The tuned tree.
    batches: (rows, batch): batch row i is example rows[i]; rows beyond
      len(rows) are filler.
    examples: How many examples the split has.

  Returns:
    [examples, outputs] float32.
  """
  logits, seen = None, np.zeros(examples, np.int32)
  for rows, batch in batches:
    out = np.asarray(eval_step(base, tuned, batch))
    if logits is None:
      logits = np.zeros((examples, out.shape[-1]), np.float32)
    logits[rows] = out[:len(rows)]
    np.add.at(seen, rows, 1)
  if logits is None or not np.all(seen == 1):
    raise ValueError('the batches do not hold every example exactly once')
  return logits


def steps_taken(progress: Progress) -> int:
  """Returns the steps of a run, or of every run of a group."""
  return int(np.asarray(progress.state.step).flat[0])


def demand_finite(step: int, values: dict[str, Any], rate: float) -> None:
  """Raises UserError if a step's loss or gradient norm is not finite."""
  if not all(math.isfinite(value) for value in values.values()):
    raise options.UserError(
        f'the loss is {values["loss"]:.4g} and the gradient norm '
        f'{values["grad_norm"]:.4g} at step {step}, with learning rate '
        f'{rate:.3g}: try a lower --learning_rate, a lower '
        '--init_scale, or a longer --warmup')


def keep_best(progress: Progress, score: Any, step: int) -> Progress:
  """Returns the progress with its tuned tree as the best where it is better.

  Args:
    progress: Of a run, or of a group with leading axes [runs, ...].
    score: The dev score, or [runs] scores.
    step: The steps taken.
  """
  before = np.asarray(progress.best_score).astype(np.float64)
  better = np.asarray(score, np.float64) > before
  if not better.any():
    return progress

  def choose(new, old):  # Never `new` itself, whose buffer is donated.
    if better.all():
      return jnp.copy(new)
    shape = better.shape + (1,) * (jnp.ndim(new) - better.ndim)
    return jnp.where(better.reshape(shape), new, old)

  return progress.replace(
      best=jax.tree.map(choose, progress.state.tuned, progress.best),
      best_score=choose(
          jnp.full_like(progress.best_score, score), progress.best_score),
      best_step=choose(
          jnp.full_like(progress.best_step, step), progress.best_step))


def fit(
    train_step: Callable[..., Any], progress: Progress, base: trees.Tree,
    batch_at: Callable[[int], Batch], *,
    steps: int,
    eval_every: int,
    evaluate: Callable[[trees.Tree, int], Any],
    save: Callable[[Progress], None],
    report: Callable[[int, dict[str, Any]], None] = lambda step, values: None,
    stop: Callable[[], bool] = lambda: False,
    rate_at: Callable[[int], float] = lambda step: float('nan'),
    check: Callable[[int, dict[str, Any], float], None] = demand_finite,
) -> Progress:
  """Trains to `steps`, evaluates on the way, keeps the best tuned tree.

  Args:
    train_step: Of `make_train_step`, and for a group if it is one.
    progress: Where to go on from; its buffers are donated.
    base: The frozen tree.
    batch_at: The batch of each step, a pure function of its number.
    steps: The step to end at.
    eval_every: Evaluate after every so many steps, and at the end.
    evaluate: (tuned, step) -> the dev score (of each run), larger is better.
    save: Called with the progress after an evaluation and when stopped.
    report: Called with (step, {'loss', 'grad_norm'}) one step behind; the
      values are numpy scalars, or [runs] arrays.
    stop: Asked before every step.
    rate_at: The learning rate of a step, for the message.
    check: Called with (step, values, rate) before `report`; what it raises
      ends the training.

  Returns:
    The progress at the end.

  Raises:
    Interrupted: `stop` said so; the progress is saved.
    options.UserError: the loss is not finite; nothing later is saved.
  """
  pending = None  # Metrics of the step before, so that the device stays busy.

  def settle():
    if pending is None:
      return
    step, metrics = pending
    values = {name: np.asarray(value)[()] for name, value in metrics.items()}
    check(step, values, rate_at(step))
    report(step, values)

  for step in range(steps_taken(progress), steps):
    if stop():
      settle()
      save(progress)
      raise Interrupted(f'stopped after {step} of {steps} steps')
    state, metrics = train_step(progress.state, base, batch_at(step))
    progress = progress.replace(state=state)
    settle()
    pending = step, metrics
    done = step + 1
    if done % eval_every == 0 or done == steps:
      settle()
      pending = None
      progress = keep_best(progress, evaluate(state.tuned, done), done)
      save(progress)
  return progress
