"""Trains the runs of a command, and prints their tables and best adapters."""

from collections.abc import Sequence
import dataclasses
import os
import shlex
import sys
from typing import Any

from adapters_jax import errors
from adapters_jax.analysis import points as points_lib
from adapters_jax.analysis import reported
from adapters_jax.api import ending
from adapters_jax.api import flags
from adapters_jax.api import started
from adapters_jax.runs import config as config_lib
from adapters_jax.sweeps import engine
from adapters_jax.sweeps import execution
from adapters_jax.sweeps import grid
from adapters_jax.sweeps import outcome as outcome_lib
from adapters_jax.sweeps import store


def check_all(
    runs: Sequence[config_lib.Config], configs: Sequence[config_lib.Config],
    experiment: str, kind: Any, how: execution.HowToRun = execution.ALONE,
) -> None:
  """Checks every run before the first one of a sweep starts.

  Args:
    runs: Settings of all runs.
    configs: Settings, one for each task.
    experiment: Name of the experiment.
    kind: Kind of the tasks.
    how: Execution of several runs.

  Raises:
    errors.UserError: a setting that cannot work.
  """
  from adapters_jax.data import tasks  # Slow imports: after flag errors.
  from adapters_jax.runs import task_checks
  from adapters_jax.training import sharding
  if len(runs) == 1 and how is execution.ALONE:
    return  # Checked when it starts.
  for config in runs:  # With `resume`, as workdirs may exist already.
    kind.check_settings(config)
    task_checks.check_run(
        dataclasses.replace(config, resume=True), experiment, kind.find)
  for config in configs:
    kind.check_data(config)
  # Only if this process trains: workers and other hosts have other devices.
  if how.launcher == 'local' and not runs[0].coordinator:
    for mesh, batch_size, accumulate in dict.fromkeys(
        (config.mesh, config.batch_size, config.accumulate)
        for config in runs):
      sharding.make_mesh(mesh, batch_size, accumulate=accumulate)
  if len(configs) > 1:
    tasks.require([c.task for c in configs if not c.files], configs[0].data_dir)


def _report(outcome: outcome_lib.Outcome, usage: str = '') -> None:
  """Prints the tables of several runs, the best adapters, and the failures.

  Args:
    outcome: Results of the runs.
    usage: Line on the use of their adapters, see `kind.Kind`.
  """
  from adapters_jax.analysis import tables  # Imports numpy.
  from adapters_jax.runs import console  # Imports JAX.
  if outcome.trials:
    print(console.rows_table(tables.trial_rows(outcome.trials), 'trials'))
  # `points` leaves out runs whose seeds pick, so there may be none.
  if len(outcome.records) > 1 and (
      found := points_lib.points((*outcome.records, *outcome.trials))):
    print(console.rows_table(tables.rows(found), 'all settings'))
    best = reported.picked(found)
    if len(best) < len(found):
      print(console.rows_table(tables.rows(best), 'best on dev'))
  _print_best(outcome, usage)
  for description, message in outcome.failures:
    print(f'failed: {description}: {flags.as_text(message)}', file=sys.stderr)


def _print_best(outcome: outcome_lib.Outcome, usage: str) -> None:
  """Prints the folder of the best adapter of each task, and how to use it.

  Args:
    outcome: Results of the runs.
    usage: Use of their adapters, see `kind.Kind`.
  """
  # For runs of other machines there is a record, but no adapter.
  best = outcome_lib.best_of_tasks(
      run for run in outcome.runs()
      if os.path.isdir(os.path.join(run[1], 'adapter')))
  # `adapters-jax`, or the scripts of a checkout.
  installed = os.path.basename(sys.argv[0]).startswith('adapters-jax')
  program = ('adapters-jax predict' if installed
             else 'python -m experiments.predict')
  for task, (record, folder, config) in best:
    folder = _near(folder)
    # A folder has '@' and a hash in the record, in place of its path.
    more = ([f'--checkpoint={_near(config.checkpoint)}']
            if '@' in record.config['checkpoint'] else [])
    command = [*program.split(), f'--adapter={folder}', *more]
    if len(outcome.records) > 1:
      score = next(iter(record.metrics['dev'].items()))
      print(f'best on dev of {task}, {score[0]} {100 * score[1]:.2f}: {folder}')
    below = shlex.join([f'--adapters=domain={folder}', *more])
    print(usage.format(folder=folder, below=below) if usage else
          f'label texts with: {shlex.join(command)} < TEXTS')


def _near(path: str) -> str:
  """Returns a path relative to the current folder, if it lies below it."""
  near = os.path.relpath(path)
  return path if near.startswith('..') else near


def run_all(
    configs: Sequence[config_lib.Config], experiment: str, many: grid.Options,
    kind: Any = None, how: execution.HowToRun = execution.ALONE,
) -> outcome_lib.Outcome:
  """Trains the runs of an experiment, and prints a table if there are several.

  An interruption saves the state and exits with status 130.

  Args:
    configs: Settings, one for each task.
    experiment: Name of the experiment, part of folders and records.
    many: Grid, seeds and pick around each of them.
    kind: Kind of the tasks; classification when None.
    how: Execution of several runs.

  Returns:
    Records and failures, in the order of the runs.
  """
  if kind is None and how is execution.ALONE and len(configs) == 1:
    from adapters_jax.runs import own_data  # Imports numpy.
    own_data.read_ahead(configs[0])
  from adapters_jax.runs import console  # Slow imports: after file errors.
  from adapters_jax.runs.kinds import classification
  from adapters_jax.sweeps import forecast
  from adapters_jax.training import hosts
  kind = kind or classification.KIND
  configs = [started.for_kind(config, kind) for config in configs]
  console.show(flags.as_text)
  several_hosts = any(config.coordinator for config in configs)
  if how is not execution.ALONE and several_hosts:
    raise errors.UserError(
        '`coordinator`: a unit of a sweep is one process; leave it out, or '
        'run the grid with experiments.glue or adapters-jax train')
  store.check_folder(many.records)
  kind.check_tuned(  # Before `expand`, which resets what a run does not read.
      dataclasses.replace(config, **point) for config in configs
      for point in grid.parse_grid(many.grid))
  runs = grid.expand(configs, many)
  if how is not execution.ALONE:  # Its folders are below `workdir`, always.
    runs = grid.placed(runs, configs[0].workdir)
  check_all(runs, configs, experiment, kind, how)
  # Several hosts join in their first run, before which JAX may not start.
  measure = None if several_hosts or how is not execution.ALONE else (
      lambda config: forecast.measure(config, kind))
  try:
    outcome = engine.go(configs, experiment, many, how, kind, measure)
  except errors.Interrupted as stopped:
    # Only a single run with a saved state needs a flag to continue, and none
    # does that a grid or seeds name.
    bare = (how is execution.ALONE and len(runs) == 1
            and not many.names_runs)
    again = ('the same command with --resume continues'
             if bare and stopped.saved else
             'the same command continues' if stopped.saved else
             'the same command starts again')
    state = 'the state is saved' if stopped.saved else 'no state was saved yet'
    print(f'{stopped}; {state}, {again}', flush=True)
    ending.leave(stopped)
  if not several_hosts or hosts.is_first():
    _report(outcome, kind.usage)
  return outcome
