"""Replays halving on the records of exhaustive sweeps. No JAX here.

A run that reaches its end in a halved sweep equals the undisturbed run, so the
histories of an exhaustive sweep decide which settings would have stopped.
"""

from collections.abc import Sequence
import dataclasses
import math

import numpy as np

from adapters_jax import errors
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import identity
from adapters_jax.runs import records as records_lib
from adapters_jax.sweeps import grid
from adapters_jax.sweeps import halving
from adapters_jax.sweeps import rivals


@dataclasses.dataclass(frozen=True)
class Replay:
  """Result of a halved sweep.

  Attributes:
    settings: Number of settings at the start.
    kept: Number of settings that reach the end.
    best: Highest dev score of all settings, each the mean over its seeds.
    found: The same among the settings that reach the end.
    sem: Standard error of the mean of the best setting; nan for one seed.
    share: Steps of the halved sweep, as a share of the exhaustive one's.
  """
  settings: int
  kept: int
  best: float
  found: float
  sem: float
  share: float

  @property
  def regret(self) -> float:
    """Loss in score by halving, `best` minus `found`."""
    return self.best - self.found


def replay(
    records: Sequence[records_lib.Record], factor: int, first: float
) -> Replay:
  """Returns the result of halving a finished sweep of one task.

  Args:
    records: Records of all its runs, of one version.
    factor: Settings at a rung for each that trains further.
    first: Epochs before the first rung.

  Raises:
    errors.UserError: no records, records of several tasks or metrics, none with
      a rung, or a wrong factor or first rung.
  """
  return _replayed(records, factor, _rungs_of(records, factor, first))


def _rungs_of(
    records: Sequence[records_lib.Record], factor: int, first: float
) -> list[float]:
  """Returns the epochs before each rung of a sweep of one task."""
  if len({config_lib.task_of(record.config) for record in records}) != 1:
    raise errors.UserError('`records`: give the records of one task')
  if len({*map(rivals.measure_in, records)}) > 1:
    raise errors.UserError('`records`: give the records of one metric')
  records_lib.one_version(records)
  return halving.rungs_of(
      [identity.of_portable(record.config) for record in records], factor,
      first, prefix='')


def _replayed(
    records: Sequence[records_lib.Record], factor: int, rungs: Sequence[float]
) -> Replay:
  """Returns the result of halving some runs of a sweep at its rungs."""
  of_run = {identity.of_portable(record.config): record for record in records}
  runs = list(of_run)
  taken = dict.fromkeys(runs, 0)
  left = runs
  for epochs in rungs:
    here = halving.unfinished_at(left, epochs)
    scores = {}
    for run in here:
      scores[run] = halving.record_score(of_run[run], epochs)
      taken[run] = halving.record_step(of_run[run], epochs)
    stopped = set(here).difference(halving.survivors(here, scores, factor))
    left = [run for run in left if run not in stopped]
  for run in left:
    taken[run] = of_run[run].steps
  everything = _means(runs, of_run)
  best = max(everything.values())
  finished = _means(left, of_run)
  return Replay(
      len(everything), len(finished), best[0],
      max(finished.values(), default=(-math.inf, math.nan))[0], best[1],
      sum(taken.values()) / sum(record.steps for record in of_run.values()))


def _means(runs, of_run) -> dict[object, tuple[float, float]]:
  """Returns {setting: (mean, standard error) of its dev scores}."""
  found: dict[object, list[float]] = {}
  for run in runs:
    found.setdefault(grid.setting_of(run), []).append(
        records_lib.primary(of_run[run]))
  return {setting: records_lib.mean_sem(values)
          for setting, values in found.items()}


def resampled(
    records: Sequence[records_lib.Record], factor: int, first: float, *,
    settings: int, draws: int = 1000,
) -> list[Replay]:
  """Replays halving on random subsets of the settings of a sweep.

  Args:
    records: Records of all its runs, of one version.
    factor: Settings at a rung for each that trains further.
    first: Epochs before the first rung.
    settings: Number of settings of a subset; all their seeds are in it.
    draws: Number of subsets.

  Raises:
    errors.UserError: more settings than the sweep has, or no draws; as
      `replay`.
  """
  by_setting: dict[object, list[records_lib.Record]] = {}
  for record in records:
    key = grid.setting_of(identity.of_portable(record.config))
    by_setting.setdefault(key, []).append(record)
  if draws < 1:
    raise errors.UserError(f'`draws={draws}`: give 1 or more')
  if not 1 < settings <= len(by_setting):
    raise errors.UserError(
        f'`settings={settings}`: give 2 to {len(by_setting)}')
  rungs = _rungs_of(records, factor, first)
  rng = np.random.default_rng(0)
  groups = list(by_setting.values())
  return [
      _replayed([record for index in rng.choice(
          len(groups), settings, replace=False) for record in groups[index]],
                factor, rungs)
      for _ in range(draws)]
