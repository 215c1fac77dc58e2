"""Forecasts a sweep's hours and the fastest group size, by timing steps."""

from collections.abc import Callable, Iterable, Iterator, Sequence
import contextlib
import dataclasses
import logging
import math
import statistics
import time
from typing import Any

import jax

from adapters_jax import errors
from adapters_jax.data import batching
from adapters_jax.runs import compiled
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import group as group_lib
from adapters_jax.runs import identity
from adapters_jax.runs import options
from adapters_jax.runs import records as records_lib
from adapters_jax.runs import session
from adapters_jax.runs import setup as setup_lib
from adapters_jax.runs.kinds import classification
from adapters_jax.runs.kinds import kind as kind_lib
from adapters_jax.training import sharding
from adapters_jax.training import steps

_log = logging.getLogger(__name__)

SIZES = (1, 2, 4, 8)  # Group sizes that `group=auto` measures.
_STEPS = 3  # Timed steps, after one that compiles.
# Errors that concern a single unit; `vmapped.run_unit` reports the same ones.
_FAULTS = (errors.UserError, OSError, jax.errors.JaxRuntimeError)


@dataclasses.dataclass(frozen=True)
class Cost:
  """Time of a kind of run, whatever its schedule.

  Attributes:
    step: Seconds a step; with its share of the evaluations where it is that of
      a finished run.
    epoch: Steps an epoch.
    evaluation: Seconds an evaluation on dev, 0 if unknown.
  """
  step: float
  epoch: float
  evaluation: float = 0.0

  def seconds(self, config: config_lib.Config) -> float:
    """Returns the seconds of a run.

    Args:
      config: Settings.
    """
    steps = setup_lib.steps_of(config, self.epoch)
    # The last step is always evaluated.
    evaluations = math.ceil(steps / (config.eval_every or self.epoch))
    return steps * self.step + evaluations * self.evaluation


