"""How long a run's steps take, by trying a few."""

import time

import jax
import numpy as np

from adapters_jax import config as config_lib
from adapters_jax import devices
from adapters_jax import pretrained
from adapters_jax import run
from adapters_jax import training
from adapters_jax.data import batching

_STEPS = 3


def _seconds_a_token(step, batch) -> float:
  """Returns the time of step(batch) for each padded token, compiled before."""
  jax.block_until_ready(step(batch))
  start = time.perf_counter()
  for _ in range(_STEPS):
    jax.block_until_ready(step(batch))
  return (time.perf_counter() - start) / _STEPS / batch['mask'].size


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
  chosen = devices.choose(config.precision, shape.dim // shape.heads)
  with jax.default_matmul_precision(chosen.matmul):
    setup = kind.prepare(config)
    schedule, dev = setup.schedule, setup.splits['dev']
    per_epoch = schedule.steps_per_epoch
    plans = sorted((schedule.at(step) for step in range(per_epoch)),
                   key=lambda plan: plan.length)
    batch = batching.make_batch(
        schedule.examples, plans[len(plans) // 2], config.batch_size)
    tx, train_step = run.make_step(config, setup, kind)
    state = training.init_state(setup.tuned, tx, jax.random.key(0))
    eval_step = training.make_eval_step(setup.model)

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
