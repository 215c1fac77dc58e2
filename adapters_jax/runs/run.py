"""Entry point of every run: from settings to record and adapter."""

from collections.abc import Callable, Iterator, Sequence
import contextlib
import dataclasses
import logging
import shutil

import jax

from adapters_jax import errors
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.downloads import disk
from adapters_jax.runs import at_hand
from adapters_jax.runs import compiled
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import console
from adapters_jax.runs import drawn_dev
from adapters_jax.runs import group as group_lib
from adapters_jax.runs import group_training
from adapters_jax.runs import machine
from adapters_jax.runs import progress as progress_lib
from adapters_jax.runs import rates
from adapters_jax.runs import records
from adapters_jax.runs import regroup
from adapters_jax.runs import results
from adapters_jax.runs import rungs
from adapters_jax.runs import same_inputs
from adapters_jax.runs import session
from adapters_jax.runs import signals
from adapters_jax.runs import sittings
from adapters_jax.runs import task_checks
from adapters_jax.runs import trackers
from adapters_jax.runs import workdirs
from adapters_jax.runs.kinds import classification
from adapters_jax.runs.kinds import kind as kind_lib
from adapters_jax.training import hosts
from adapters_jax.training import loop
from adapters_jax.training import saves
from adapters_jax.training import sharding
from adapters_jax.training import threads

_log = logging.getLogger(__name__)


def run(
    config: config_lib.Config, experiment: str,
    kind: kind_lib.Kind = classification.KIND,
) -> records.Record:
  """Trains, evaluates and saves one run; or returns its finished record.

  Args:
    config: Settings.
    experiment: Name of the experiment, part of folder and record.
    kind: Kind of the task.

  Returns:
    The record, which is also in the workdir.

  Raises:
    errors.UserError: a fault of the settings, the data or the folder.
    errors.Interrupted: a signal arrived; the state is saved.
  """
  found, = run_group([config], experiment, kind)
  assert isinstance(found, records.Record)  # A single run raises instead.
  return found


def run_group(
    configs: Sequence[config_lib.Config], experiment: str,
    kind: kind_lib.Kind = classification.KIND, *,
    names: Sequence[str] = (), state_folder: str = '',
    begin: Callable[[], object] = lambda: None, pause: float = 0.0,
) -> list[records.Record | rungs.Paused | str]:
  """Trains, evaluates and saves runs together; see `group`.

  If one of several runs diverges, the others continue; a single run raises.

  Args:
    configs: Settings of each run.
    experiment: Name of the experiment, part of folders and records.
    kind: Kind of the task.
    names: Name of each run in messages.
    state_folder: Folder of the resumable state; that of the only run when ''.
    begin: Called once before training, when this process holds all workdirs.
    pause: Epochs after which to save each run's state in its own workdir; 0 to
      train to the end.

  Returns:
    Each run's record, also in its workdir, its pause, or the reason of its
    failure.

  Raises:
    errors.UserError: a fault of the settings, the data or the folders.
    errors.Interrupted: a signal arrived; the state is saved.
  """
  first = configs[0]
  threads.demand_number(first.threads)
  for config in configs:
    kind.check_settings(config)
    task_checks.check_run(config, experiment, kind.find)
  hosts.join_all(
      first.coordinator, first.processes, first.process, first.join_seconds)
  # After the hosts have joined, as this call initialises JAX's devices.
  mesh = hosts.together(lambda: sharding.make_mesh(
      first.mesh, first.batch_size, accumulate=first.accumulate))
  same_inputs.demand_same_settings(configs)
  folders = [workdirs.path_of(config, experiment) for config in configs]
  # The default name has hashes of files, which may change from now on.
  configs = [dataclasses.replace(config, workdir=folder)
             for config, folder in zip(configs, folders, strict=True)]
  state_folder = state_folder or workdirs.state_of(folders[0])
  places = dict.fromkeys([state_folder, *folders], '`workdir`')
  # All hosts see the same folders, so one of them holds the locks.
  with disk.explained(places), hosts.on_first(
      _claimed(configs, experiment)):
    before = [workdirs.finished(folder) for folder in folders]
    if None not in before:  # A group with an unfinished run continues whole.
      _demand_same(before, configs, kind)
      found: list[records.Record | rungs.Paused | str] = [*before]
    else:
      hosts.by_first(begin)
      with _noting_state(state_folder):
        found = _train_claimed(
            configs, experiment, kind, names, mesh, state_folder, pause)
    # Every host looks for states when it plans its next run.
    hosts.by_first(lambda: _remove_states(found, folders, state_folder))
    if None in before and len(found) == 1 and isinstance(
        found[0], records.Record):
      _log.info(console.run_summary(found[0], folders[0]))
    return found


