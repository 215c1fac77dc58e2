"""Compiled steps, shared by the runs of a process."""

from collections.abc import Callable
import dataclasses
import functools
from typing import Any
import weakref

import jax
import numpy as np
import optax

from adapters_jax import trees
from adapters_jax.data import batching
from adapters_jax.model import fusion
from adapters_jax.model import precision
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import models
from adapters_jax.runs import setup as setup_lib
from adapters_jax.training import adapter_drop
from adapters_jax.training import optimizers
from adapters_jax.training import programs
from adapters_jax.training import selections
from adapters_jax.training import sharding
from adapters_jax.training import steps

# loss_fn(logits [batch, ...], labels [batch, ...]) -> losses [batch]
Loss = Callable[[jax.Array, jax.Array], jax.Array]
# (rows, batch) pairs of `batching.eval_batches`
Batches = list[tuple[np.ndarray, dict[str, np.ndarray]]]

_KEPT = 8  # Compiled steps of each kind that later runs may reuse.


def shapes_of(setup: setup_lib.Setup) -> precision.Batching:
  """Returns how batches are shaped for the devices of a run."""
  return precision.batching(setup.mesh.devices.flat[0])


def eval_batch_size(setup: setup_lib.Setup, batch_size: int) -> int:
  """Returns the number of examples per evaluation batch.

  Args:
    setup: Setup of the run.
    batch_size: Examples of a training batch, over all hosts.
  """
  return batch_size * shapes_of(setup).evaluation


def make_eval(
    setup: setup_lib.Setup, batch_size: int
) -> Callable[..., jax.Array]:
  """Returns eval_step(base, tuned, batch) -> logits, on the run's devices.

  Args:
    setup: Setup of the run.
    batch_size: Examples per batch, over all hosts.
  """
  mesh = setup.mesh
  compiled = _eval_step(setup.model, mesh)

  def step(base, tuned, batch):
    setup.between()
    return compiled(
        base, tuned, sharding.place_batch(mesh, batch, batch_size))

  return step


def eval_batches(
    setup: setup_lib.Setup, split: str, batch_size: int
) -> Batches:
  """Returns the batches that predict a split.

  Args:
    setup: Setup of the run.
    split: Name of the split.
    batch_size: Number of examples a batch, over all hosts.
  """
  return [*batching.eval_batches(
      setup.splits[split], setup.schedule.buckets, batch_size,
      **sharding.of_evaluation(setup.mesh, batch_size))]


def outputs_of(
    setup: setup_lib.Setup, batch_size: int, read: Callable[..., Any]
) -> Callable[[trees.Tree, str], Any]:
  """Returns outputs(tuned, split) -> the logits of the split's examples.

  A second call for the same arrays returns the first one's result: the last
  evaluation is often of the step that is best.

  Args:
    setup: Setup of the run.
    batch_size: Number of examples a batch, over all hosts.
    read: `steps.example_logits` or `steps.predict_ragged`.
  """
  eval_step, batches = make_eval(setup, batch_size), {}
  latest: dict[str, tuple[list[weakref.ref], Any]] = {}  # {split: (of, result)}

  def outputs(tuned, split):
    leaves = jax.tree.leaves(tuned)
    of, found = latest.get(split, ([], None))
    if leaves and [id(ref()) for ref in of] == [*map(id, leaves)]:
      return found
    if split not in batches:  # Built once; all evaluations share them.
      batches[split] = eval_batches(setup, split, batch_size)
    found = read(eval_step, setup.base, tuned, batches[split],
                 len(setup.splits[split]))
    # Weak, as the arrays of a group's runs are copies that take memory.
    latest[split] = [*map(weakref.ref, leaves)], found
    return found

  return outputs


# Modules are dataclasses: models of equal configs are equal, and one key.
@functools.lru_cache(maxsize=_KEPT)
def _eval_step(model, mesh):
  return programs.kept(
      steps.make_eval_step(model, shardings=sharding.replicated(mesh)),
      ('eval_step', model), mesh, models.model_classes(model))


def _optimizer_settings(
    config: config_lib.Config, setup: setup_lib.Setup
) -> dict[str, Any]:
  """Returns the optimizer's arguments that are part of the compiled step."""
  return {
      'select': setup.select, 'steps': setup.steps,
      'clip_norm': config.clip_norm, 'optimizer': config.optimizer}


