"""The sweep engine: skips finished runs, and launches the others in units.

No JAX at import: a sweep may be planned on a machine without a device.
"""

from collections.abc import Callable, Iterator, Sequence
import contextlib
import dataclasses
import logging
import math
import os
from typing import Any

from adapters_jax.adapters import folders
from adapters_jax.downloads import assets
from adapters_jax.downloads import paths
from adapters_jax.runs import at_hand as at_hand_lib
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import options
from adapters_jax.runs import records as records_lib
from adapters_jax.runs import shared_data
from adapters_jax.runs import workdirs
from adapters_jax.sweeps import differences
from adapters_jax.sweeps import execution
from adapters_jax.sweeps import grid
from adapters_jax.sweeps import halving
from adapters_jax.sweeps import outcome as outcome_lib
from adapters_jax.sweeps import picking
from adapters_jax.sweeps import progress as progress_lib
from adapters_jax.sweeps import rivals
from adapters_jax.sweeps import store as store_lib
from adapters_jax.sweeps import vmapped

_log = logging.getLogger(__name__)

# launch(function, calls, label of each call in messages) -> (index of the call,
# its result or the message of its failure), in the order in which they finish.
Launch = Callable[
    [Callable[..., Any], Sequence[tuple[Any, ...]], Sequence[str]],
    Iterator[tuple[int, Any]]]
Measure = Callable[[config_lib.Config], Any]


def with_absolute_paths(
    config: config_lib.Config, experiment: str
) -> config_lib.Config:
  """Returns the settings with absolute paths, valid in other processes.

  Args:
    config: Settings.
    experiment: Name of the experiment.
  """
  changed: dict[str, Any] = {
      'workdir': workdirs.path_of(config, experiment), 'resume': True}
  for name in options.marked(config_lib.Config, 'path'):
    if getattr(config, name):
      changed[name] = os.path.abspath(
          paths.expanded(getattr(config, name), name))
  if config.adapters:
    changed['adapters'] = folders.absolute(config.adapters)
  if config.start:
    changed['start'] = folders.absolute_of(config.start, 'start')
  if assets.is_folder(config.checkpoint):  # Else a name.
    changed['checkpoint'] = os.path.abspath(config.checkpoint)
  return dataclasses.replace(config, **changed)


def in_turns(
    function: Callable[..., Any], calls: Sequence[tuple[Any, ...]],
    labels: Sequence[str],
) -> Iterator[tuple[int, Any]]:
  """Launches calls one after the other in this process."""
  for number, (arguments, label) in enumerate(zip(calls, labels, strict=True)):
    if label:
      _log.info('now: %s', label)
    yield number, function(*arguments)


@contextlib.contextmanager
def launcher(how: execution.HowToRun) -> Iterator[tuple[Launch, int]]:
  """Yields (launch, number of units at a time)."""
  if how.launcher == 'local':
    yield in_turns, 1
    return
  from adapters_jax.sweeps import ray_launcher
  with ray_launcher.started(**{
      name: getattr(how, name)
      for name in options.marked(execution.HowToRun, 'ray')}) as started:
    yield started


