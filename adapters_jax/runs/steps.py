"""The compiled steps of a run, shared by the runs of a process."""

from collections.abc import Callable
import functools
from typing import Any

import jax
import optax

from adapters_jax.runs import config as config_lib
from adapters_jax.runs import setup as setup_lib
from adapters_jax.training import optimizers
from adapters_jax.training import sharding
from adapters_jax.training import steps as steps_lib
from adapters_jax import trees

# loss_fn(logits [batch, ...], labels [batch, ...]) -> losses [batch]
Loss = Callable[[jax.Array, jax.Array], jax.Array]

_KEPT = 8  # Compiled steps that later runs may use again, of each kind.


def make_eval(
    setup: setup_lib.Setup, batch_size: int
) -> Callable[..., jax.Array]:
  """Returns eval_step(base, tuned, batch) -> logits, on the run's devices."""
  mesh = setup.mesh
  compiled = _eval_step(setup.model, mesh)
  return lambda base, tuned, batch: compiled(
      base, tuned, sharding.place_batch(mesh, batch, batch_size))


@functools.lru_cache(maxsize=_KEPT)
def _eval_step(model, mesh):
  return steps_lib.make_eval_step(model, shardings=sharding.replicated(mesh))


def _optimizer_settings(
    config: config_lib.Config, setup: setup_lib.Setup
) -> dict[str, Any]:
  """Returns what decides an optimizer's program: all but the rate."""
  return {
      'select': setup.select, 'steps': setup.steps, 'warmup': config.warmup,
      'weight_decay': config.weight_decay, 'clip_norm': config.clip_norm,
      'optimizer': config.optimizer}


def make_optimizer(
    config: config_lib.Config, setup: setup_lib.Setup
) -> optax.GradientTransformation:
  """Returns the optimizer of a run."""
  return optimizers.make_optimizer(
      learning_rate=config.learning_rate,
      **_optimizer_settings(config, setup))


def make_step(
    config: config_lib.Config, setup: setup_lib.Setup, loss_fn: Loss,
    runs: int = 0,
) -> tuple[optax.GradientTransformation, Callable[..., Any]]:
  """Returns the optimizer and the training step of a run.

  Runs that differ in seed and rate alone get the same step, which is traced and
  compiled once: the rate is data (`optimizers.make_optimizer`).

  Args:
    config: The settings.
    setup: What the run is made of.
    loss_fn: Of its kind, `run.Kind.loss_of`.
    runs: If not 0, the step is that of a group of so many runs.
  """
  tx = make_optimizer(config, setup)
  state = jax.eval_shape(
      lambda tuned: init_state(config, tx, tuned), setup.tuned)
  if runs:
    state = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((runs, *leaf.shape), leaf.dtype),
        state)
  leaves, structure = jax.tree.flatten(sharding.shardings(setup.mesh, state))
  return tx, _train_step(
      setup.model, tuple(_optimizer_settings(config, setup).items()),
      loss_fn, config.accumulate, bool(runs), setup.mesh,
      tuple(leaves), structure)


@functools.lru_cache(maxsize=_KEPT)
def _train_step(
    model, optimizer, loss_fn, accumulate, grouped, mesh, leaves, structure):
  tx = optimizers.make_optimizer(learning_rate=0.0, **dict(optimizer))
  return steps_lib.make_train_step(
      model, tx, loss_fn, accumulate=accumulate, grouped=grouped,
      shardings=(jax.tree.unflatten(structure, leaves),
                 sharding.replicated(mesh)))


def init_state(
    config: config_lib.Config, tx: optax.GradientTransformation,
    tuned: trees.Tree,
) -> steps_lib.TrainState:
  """Returns the state of a run before its first step."""
  rng = jax.random.fold_in(jax.random.key(config.seed), 1)
  return steps_lib.init_state(tuned, tx, rng)


def make_rate(
    config: config_lib.Config, steps: int
) -> Callable[[int], float]:
  """Returns rate_at(step): the learning rate of a step."""
  _, schedule = optimizers.OPTIMIZERS[config.optimizer]
  shape = schedule(steps, config.warmup)
  return lambda step: config.learning_rate * float(shape(step))