def _demand_same(
    found: Sequence[records.Record | None],
    configs: Sequence[config_lib.Config], kind: kind_lib.Kind,
) -> None:
  """Logs finished runs; UserError for one with other data or another base."""
  here = at_hand.AtHand(kind)
  for record, config in zip(found, configs, strict=True):
    problem = here.problem(record, config) if record else ''
    if problem := hosts.first_text(problem):  # All hosts must raise, or none.
      raise errors.UserError(at_hand.refusal(
          'workdir', workdirs.record_of(config.workdir), problem))
  for record, config in zip(found, configs, strict=True):
    here.warn_of_files(record, config, workdirs.record_of(config.workdir))
    _log.info('this run has finished before: %s\n%s', config.workdir,
              console.run_summary(record, config.workdir))


def _remove_states(
    found: Sequence[records.Record | rungs.Paused | str],
    folders: Sequence[str], state_folder: str,
) -> None:
  """Removes the states that no run needs once all have their results.

  Args:
    found: Result of each run.
    folders: Workdir of each run.
    state_folder: Folder of the group's state; that of the only run.
  """
  paused = any(isinstance(one, rungs.Paused) for one in found)
  if not (paused and len(found) == 1):
    # Not before: a kill between two records would need it.
    shutil.rmtree(state_folder, ignore_errors=True)
  for one, folder in zip(found, folders, strict=True):
    if isinstance(one, records.Record):  # It may have joined from a rung.
      shutil.rmtree(workdirs.state_of(folder), ignore_errors=True)


def _train_claimed(
    configs: Sequence[config_lib.Config], experiment: str,
    kind: kind_lib.Kind, names: Sequence[str], mesh: jax.sharding.Mesh,
    state_folder: str, pause: float,
) -> list[records.Record | rungs.Paused | str]:
  """Trains runs whose workdirs this process holds; see `run_group`."""
  first = configs[0]
  sittings.commit()  # Before the code on the disk may change.
  with session.computing(first) as chosen, session.stop_requests() as stop:
    together = ''
    if len(configs) > 1:
      together = f'; {len(configs)} runs together'
      # As `precision.under_vmap` does.
      chosen = dataclasses.replace(chosen, attention='einsum')
    _log.info('%s\n%s; %s%s', console.device_line(machine.versions()), chosen,
              sharding.mesh_line(mesh), together)
    group = hosts.together(
        lambda: group_lib.make_group(configs, kind, mesh, names))
    same_inputs.demand_same_on_hosts(same_inputs.of_group(group))
    # Evaluations check for stop requests too.
    group = dataclasses.replace(group, setup=dataclasses.replace(
        group.setup, between=stop.demand_none))
    rung = rungs.step_of(pause, group.setup.schedule.steps_per_epoch)
    if 0 < rung < group.setup.steps:
      rungs.demand_score(pause, rung, group.setup.eval_every)
    folders = [config.workdir for config in configs]
    hosts.by_first(lambda: _begin(folders, experiment, group))
    if len(group) == 1:
      _log.info(console.trained_table(group.setup.tuned, group.setup.params))
    _log.info(progress_lib.plan_line(group.setup, len(group)))
    rates.warn(configs)
    score = kind.make_score(group.setup, compiled.eval_batch_size(
        group.setup, first.batch_size))
    with trackers.of_runs(
        first.track if hosts.is_first() else '',
        [(folder, member.origin.settings)
         for folder, member in zip(folders, group.members)]) as followed:
      progress, log = group_training.train_group(
          group, kind, score, state_folder=state_folder, restore=first.resume,
          pause=rung, stop=stop, trackers=followed,
          joined=lambda: regroup.join_progress(group, folders))
      # Runs that failed, or that patience ended, do not pause.
      if log.training() and loop.steps_taken(progress) < group.setup.steps:
        return [*regroup.pause(group, progress, log, folders, pause)]
      # Within the context: the last scores need its matmul precision.
      found: list[records.Record | rungs.Paused | str] = [
          results.finish(
              group, i, experiment, kind, score, progress, log, str(chosen))
          for i in range(len(group))]
      for record, some in zip(found, followed):
        if isinstance(record, records.Record):
          for tracker in some:
            tracker.add(record.steps, results.of_best(record))
      return found


