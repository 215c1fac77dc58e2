"""The jitted training and evaluation steps, and predictions with them."""

from collections.abc import Callable, Iterable, Mapping
import functools
from typing import Any

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.data import progress
from adapters_jax.model import precision
from adapters_jax.training import adapter_drop

Batch = Mapping[str, np.ndarray | jax.Array]


class NotFinite(errors.UserError):
  """Outputs of a model that are NaN or infinite.

  An argmax would silently read NaN as the first class.

  Attributes:
    row: Number of the first example with such an output.
  """
  row = 0


def not_finite(row: int, what: str = 'example') -> NotFinite:
  """Returns the error for the outputs of an example.

  Args:
    row: Number of the example.
    what: Kind of input that `row` counts.
  """
  error = NotFinite(
      f'{what} {row}: the outputs are not finite, so the weights of base or '
      'adapter are not, or too large')
  error.row = row  # An attribute, not an argument: errors are pickled.
  return error


@flax.struct.dataclass
class TrainState:
  """The values that a training step updates.

  Attributes:
    step: int32, number of steps taken.
    tuned: Partial tree that is trained.
    opt_state: State of the optimizer, for `tuned` alone.
    rng: Random key of the run; each step folds its number into it.
  """
  step: jax.Array
  tuned: trees.Tree
  opt_state: optax.OptState
  rng: jax.Array


def init_state(
    tuned: trees.Tree, tx: optax.GradientTransformation, rng: jax.Array
) -> TrainState:
  """Makes the state before the first step.

  Args:
    tuned: Partial tree to train; copied.
    tx: Optimizer.
    rng: Scalar random key of the run; copied.
  """
  # The step donates its state. Without copies the first step would delete the
  # caller's buffers, which may also be those of `base`. `jnp.asarray` and
  # `astype` to the same type do not copy.
  tuned = jax.tree.map(jnp.copy, tuned)
  return TrainState(
      step=jnp.zeros((), jnp.int32), tuned=tuned, opt_state=tx.init(tuned),
      rng=jnp.copy(rng))


def inputs(batch: Batch) -> dict[str, Any]:
  """Returns the arrays of a batch that are arguments of the model."""
  return {name: value for name, value in batch.items()
          if name not in ('labels', 'weights')}


def gradient_norm(grads: trees.Tree) -> jax.Array:
  """Returns the global L2 norm of the gradient of the trained leaves.

  This is the norm that the optimizer clips. It leaves out leaves of the roles
  in `trees.UNTRAINED`: the 'gradient' of running statistics is a difference of
  moments, and random projections are not trained.
  """
  trained, _ = trees.split(
      grads, lambda path: trees.role(path) not in trees.UNTRAINED)
  return optax.tree.norm(trained)


def _make_grad(model, loss_fn, penalty=None, layers_without=0):
  """Returns grad_of(tuned, base, batch, rng, total) -> (loss, gradient)."""

  @jax.value_and_grad
  def grad_of(tuned, base, batch, rng, total):
    used = tuned
    if layers_without:
      used, _ = trees.split(tuned, lambda path: adapter_drop.survives(
          path, layers_without))
    logits = model.apply(
        {'params': trees.overlay(base, used)}, **inputs(batch), train=True,
        rngs={'dropout': rng})
    losses = loss_fn(logits, batch['labels'])  # [batch]
    loss = jnp.sum(batch['weights'] * losses) / total
    return loss if penalty is None else loss + penalty(tuned)

  return grad_of


def make_train_step(
    model: nn.Module, tx: optax.GradientTransformation,
    loss_fn: Callable[[jax.Array, jax.Array], jax.Array],
    *,
    accumulate: int = 1,
    shardings: Any = None,
    grouped: bool = False,
    penalty: Callable[[trees.Tree], jax.Array] | None = None,
    layers_without: int = 0,
) -> Callable[..., tuple[TrainState, dict[str, jax.Array]]]:
  """Makes the jitted step that trains the tuned tree on one batch.

  Args:
    model: Module whose `apply` returns [batch, outputs] logits.
    tx: Optimizer of the state.
    loss_fn: (logits [batch, outputs], labels [batch]) -> losses [batch].
    accumulate: Number of equal parts of a batch, computed one after another.
      Only the bits of the dropout differ from the whole batch.
    shardings: (shardings of the state, sharding of the metrics) on several
      devices; None on one.
    grouped: Whether state, batch and metrics have a leading axis [runs, ...].
    penalty: (tuned tree) -> addend to the loss, None for none.
    layers_without: Number of lowest layers without adapters; if above 0, `base`
      must hold the pretrained norms.

  Returns:
    train_step(state, base, batch) -> (state, metrics). It donates `state`, and
    neither differentiates nor changes `base`. `batch` has tokens and segments
    [batch, length] int32 (or hidden [batch, length, dim] float32, see
    `frozen_cache`), mask [batch, length] bool, labels [batch], and weights
    [batch] float32, which are 0 for filler rows. `metrics` has the float32
    scalars 'loss', the weighted mean, and 'grad_norm', before clipping.
  """
  if grouped:
    model = precision.under_vmap(model)
  grad_of = _make_grad(model, loss_fn, penalty and (
      lambda tuned: penalty(tuned) / accumulate), layers_without)

  def train_step(state, base, batch):
    # Folded, not split, so that a resumed run draws the same bits.
    rng = jax.random.fold_in(state.rng, state.step)
    # The weight of the whole batch: its parts may differ in filler rows.
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
    return _updated(tx, state, loss, grads)

  if grouped:
    train_step = jax.vmap(train_step, in_axes=(0, None, 0))
  # Donation works in the outermost jit only: within another jit it is lost.
  return jax.jit(train_step, donate_argnums=0, out_shardings=shardings)


