"""Successive halving: weak settings of a sweep stop at rungs. No JAX here.

All settings train to the first rung, a number of epochs; the best part of them
trains to the next rung, and so on (Jamieson & Talwalkar, 2016; Li et al.,
2020). Runs that differ in their seed alone are one setting: its mean decides,
and its seeds stop together. Each run keeps the schedule of its full length, so
a run that reaches the end equals one of a sweep without rungs. For the same
reason only settings of equal length compete: a short run near its end, at a low
rate, would beat longer ones in the middle of theirs.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
import dataclasses
import logging
import math
import os
import shutil
from typing import Any

from adapters_jax import errors
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import records as records_lib
from adapters_jax.runs import rungs as rungs_lib
from adapters_jax.runs import workdirs
from adapters_jax.sweeps import differences
from adapters_jax.sweeps import grid
from adapters_jax.sweeps import picking
from adapters_jax.sweeps import rivals
from adapters_jax.sweeps import store as store_lib
from adapters_jax.sweeps import vmapped

_log = logging.getLogger(__name__)

Result = records_lib.Record | rungs_lib.Paused | str
# make(all runs, unfinished runs, epochs of the rung) -> (run, result) of each
# unfinished run
Make = Callable[
    [Sequence[config_lib.Config], Sequence[config_lib.Config], float],
    Iterable[tuple[config_lib.Config, Result]]]


def check(stop: str, factor: int, first: float) -> None:
  """Checks the options of halving.

  Args:
    stop: '' or 'halving'.
    factor: Settings at a rung for each that trains further.
    first: Epochs before the first rung.

  Raises:
    errors.UserError: a wrong value.
  """
  if stop not in ('', 'halving'):
    raise errors.UserError(f"`stop={stop}`: give 'halving', or nothing")
  check_numbers(factor, first, 'halving_')


def check_numbers(factor: int, first: float, prefix: str = '') -> None:
  """Raises UserError unless rungs of these numbers reach any length.

  Args:
    factor: Ratio of each rung to the one before.
    first: Epochs before the first rung.
    prefix: Start of the names of both settings, for the message.
  """
  if factor < 2:
    raise errors.UserError(f'`{prefix}factor={factor}`: give 2 or more')
  if not first > 0:
    raise errors.UserError(f'`{prefix}first={first:g}`: give more than 0')


def rungs_of(
    runs: Iterable[config_lib.Config], factor: int, first: float,
    prefix: str = 'halving_',
) -> list[float]:
  """Returns the epochs before each rung, all below those of the longest run.

  Args:
    runs: Settings of the runs.
    factor: Ratio of each rung to the one before.
    first: Epochs before the first rung.
    prefix: Start of the names of both settings, for the message.

  Raises:
    errors.UserError: a wrong factor or first rung, no run is longer than the
      first rung, one is not evaluated before it, or has its length in steps or
      may end early.
  """
  check_numbers(factor, first, prefix)
  runs = list(runs)
  if any(run.max_steps for run in runs):
    raise errors.UserError(
        '`stop=halving`: rungs are epochs; give `epochs`, not `max_steps`')
  if any(run.patience for run in runs):  # Runs would differ in their steps.
    raise errors.UserError(
        '`stop=halving`: it stops runs by itself; leave `patience` out')
  longest = max(run.epochs for run in runs)
  found, epochs = [], first
  while epochs < longest:
    found.append(epochs)
    epochs *= factor
  if not found:
    raise errors.UserError(
        f'`{prefix}first={first:g}`: the longest run has {longest:g} epochs, '
        'so none would stop; give less')
  # With `eval_every`, the first evaluation depends on the steps of an epoch.
  if first < 1 and any(
      not run.eval_every for run in unfinished_at(runs, first)):
    raise errors.UserError(
        f'`{prefix}first={first:g}`: the first evaluation comes after an '
        'epoch; give 1 or more, or set `eval_every`')
  return found


def unfinished_at(
    runs: Iterable[config_lib.Config], epochs: float
) -> list[config_lib.Config]:
  """Returns the runs that a rung may stop: those that do not end before it.

  Args:
    runs: Settings of the runs.
    epochs: Epochs before the rung.
  """
  return [run for run in runs if run.epochs > epochs]


def survivors(
    runs: Sequence[config_lib.Config],
    scores: Mapping[config_lib.Config, float], factor: int,
    pick: Sequence[str] = (),
) -> list[config_lib.Config]:
  """Returns the runs that train beyond a rung, in their order.

  Args:
    runs: Settings of the runs at a rung.
    scores: {run: best dev score so far}; -inf for a failure.
    factor: Settings at the rung for each that trains further; at least one
      does.
    pick: Names of fields whose values compete among settings that are equal in
      all others; () lets all settings of a task and metric compete. In either
      case only settings of equal `epochs` do.
  """
  found: dict[Any, dict[Any, list[float]]] = {}
  for run in runs:
    among = grid.setting_of(run, pick) if pick else rivals.group_of(run)
    found.setdefault((run.epochs, among), {}).setdefault(
        grid.setting_of(run), []).append(scores[run])
  kept = set()
  for settings in found.values():
    means = {setting: sum(values) / len(values)
             for setting, values in settings.items()}
    # Sorting is stable: of equal means, the first one is kept.
    order = sorted(means, key=lambda setting: -means[setting])
    best = order[:max(1, len(order) // factor)]
    kept.update(setting for setting in best if means[setting] > -math.inf)
  return [run for run in runs if grid.setting_of(run) in kept]


def _known_score(
    run: config_lib.Config, store: store_lib.Store, epochs: float
) -> float | None:
  """Returns a run's score at a rung, None if it has not been there."""
  record = store.find(run)
  if record is not None:
    return record_score(record, epochs)
  workdir = workdirs.path_of(run, store.experiment)
  rungs = rungs_lib.read(workdir)
  if store.at_hand and rungs.scores:
    store.at_hand.demand_same(
        rungs, run, rungs_lib.path_of(workdir), 'workdir')
  return rungs.scores.get(rungs_lib.key(epochs))


