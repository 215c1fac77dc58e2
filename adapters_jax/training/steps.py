"""The jitted training and evaluation steps."""

from collections.abc import Callable, Mapping
import functools
from typing import Any

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

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


def init_state(
    tuned: trees.Tree, tx: optax.GradientTransformation, rng: jax.Array
) -> TrainState:
  """Returns the state before the first step; copies `tuned`."""
  tuned = jax.tree.map(jnp.copy, tuned)  # The step donates its state.
  return TrainState(
      step=jnp.zeros((), jnp.int32), tuned=tuned, opt_state=tx.init(tuned),
      rng=jnp.copy(rng))


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