@shared_data.kept()
def go(
    configs: Sequence[config_lib.Config], experiment: str,
    many: grid.Options, how: execution.HowToRun = execution.ALONE,
    kind: Any = None, measure: Measure | None = None,
) -> outcome_lib.Outcome:
  """Trains all runs of a description; one without a grid keeps its `workdir`.

  Args:
    configs: Settings, one for each task.
    experiment: Name of the experiment, part of folders and records.
    many: Grid, seeds and pick, applied to each of `configs`.
    how: Launcher, groups and halving.
    kind: Kind of the tasks; None for classification.
    measure: (config) -> cost, to forecast the hours; see `forecast`.

  Returns:
    Records and failures, in the order of the runs.

  Raises:
    errors.UserError: a fault of the description, or of the only run; a pick
      with a trial that has no score; a rung with such a run, or before the
      first evaluation; a finished run of other data than those at hand, or of
      another base; a `workdir` of a run.
    errors.Interrupted: a signal arrived; the state is saved.
  """
  pick = picking.parse_pick(many)
  runs = grid.distinct(grid.expand(configs, many))
  if pick:
    picking.check_seeds(runs)
    rivals.check_pick(runs, pick, grid.setting_of)
  else:
    picking.warn_of_seeds(runs)
  store = store_lib.Store(experiment, many.records, at_hand_lib.AtHand(kind))
  root = configs[0].workdir
  # One that a grid or seeds name has a folder below `root`, as in a larger one.
  alone = len(runs) == 1 and how is execution.ALONE
  below = not alone or many.names_runs
  if root and below:
    runs = grid.rooted(runs, root, experiment, bool(alone and not pick))
  if alone and not pick:
    return _single(
        with_absolute_paths(runs[0], experiment) if below else runs[0],
        store, kind)

  def placed(runs):
    return [with_absolute_paths(run, experiment)
            for run in grid.placed(runs, root)]

  runs = placed(runs)
  if not pick:
    return _sweep(runs, [], store, how, kind, measure)
  return _picked(placed(picking.trial_runs(runs, many)), runs, many, store, how,
                 kind, measure)


def _single(
    config: config_lib.Config, store: store_lib.Store, kind: Any
) -> outcome_lib.Outcome:
  """Trains the only run in its workdir, unless a record of it exists."""
  from adapters_jax.runs import run  # Imports JAX.
  workdir = workdirs.path_of(config, store.experiment)
  finished = workdirs.finished(workdir)
  record = store.find(config) if store.folder else None
  if record is None or finished is not None:
    record = run.run(config, store.experiment, kind)
    store.keep_new(config, record)
  else:
    _log.info('this run has finished before: %s', store.path_of(config))
  return outcome_lib.Outcome((record,), (workdir,), configs=(config,))


def _picked(
    trials: Sequence[config_lib.Config], runs: Sequence[config_lib.Config],
    many: grid.Options, store: store_lib.Store, how: execution.HowToRun,
    kind: Any, measure: Measure | None,
) -> outcome_lib.Outcome:
  """Trains the trials, then the runs with the settings that these pick."""
  pick = picking.parse_pick(many)
  # `pick_best` returns the first run of each trial, so the one of this seed.
  pick_seed = grid.parse_seeds(many.pick_seeds)[0]
  known: dict[str, records_lib.Record] = {}

  def later(stand_in):
    # In memory first: files that another host wrote may not be visible yet.
    records = [known.get(run.workdir) or store.find(run) for run in trials]
    best = picking.pick_best(trials, records, pick, stand_in=stand_in)
    chosen = {dataclasses.replace(run, workdir='') for run in best}
    return [run for run in runs
            if picking.trial_of(run, many, pick_seed) in chosen]

  first = _sweep(trials, later(True), store, how, kind, measure, pick)
  known |= dict(zip(first.folders, first.records, strict=True))
  picking.demand_complete(first.failures, 'pick', 'the trials')
  second = _stage(later(False), [], store, how, kind, None)
  return dataclasses.replace(
      second, failures=first.failures + second.failures, trials=first.records)


def _sweep(
    runs: Sequence[config_lib.Config], later: Sequence[config_lib.Config],
    store: store_lib.Store, how: execution.HowToRun, kind: Any,
    measure: Measure | None, pick: Sequence[str] = (),
) -> outcome_lib.Outcome:
  """Trains runs like `_stage`, with `stop` only those that survive halving."""
  if not how.stop:
    return _stage(runs, later, store, how, kind, measure)
  left, failures = halving.run_rungs(
      runs, store,
      lambda among, todo, epochs: _make(
          among, todo, store.experiment, how, kind, pause=epochs),
      factor=how.halving_factor, first=how.halving_first, pick=pick)
  found = _stage(left, [], store, how, kind, None)
  line = differences.line_of(runs)
  return dataclasses.replace(found, failures=(
      *found.failures, *((line(run), message) for run, message in failures)))