def optimizer_of(
    config: config_lib.Config, setup: setup_lib.Setup
) -> optax.GradientTransformation:
  """Returns the optimizer of a run.

  Args:
    config: Settings.
    setup: Setup of the run.
  """
  return optimizers.make_optimizer(
      learning_rate=config.learning_rate, warmup=config.warmup,
      weight_decay=config.weight_decay, **_optimizer_settings(config, setup))


def make_step(
    config: config_lib.Config, setup: setup_lib.Setup, loss_fn: Loss,
    runs: int = 1,
) -> tuple[optax.GradientTransformation, Callable[..., Any]]:
  """Returns the optimizer and the training step of a group of runs.

  Groups that differ in seeds, rates, warm-up and decay alone get the same step,
  traced and compiled once: these are data (`optimizers.make_optimizer`).

  Args:
    config: Settings of the group's first run.
    setup: Setup of the group.
    loss_fn: Loss of the kind of task.
    runs: Number of runs; above 1 the step is vmapped over them.
  """
  tx = optimizer_of(config, setup)
  state = jax.eval_shape(
      lambda tuned: initial_state(config, tx, tuned), setup.tuned)
  if runs > 1:
    state = jax.tree.map(  # [runs, ...]
        lambda leaf: jax.ShapeDtypeStruct((runs, *leaf.shape), leaf.dtype),
        state)
  # A tuple and a treedef, as the arguments of a cached function are hashed.
  leaves, structure = jax.tree.flatten(sharding.shardings(setup.mesh, state))
  paths = tuple(trees.flatten(setup.params))

  def step_of(model):
    return _train_step(
        model, tuple(_optimizer_settings(config, setup).items()),
        loss_fn, config.accumulate, runs > 1, setup.mesh, tuple(leaves),
        structure, setup.factors, paths)

  if not config.adapter_drop:
    return tx, step_of(setup.model)

  # A program for each number of layers, compiled at its first step.
  found = {number: step_of(setup.model.clone(config=dataclasses.replace(
      setup.model.config, adapted_from=number)))
           for number in config.dropped_layers}

  def train_step(state, base, batch):
    arrays = {name: value for name, value in batch.items()
              if name != adapter_drop.DROPPED}
    return found[len(batch[adapter_drop.DROPPED])](state, base, arrays)

  return tx, train_step


@functools.lru_cache(maxsize=_KEPT)
def _train_step(
    model, optimizer, loss_fn, accumulate, grouped, mesh, leaves, structure,
    factors, paths):
  # The rate does not matter: the step reads rate, warm-up and decay from its
  # state.
  settings = dict(optimizer)
  tx = optimizers.make_optimizer(learning_rate=0.0, **settings)
  step = steps.make_train_step(
      model, tx, loss_fn, accumulate=accumulate, grouped=grouped,
      layers_without=model.config.adapted_from,
      penalty=(functools.partial(fusion.penalty, factors=factors)
               if factors else None),
      shardings=(jax.tree.unflatten(structure, leaves),
                 sharding.replicated(mesh)))
  select = settings.pop('select')
  labels = {path: selections.label(select, path) for path in paths}
  return programs.kept(
      step, ('train_step', model, settings, labels,
             getattr(loss_fn, '__qualname__', loss_fn),
             loss_fn.__module__, accumulate, grouped, factors),
      mesh, (*models.model_classes(model), loss_fn))


def initial_state(
    config: config_lib.Config, tx: optax.GradientTransformation,
    tuned: trees.Tree,
) -> steps.TrainState:
  """Returns the state of a run before its first step.

  Args:
    config: Settings.
    tx: Optimizer.
    tuned: Tuned tree at its initialisation.
  """
  # 1 for dropout; `models.init_tuned` folds in 0 for the new leaves.
  rng = jax.random.fold_in(jax.random.key(config.seed), 1)
  return steps.init_state(tuned, tx, rng)


def make_rate(
    config: config_lib.Config, total: int
) -> Callable[[int], float]:
  """Returns rate_at(step): the learning rate of a step.

  On the host, as an operation of JAX would queue behind the step that the
  device computes.

  Args:
    config: Settings.
    total: Number of steps of the whole training.
  """
  _, schedule = optimizers.OPTIMIZERS[config.optimizer]
  shape = schedule(total, optimizers.rising_steps(
      config.optimizer, total, config.warmup), np)
  return lambda step: config.learning_rate * float(shape(step))
