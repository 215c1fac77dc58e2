"""Scores and costs of adapters after removal from the lowest layers."""

from collections.abc import Iterable
import dataclasses
import time
from typing import Any

import jax

from adapters_jax import trees
from adapters_jax.adapters import folders
from adapters_jax.adapters import storage
from adapters_jax.analysis import layer_removal
from adapters_jax.runs import compiled
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import records
from adapters_jax.runs import session
from adapters_jax.runs import setup as setup_lib
from adapters_jax.runs.kinds import classification
from adapters_jax.training import adapter_drop
from adapters_jax.training import steps

_STEPS = 6  # Timed steps; the fastest counts.


def _prepare(config: config_lib.Config) -> setup_lib.Setup:
  """Returns the setup of a run whose base has the pretrained norms."""
  return setup_lib.prepare(dataclasses.replace(config, adapter_drop='0'))


def _without(setup: setup_lib.Setup, number: int) -> setup_lib.Setup:
  """Returns the setup with a model without the lowest layers' adapters."""
  return dataclasses.replace(setup, model=setup.model.clone(
      config=dataclasses.replace(setup.model.config, adapted_from=number)))


def scores(
    record: records.Record, folder: str, config: config_lib.Config,
    split: str = 'dev',
) -> dict[str, float]:
  """Scores a run without the adapters of the lowest layers.

  Args:
    record: Record of the run.
    folder: Workdir of the run, with the adapter.
    config: Settings with the places of data and base; the others come from
      `record`.
    split: Split to score.

  Returns:
    {number of layers without adapters: first metric}, numbers as texts.
  """
  config = layer_removal.settings_of(record, folder, config)
  tuned, _ = storage.load_tuned(folders.folder_of(folder))
  with session.computing(config):
    setup = _prepare(config)
    found = {}
    for number in range(setup.model.config.layers + 1):
      kept, _ = trees.split(
          tuned, lambda path: adapter_drop.survives(path, number))
      score = classification.Scorer(
          _without(setup, number), config.batch_size)
      found[str(number)] = next(iter(score(kept, split)[0].values()))
  return found


def costs(
    config: config_lib.Config, numbers: Iterable[int]
) -> tuple[dict[str, dict[str, float]], tuple[int, int]]:
  """Measures a training step without the adapters of the lowest layers.

  Args:
    config: Settings of a run with adapters.
    numbers: Numbers of layers without adapters.

  Returns:
    ({number: {'flops': operations that XLA counts, 'cpu_seconds': processor
    time of the fastest of several steps}}, numbers as texts; examples and
    tokens of each in the batch).
  """
  found: dict[str, Any] = {}
  with session.computing(config):
    setup = _prepare(config)
    tx = compiled.optimizer_of(config, setup)
    loss_fn = classification.KIND.loss_of(config, setup)
    # The longest batch of the first steps.
    batch = max((setup.schedule.batch(step) for step in range(_STEPS)),
                key=lambda one: one['tokens'].shape[1])
    for number in numbers:
      step: Any = steps.make_train_step(
          _without(setup, number).model, tx, loss_fn, layers_without=number)
      state = compiled.initial_state(config, tx, setup.tuned)
      program = step.lower(state, setup.base, batch).compile()
      times = []
      for _ in range(_STEPS):
        start = time.process_time()
        state, metrics = program(state, setup.base, batch)
        jax.block_until_ready(metrics)
        times.append(time.process_time() - start)
      found[str(number)] = {
          'flops': program.cost_analysis()['flops'], 'cpu_seconds': min(times)}
  return found, batch['tokens'].shape