def _stage(
    runs: Sequence[config_lib.Config], later: Sequence[config_lib.Config],
    store: store_lib.Store, how: execution.HowToRun, kind: Any,
    measure: Measure | None,
) -> outcome_lib.Outcome:
  """Trains the unfinished of `runs`; `later` only counts in the forecast."""
  found = {}
  for run in (*runs, *later):
    record = store.find(run)
    if record is not None:
      found[run] = record
  todo = [run for run in (*runs, *later) if run not in found]
  _log.info('%d runs, %d of them finished', len(runs) + len(later), len(found))
  if todo and measure:
    from adapters_jax.sweeps import forecast  # Imports JAX.
    hours = forecast.hours(todo, _known(runs, store.experiment), measure)
    _log.info('about %.2f hours for the other %d, without compiling', hours,
              len(todo))
  uncounted = set(later)
  todo = [run for run in todo if run not in uncounted]
  for run in runs:
    if run in found:
      store.keep(run, found[run])
  for run, answer in _make(runs, todo, store.experiment, how, kind):
    found[run] = answer
    if not isinstance(answer, str):
      store.keep_new(run, answer)
  results = [(run, found[run]) for run in runs]
  line = differences.line_of(runs)
  good = [pair for pair in results if not isinstance(pair[1], str)]
  outcome_lib.warn_of_machines([record for _, record in good])
  return outcome_lib.Outcome(
      tuple(record for _, record in good),
      tuple(run.workdir for run, _ in good),
      tuple((line(run), message)
            for run, message in results if isinstance(message, str)),
      configs=tuple(run for run, _ in good))


def _known(
    runs: Sequence[config_lib.Config], experiment: str
) -> list[records_lib.Record]:
  """Returns the records next to the runs' workdirs, made on this machine."""
  folders = {os.path.dirname(workdirs.path_of(run, experiment))
             for run in runs}
  return [record for folder in sorted(folders)
          for record in records_lib.read_all(folder)]


def _make(runs, todo, experiment, how, kind, pause=0.0):
  """Yields (run, record, pause or message) of each unfinished run."""
  if not todo:
    vmapped.make_units(runs, (), experiment, len)  # Removes finished groups.
    return
  unfinished = set(todo)
  with launcher(how) as (launch, at_a_time):
    units = vmapped.make_units(runs, todo, experiment, _make_size_of(
        how, launch, at_a_time, len(todo), kind))
    _log.info('%d units for %d runs, %d at a time', len(units), len(todo),
              at_a_time)
    progress = progress_lib.SweepProgress(len(todo))
    line = differences.line_of(runs)
    labels = [line(unit[0]) + (
        f' and {len(unit) - 1} more' if len(unit) > 1 else '')
              for unit in units]
    for number, answers in launch(
        vmapped.run_unit, [(unit, experiment, kind, pause) for unit in units],
        labels):
      if isinstance(answers, str):  # The unit as a whole failed.
        answers = [answers] * len(units[number])
      found = [(run, answer) for run, answer in zip(
          units[number], answers, strict=True) if run in unfinished]
      progress.add([(line(run), answer) for run, answer in found])
      yield from found


def _make_size_of(
    how: execution.HowToRun, launch: Launch, at_a_time: int, todo: int,
    kind: Any,
) -> Callable[[Sequence[config_lib.Config]], int]:
  """Returns size_of(runs): the number of runs to train as one program."""
  if how.group != 'auto':
    return lambda runs: int(how.group)
  from adapters_jax.sweeps import forecast  # Imports JAX.
  # At most an equal share: larger groups would leave workers idle.
  return forecast.make_size_of(launch, math.ceil(todo / at_a_time), kind)