def cost_key(values: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
  """Returns the settings that decide the time of a step."""
  free = {*options.marked(config_lib.Config, 'schedule'),
          *options.marked(config_lib.Config, 'free')}
  return tuple(sorted((k, v) for k, v in identity.completed(values).items()
                      if k not in free))


def cost(
    config: config_lib.Config, records: Iterable[records_lib.Record]
) -> Cost | None:
  """Returns the mean cost of finished runs with the same kind of step, or None.

  Args:
    config: Settings.
    records: Records of this machine.
  """
  key = cost_key(identity.portable(config))
  # The steps of a run with `max_steps` or `patience` do not give the length of
  # an epoch.
  alike = [r for r in records if r.steps and cost_key(r.config) == key
           and not r.config['max_steps'] and not r.config.get('patience')]
  if not alike:
    return None
  return Cost(sum(r.seconds / r.steps for r in alike) / len(alike),
              sum(r.steps / r.config['epochs'] for r in alike) / len(alike))


def hours(
    configs: Sequence[config_lib.Config],
    records: Iterable[records_lib.Record],
    measure: Callable[[config_lib.Config], Cost],
) -> float:
  """Returns the total hours of runs; those that fail count as 0.

  Args:
    configs: Settings of the runs.
    records: Records of this machine.
    measure: (config) -> cost; called once for each kind of step without a
      record.

  Raises:
    errors.UserError: no run can be set up.
  """
  records, seconds = list(records), 0.0
  known: dict[Any, Cost | None] = {}
  fault: Exception | None = None
  for config in configs:
    key = cost_key(identity.portable(config))
    if key not in known:
      try:
        known[key] = cost(config, records) or measure(config)
      except _FAULTS as error:
        known[key], fault = None, fault or error
    if one := known[key]:
      seconds += one.seconds(config)
  if fault and not any(known.values()):
    raise fault
  return seconds / 3600  # Runs that fail report it themselves.


def _times(step, batch) -> list[float]:
  """Returns the seconds of `_STEPS` calls of step(batch)."""
  # Block after every call, as JAX returns before the device has finished.
  jax.block_until_ready(step(batch))
  times = []
  for _ in range(_STEPS):
    start = time.perf_counter()
    jax.block_until_ready(step(batch))
    times.append(time.perf_counter() - start)
  return times


def _median_step(schedule: batching.Schedule) -> int:
  """Returns a step of the first epoch whose batch has the median length."""
  order = sorted(range(schedule.steps_per_epoch),
                 key=lambda step: schedule.at(step).length)
  return order[len(order) // 2]


@contextlib.contextmanager
def assembled(
    configs: Sequence[config_lib.Config], kind: kind_lib.Kind
) -> Iterator[group_lib.Group]:
  """Yields the group of some runs, with the matmul precision of training.

  Args:
    configs: Settings of the runs.
    kind: Kind of the task.
  """
  first = configs[0]
  mesh = sharding.make_mesh(
      first.mesh, first.batch_size, accumulate=first.accumulate)
  with session.computing(first):
    yield group_lib.make_group(configs, kind, mesh)


def measure(
    config: config_lib.Config, kind: kind_lib.Kind = classification.KIND
) -> Cost:
  """Returns the cost of a run.

  Times a training step and a step of its evaluation, each at the median length
  and on the devices of the run, and scales them by the padded tokens of an
  epoch and of an evaluation.

  Args:
    config: Settings.
    kind: Kind of the task.
  """
  with assembled([config], kind) as group:
    setup = group.setup
    schedule, size = setup.schedule, compiled.eval_batch_size(
        setup, config.batch_size)
    median = _median_step(schedule)
    step, batch = make_group_step(group, kind, median)
    trained = statistics.fmean(_times(step, batch))
    # mask is [batch, length], with choices [batch, choices, length].
    batches = sorted(
        (batch for _, batch in kind.eval_batches(setup, 'dev', size)),
        key=lambda batch: batch['mask'].size)
    middle = batches[len(batches) // 2]
    eval_step = steps.make_eval_step(
        setup.model, shardings=sharding.replicated(setup.mesh))
    evaluated = statistics.fmean(_times(
        lambda batch: eval_step(setup.base, setup.tuned, batch),
        sharding.place_batch(setup.mesh, middle, size)))
  per_epoch = schedule.steps_per_epoch
  tokens, _ = schedule.tokens(0, per_epoch)
  timed, _ = schedule.tokens(median, median + 1)
  return Cost(
      step=trained * tokens / timed / per_epoch,
      epoch=float(per_epoch),
      evaluation=evaluated * sum(
          batch['mask'].size for batch in batches) / middle['mask'].size)


def measure_groups(
    configs: Sequence[config_lib.Config], kind: kind_lib.Kind,
    sizes: Sequence[int],
) -> dict[int, float]:
  """Returns {runs per group: seconds per step and run}.

  Trains a few steps at the median length with each size, and keeps nothing.
  Sizes that do not fit the device's memory are left out.

  Args:
    configs: Settings of runs of one `vmapped.group_key`, widest adapters first.
    kind: Kind of the task.
    sizes: Sizes to try, ascending, none above the number of runs.
  """
  found = {}
  for most in reversed(sizes):  # Retry smaller if the trees alone do not fit.
    try:
      with assembled(configs[:most], kind) as group:
        median = _median_step(group.members[0].schedule)
        for size in sizes[:sizes.index(most) + 1]:
          step, batch = make_group_step(group.first(size), kind, median)
          found[size] = min(_times(step, batch)) / size
      break
    except jax.errors.JaxRuntimeError as error:
      if 'RESOURCE_EXHAUSTED' not in str(error):
        raise
      if found:
        break  # Larger sizes need more memory still.
  return found


def make_size_of(
    launch: Callable[..., Iterator[tuple[int, Any]]], most: int,
    kind: kind_lib.Kind,
) -> Callable[[Sequence[config_lib.Config]], int]:
  """Returns size_of(runs): the fastest group size, measured once a `cost_key`.

  Args:
    launch: An `engine.Launch`, which measures where the runs will train.
    most: Largest size to try.
    kind: Kind of the task.
  """
  known = {}

  def size_of(runs):
    limit = min(len(runs), most)
    sizes = [size for size in SIZES if size <= limit]
    if len(sizes) == 1:
      return 1
    key = cost_key(identity.portable(runs[0])), sizes[-1]
    if key not in known:
      try:
        _, found = next(launch(
            measure_groups, [(runs[:limit], kind, sizes)], ['']))
      except _FAULTS as error:
        found = str(error)
      if isinstance(found, str):
        _log.info('the sizes of a group could not be measured (%s); groups of '
                  '1', found)
        return 1  # The runs themselves report the cause.
      # If no size fits, the run itself reports the full memory.
      known[key] = min(found, key=found.get) if found else 1
      _log.info('seconds a step and run, by the size of the group: %s; groups '
                'of %d', ', '.join(f'{size}: {1000 * seconds:.0f} ms'
                                   for size, seconds in found.items()),
                known[key])
    return known[key]

  return size_of


def make_group_step(
    group: group_lib.Group, kind: kind_lib.Kind, index: int
) -> tuple[Callable[[steps.Batch], Any], steps.Batch]:
  """Returns a training step of a group, which keeps its state, and a batch.

  Args:
    group: Runs.
    kind: Kind of the task.
    index: Number of the step whose batch to make.

  Returns:
    (step, batch). step(batch) -> metrics continues from its last state.
  """
  setup = group.setup
  _, train_step = compiled.make_step(
      group.configs[0], setup,
      kind.loss_of(group.configs[0], setup), len(group))
  # Placed on the devices, as in a run: else the second step would compile too.
  state = group_lib.initial(group).state

  def step(batch):
    nonlocal state  # The step donates it.
    state, metrics = train_step(state, setup.base, batch)
    return metrics

  return step, group_lib.group_batch(group, index)
