"""How long a run's steps take, by trying a few."""

from collections.abc import Callable, Iterator, Sequence
import contextlib
import time
from typing import Any

import jax
import numpy as np

from adapters_jax.data import batching
from adapters_jax.model import pretrained
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import run
from adapters_jax.runs import steps
from adapters_jax.sweeps import vmapped
from adapters_jax.training import precision
from adapters_jax.training import sharding
from adapters_jax.training import steps as steps_lib

_STEPS = 3


def _times(step, batch) -> list[float]:
  """Returns the seconds of a few step(batch), compiled before."""
  jax.block_until_ready(step(batch))
  times = []
  for _ in range(_STEPS):
    start = time.perf_counter()
    jax.block_until_ready(step(batch))
    times.append(time.perf_counter() - start)
  return times


def _seconds_a_token(step, batch) -> float:
  """Returns the time of step(batch) for each padded token, compiled before."""
  return sum(_times(step, batch)) / _STEPS / batch['mask'].size


def _median_step(schedule: batching.Schedule) -> int:
  """Returns a step of the first epoch whose batch has the median length."""
  steps = sorted(range(schedule.steps_per_epoch),
                 key=lambda step: schedule.at(step).length)
  return steps[len(steps) // 2]


def measure(
    config: config_lib.Config, kind: run.Kind | None = None
) -> tuple[float, float]:
  """Returns (seconds a step, steps an epoch); dev evaluations are in it.

  Times a training and an evaluation step at the median length and scales by
  the padded tokens of an epoch.
  """
  kind = kind or run.CLASSIFICATION
  run.enable_compilation_cache()  # The run itself then finds it compiled.
  shape = pretrained.config_of(config.checkpoint)
  chosen = precision.choose(config.precision, shape.dim // shape.heads)
  with jax.default_matmul_precision(chosen.matmul):
    setup = kind.prepare(config)
    schedule, dev = setup.schedule, setup.splits['dev']
    per_epoch = schedule.steps_per_epoch
    batch = schedule.batch(_median_step(schedule))
    tx, train_step = steps.make_step(config, setup, kind.loss_of(setup))
    state = sharding.create(  # As in a run: else its second step compiles too.
        setup.mesh, lambda tuned: steps.init_state(config, tx, tuned),
        setup.tuned)
    eval_step = steps_lib.make_eval_step(setup.model)

    def step(batch):
      nonlocal state  # It is donated.
      state, metrics = train_step(state, setup.base, batch)
      return metrics

    training_cost = _seconds_a_token(step, batch)
    eval_cost = _seconds_a_token(
        lambda batch: eval_step(setup.base, setup.tuned, batch), batch)
  dev_tokens = sum(b['mask'].size for _, b in batching.eval_batches(
      dev, schedule.buckets, config.batch_size))
  evaluations = max(1.0, per_epoch / setup.eval_every)
  seconds = (training_cost * schedule.tokens(0, per_epoch)[0]
             + eval_cost * evaluations * dev_tokens)
  return float(np.float64(seconds) / per_epoch), float(per_epoch)


@contextlib.contextmanager
def assembled(
    configs: Sequence[config_lib.Config], kind: run.Kind
) -> Iterator[vmapped.Group]:
  """Yields the group of these runs, to be timed as they would be trained."""
  run.enable_compilation_cache()  # The run itself then finds it compiled.
  shared = configs[0]
  shape = pretrained.config_of(shared.checkpoint)
  chosen = precision.choose(shared.precision, shape.dim // shape.heads)
  mesh = sharding.make_mesh(
      shared.mesh, shared.batch_size, accumulate=shared.accumulate)
  with jax.default_matmul_precision(chosen.matmul):
    yield vmapped.assemble(configs, kind, mesh)


def measure_groups(
    configs: Sequence[config_lib.Config], kind: run.Kind,
    sizes: Sequence[int],
) -> dict[int, float]:
  """Returns {runs a group: the seconds that a step takes each run}.

  Trains a few steps at the median length with each size; nothing is kept. A
  size that does not fit the device's memory is left out, and so are those
  above it.

  Args:
    configs: Runs of one `units.key`, widest adapters first.
    kind: What they are about.
    sizes: To try, in ascending order, none above the number of runs.
  """
  found = {}
  with assembled(configs[:sizes[-1]], kind) as group:
    median = _median_step(group.members[0].schedule)
    for size in sizes:
      try:
        step, batch = make_group_step(group.first(size), kind, median)
        found[size] = min(_times(step, batch)) / size
      except jax.errors.JaxRuntimeError as error:
        if 'RESOURCE_EXHAUSTED' not in str(error):
          raise
        break
  return found


def make_group_step(
    group: vmapped.Group, kind: run.Kind, index: int
) -> tuple[Callable[[steps_lib.Batch], Any], steps_lib.Batch]:
  """Returns a training step of a group, or of a single run, and its batch.

  Args:
    group: The runs.
    kind: What they are about.
    index: Which step's batch.

  Returns:
    step(batch) -> metrics, which goes on from what it left, and the arrays.
  """
  setup, config, runs = group.setup, group.configs[0], len(group.configs)
  tx, train_step = steps.make_step(
      config, setup, kind.loss_of(setup), runs if runs > 1 else 0)
  if runs > 1:
    state = vmapped.initial(group).state
    batch = vmapped.make_batch(group, index)
  else:
    state = sharding.create(  # As in a run: else its second step compiles too.
        setup.mesh, lambda tuned: steps.init_state(config, tx, tuned),
        setup.tuned)
    batch = sharding.place_batch(
        setup.mesh, group.members[0].schedule.batch(index),
        config.batch_size)

  def step(batch):
    nonlocal state  # It is donated.
    state, metrics = train_step(state, setup.base, batch)
    return metrics

  return step, batch