def _updated(tx, state, loss, grads):
  """Returns (state after an update, metrics of the step)."""
  updates, opt_state = tx.update(grads, state.opt_state, state.tuned)
  state = state.replace(
      step=state.step + 1, opt_state=opt_state,
      tuned=optax.apply_updates(state.tuned, updates))
  return state, {'loss': loss, 'grad_norm': gradient_norm(grads)}


def _in_parts(batch: Batch, parts: int) -> Batch:
  """Cuts a batch in parts of rows i, i + parts, i + 2 * parts, ...

  Strided, so that each device has its share of every part among its own rows.

  Args:
    batch: Arrays [batch, ...].
    parts: Number of parts, a divisor of the batch.

  Returns:
    Arrays [parts, batch / parts, ...].
  """
  return {
      name: value.reshape(-1, parts, *value.shape[1:]).swapaxes(0, 1)
      for name, value in batch.items()}


def make_eval_step(
    model: nn.Module, *, shardings: Any = None
) -> Callable[..., jax.Array]:
  """Makes the jitted forward pass.

  Args:
    model: Module whose `apply` returns [batch, outputs] logits.
    shardings: Sharding of the logits on several devices; None on one.

  Returns:
    eval_step(base, tuned, batch) -> [batch, outputs] logits.
  """

  @functools.partial(jax.jit, out_shardings=shardings)
  def eval_step(base, tuned, batch):
    return model.apply({'params': trees.overlay(base, tuned)}, **inputs(batch))

  return eval_step


def example_logits(
    eval_step: Callable[..., jax.Array], base: trees.Tree, tuned: trees.Tree,
    batches: Iterable[tuple[np.ndarray, Batch]], examples: int,
    read: Callable[[np.ndarray], np.ndarray] = np.asarray,
) -> np.ndarray:
  """Computes the logits of a split, in the order of its examples.

  Args:
    eval_step: Step from `make_eval_step`.
    base: Frozen tree.
    tuned: Tuned tree.
    batches: (rows, batch) pairs that hold every example exactly once. Batch
      row i is example rows[i]; further batch rows are filler.
    examples: Number of examples of the split.
    read: (logits [rows, outputs] float32) -> values [rows, ...], the part of
      them to keep in memory.

  Returns:
    [examples, outputs] float32, or [examples, ...] of `read`.

  Raises:
    ValueError: the batches lack or repeat an example.
    NotFinite: NaN or infinite logits.
  """
  found, seen = None, np.zeros(examples, np.int32)
  bad = np.zeros(examples, bool)
  for rows, batch in progress.of_batches(batches, examples):
    out = np.asarray(eval_step(base, tuned, batch))[:len(rows)]
    logits = out.astype(np.float32, copy=False)
    values = read(logits)
    if found is None:
      found = np.zeros((examples, *values.shape[1:]), values.dtype)
    found[rows] = values
    bad[rows] = ~np.isfinite(logits).all(axis=-1)
    np.add.at(seen, rows, 1)  # Unlike `+=`, counts a repeated row twice.
  if found is None or not np.all(seen == 1):
    raise ValueError('the batches do not hold every example exactly once')
  # Once all are known: batches are sorted by length, and the error names the
  # first example.
  if bad.any():
    raise not_finite(int(bad.argmax()))
  return found


def predict_ragged(
    eval_step: Callable[..., jax.Array], base: trees.Tree, tuned: trees.Tree,
    batches: Iterable[tuple[np.ndarray, Batch]], examples: int,
) -> list[np.ndarray]:
  """Computes the logits of a split with one output for every token.

  Args:
    eval_step: Step from `make_eval_step`.
    base: Frozen tree.
    tuned: Tuned tree.
    batches: (rows, batch) pairs, as for `example_logits`.
    examples: Number of examples of the split.

  Returns:
    [length, outputs] for each example, padding included.

  Raises:
    NotFinite: NaN or infinite logits.
  """
  logits: list[Any] = [None] * examples
  for rows, batch in progress.of_batches(batches, examples):
    for row, one in zip(rows, np.asarray(eval_step(base, tuned, batch))):
      logits[row] = one
  for row, one in enumerate(logits):
    if not np.isfinite(one).all():
      raise not_finite(row)
  return logits