def _begin(
    folders: Sequence[str], experiment: str, group: group_lib.Group
) -> None:
  """Notes in the workdirs that their runs train."""
  for folder, member in zip(folders, group.members, strict=True):
    workdirs.begin(folder, experiment, member.origin.settings)
  if len(group) == 1:  # Runs of a group keep their states at the rung.
    rungs.leave(folders[0])


@contextlib.contextmanager
def _noting_state(folder: str) -> Iterator[None]:
  """Adds to an interruption whether there is a state to continue from."""
  try:
    yield
  except errors.Interrupted as stopped:
    stopped.saved = saves.exists(folder)
    raise


@contextlib.contextmanager
def _claimed(
    configs: Sequence[config_lib.Config], experiment: str
) -> Iterator[None]:
  """Holds the workdirs of all runs for this process."""
  # If one cannot be claimed, those before it are released.
  with contextlib.ExitStack() as stack:
    for config in configs:
      stack.enter_context(workdirs.claimed(config, experiment))
    yield


def train(
    config: config_lib.Config, kind: kind_lib.Kind = classification.KIND
) -> adapter_lib.Adapter:
  """Trains an adapter without workdir, record or changes of global settings.

  Args:
    config: Settings; places (workdir, resume, ...) are not used.
    kind: Kind of the task.

  Returns:
    The adapter of the best step, with its scores and the run's history.

  Raises:
    errors.UserError: a fault of the settings or the data.
    KeyboardInterrupt: Ctrl-C, if there is no evaluation yet, or outside of
      notebooks and prompts. There it ends the training, which is logged.
  """
  kind.check_settings(config, in_memory=True)
  task_checks.check_model(config)
  rates.warn([config])
  with (session.computing(config, keep_programs=False),
        signals.interrupts() as interrupt):
    group = group_lib.make_group([config], kind)
    score = kind.make_score(group.setup, compiled.eval_batch_size(
        group.setup, config.batch_size))

    def noted(tuned, split):
      found = score(tuned, split)
      interrupt.worth = True  # From now on, there is a best step.
      return found

    progress, log = group_training.train_group(
        group, kind, noted, stop=signals.Stop(), ended=interrupt)
    if interrupt() and loop.steps_taken(progress) < group.setup.steps:
      _log.warning(
          'stopped by Ctrl-C after step %d of %d; the adapter is that of step '
          '%d, the best so far', loop.steps_taken(progress), group.setup.steps,
          int(progress.best_step))
    scores, _, notes, threshold = results.all_scores(
        group.setup, kind, score, results.best_of(progress, group.setup))
    for note in (*group.setup.notes, *notes):  # No record will hold them.
      _log.log(logging.WARNING if note.startswith(
          (results.COLLAPSE, drawn_dev.START)) else logging.INFO, note)
    return dataclasses.replace(results.make_adapter(
        config, group.setup, kind, jax.device_get(progress.best), scores,
        threshold), history=log.runs[0].marked(int(progress.best_step)))
