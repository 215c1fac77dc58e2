"""Picks settings of a grid by the dev scores of trial runs. No JAX here."""

from collections.abc import Iterable, Sequence
import dataclasses
import logging
from typing import Any

from adapters_jax import errors
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import options
from adapters_jax.runs import records as records_lib
from adapters_jax.sweeps import grid

_log = logging.getLogger(__name__)


def parse_pick(many: grid.Options) -> tuple[str, ...]:
  """Returns the names of `pick`.

  Args:
    many: Grid, seeds and pick.

  Raises:
    errors.UserError: a name is not in the grid, or one whose values trials do
      not have; a seed of `pick_seeds` belongs to runs that are reported;
      `pick_examples` is negative; or an option of picking without `pick`.
  """
  names = options.names(many.pick)
  crossed = {name for point in grid.parse_grid(many.grid) for name in point}
  for name in names:
    if name not in crossed:
      raise errors.UserError(
          f'`pick`: {name} is not in `grid={many.grid!r}`')
  for name in ('pick_seeds', 'pick_examples'):
    if not names and getattr(many, name) != getattr(grid.Options, name):
      raise errors.UserError(f'`{name}` goes with `pick`')
  if 'seed' in names:
    raise errors.UserError(
        '`pick`: a seed is no setting to pick; leave it out, and give '
        '`pick_seeds`')
  if 'train_examples' in names and many.pick_examples:
    raise errors.UserError(
        f'`pick_examples={many.pick_examples}`: all trials would have these '
        'examples, and `pick` has train_examples; give one or the other')
  least = records_lib.FIRST_PICK_SEED
  if names and min(grid.parse_seeds(many.pick_seeds, '`pick_seeds`')) < least:
    raise errors.UserError(
        f'`pick_seeds={many.pick_seeds}`: give seeds from {least} on')
  if many.pick_examples < 0:
    raise errors.UserError(
        f'`pick_examples={many.pick_examples}`: give 0 or more')
  return names


def check_seeds(runs: Iterable[config_lib.Config]) -> None:
  """Raises UserError for a reported run whose seed is one that picks."""
  least = records_lib.FIRST_PICK_SEED
  for run in runs:
    if run.seed >= least:
      raise errors.UserError(
          f'`seeds`: {run.seed} is to be reported, but seeds from {least} on '
          'pick; give smaller ones')


def warn_of_seeds(runs: Iterable[config_lib.Config]) -> None:
  """Logs the seeds that pick among runs to be reported, as tables lack them."""
  least = records_lib.FIRST_PICK_SEED
  found = sorted({run.seed for run in runs if run.seed >= least})
  if found:
    named = 'seeds' if len(found) > 1 else 'seed'
    _log.warning(
        '%s %s: from %d on, runs count as trials and are in no mean; give '
        'seeds below %d', named, errors.listed([*map(str, found)], 6), least,
        least)


def trial_runs(
    runs: Iterable[config_lib.Config], many: grid.Options
) -> list[config_lib.Config]:
  """Returns the trials: the settings of the runs, at `pick_seeds` instead.

  Args:
    runs: Settings of the runs; their seeds do not matter.
    many: Grid, seeds and pick.
  """
  seeds = grid.parse_seeds(many.pick_seeds, '`pick_seeds`')
  return list(dict.fromkeys(  # Each once, for all seeds of `runs`.
      trial_of(run, many, seed) for run in runs for seed in seeds))


def trial_of(
    run: config_lib.Config, many: grid.Options, seed: int
) -> config_lib.Config:
  """Returns the trial of a run at one of the seeds that pick.

  Args:
    run: Settings of a run.
    many: Grid, seeds and pick.
    seed: Seed that picks.
  """
  return dataclasses.replace(
      run, seed=seed, workdir='',
      train_examples=many.pick_examples or run.train_examples)


def demand_complete(
    failures: Sequence[tuple[str, str]], what: str, runs: str
) -> None:
  """Raises UserError for a run that failed for another reason than divergence.

  A full disk does not show that settings are bad, and must not rule them out.

  Args:
    failures: (description, message) of the failed runs.
    what: Name of the setting in the message.
    runs: The runs that compete, in words.
  """
  others = [(run, message) for run, message in failures
            if not errors.is_divergence(message)]
  if others:
    run, message = others[0]
    raise errors.UserError(
        f'`{what}`: {len(others)} of {runs} failed, such as {run}: {message}; '
        'correct the cause, and the same command goes on')


def pick_best(
    runs: Sequence[config_lib.Config],
    records: Sequence[records_lib.Record | None], pick: Sequence[str], *,
    stand_in: bool = False,
) -> list[config_lib.Config]:
  """Returns the best setting on dev among those that differ only in `pick`.

  Args:
    runs: Settings of the runs; those that differ in their seed are one trial.
    records: Their records; None for a run without one.
    pick: Names of the fields to pick.
    stand_in: Whether to return the first run of a set without records, as a
      forecast needs; otherwise such sets are left out.

  Returns:
    For each set the first run of the trial with the highest mean score. A trial
    with a run that diverged is below all others.
  """
  scores: dict[Any, tuple[config_lib.Config, list[float]]] = {}
  for run, record in zip(runs, records, strict=True):
    scores.setdefault(grid.setting_of(run), (run, []))[1].append(
        float('-inf') if record is None else records_lib.primary(record))
  best = {}
  for run, found in scores.values():
    score = sum(found) / len(found)
    if score == float('-inf') and not stand_in:
      continue
    key = grid.setting_of(run, pick)
    # Strictly greater: the first of equal trials stays.
    if key not in best or score > best[key][1]:
      best[key] = run, score
  return [run for run, _ in best.values()]