def record_step(record: records_lib.Record, epochs: float) -> int:
  """Returns the step of a rung in a finished run, at most its last.

  Args:
    record: Record of the run.
    epochs: Epochs before the rung.
  """
  per_epoch = round(record.steps / record.config['epochs'])
  return min(record.steps, rungs_lib.step_of(epochs, per_epoch))


def record_score(record: records_lib.Record, epochs: float) -> float:
  """Returns the best dev score of a finished run up to a rung.

  Args:
    record: Record of the run.
    epochs: Epochs before the rung.
  """
  return rungs_lib.score_at(
      record.history, next(iter(record.metrics['dev'])),
      record_step(record, epochs))


def run_rungs(
    runs: Sequence[config_lib.Config], store: store_lib.Store, make: Make, *,
    factor: int, first: float, pick: Sequence[str] = (),
) -> tuple[list[config_lib.Config], list[tuple[config_lib.Config, str]]]:
  """Trains runs from rung to rung, and stops the weaker settings.

  Args:
    runs: Settings of the runs, with absolute workdirs.
    store: Store of their records.
    make: Trains runs to a rung.
    factor: Settings at a rung for each that trains further.
    first: Epochs before the first rung.
    pick: Names of fields whose values compete.

  Returns:
    (runs to train to their end, (run, message) of those that failed).

  Raises:
    errors.UserError: a rung comes before the first evaluation, a run failed for
      another reason than divergence, or earlier scores are of other data or
      another base than those at hand; nothing is stopped at that rung.
  """
  left, failures = list(runs), []
  line = differences.line_of(runs)
  for epochs in rungs_of(runs, factor, first):
    scores, failed = {}, []
    here = unfinished_at(left, epochs)
    for run in here:
      score = _known_score(run, store, epochs)
      if score is not None:
        scores[run] = score
    todo = [run for run in here if run not in scores]
    for run, result in make(here, todo, epochs):
      if isinstance(result, str):
        failed.append((run, result))
      elif isinstance(result, records_lib.Record):
        store.keep(run, result)
        scores[run] = record_score(result, epochs)
      else:
        scores[run] = result.score
    picking.demand_complete(
        [(line(run), message) for run, message in failed],
        'stop=halving', f'the runs before the rung at {epochs:g} epochs')
    if -math.inf in scores.values():
      raise errors.UserError(
          f'`halving_first={first:g}`: a run has no evaluation at {epochs:g} '
          'epochs; give more, or a smaller `eval_every`')
    scores |= {run: -math.inf for run, _ in failed}
    failures += failed
    kept = survivors(here, scores, factor, pick)
    stopped = set(here).difference(kept)
    left = [run for run in left if run not in stopped]
    _stop([run for run in here if run in stopped], runs, store.experiment,
          epochs)
    _log.info('rung at %g epochs: %d of %d runs train further', epochs,
              len(kept), len(here))
  return left, failures


def _stop(
    stopped: Sequence[config_lib.Config], runs: Sequence[config_lib.Config],
    experiment: str, epochs: float,
) -> None:
  """Marks runs as stopped, and removes their states and those of their groups.

  Args:
    stopped: Settings of the stopped runs.
    runs: Settings of all runs of the sweep.
    experiment: Name of the experiment.
    epochs: Epochs before the rung.
  """
  names = {grid.run_name(run) for run in runs} if stopped else set()
  for config in stopped:
    folder = workdirs.path_of(config, experiment)
    if not os.path.isdir(folder):
      continue  # It failed before it began, or its record is elsewhere.
    try:
      with workdirs.claimed(config, experiment):
        shutil.rmtree(workdirs.state_of(folder), ignore_errors=True)
        vmapped.remove_groups_of(config, names)
        rungs = rungs_lib.read(folder)
        if rungs.scores:
          rungs_lib.write(
              folder, dataclasses.replace(rungs, waits=0.0, stopped=epochs))
    except errors.UserError as error:  # As of another process that trains it.
      _log.info('a stopped run is left as it is: %s', error)
