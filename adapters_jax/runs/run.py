"""Runs from settings to record and adapter: the entry of every experiment."""

from collections.abc import Callable, Iterator, Sequence
import contextlib
import dataclasses
import importlib.metadata
import logging
import os
import platform
import shutil
from typing import Any

import jax

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.downloads import disk
from adapters_jax.model import base as base_lib
from adapters_jax.runs import compact
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import console
from adapters_jax.runs import group as group_lib
from adapters_jax.runs import log as log_lib
from adapters_jax.runs import machine
from adapters_jax.runs import progress as progress_lib
from adapters_jax.runs import records
from adapters_jax.runs import session
from adapters_jax.runs import setup as setup_lib
from adapters_jax.runs import signals
from adapters_jax.runs import workdirs
from adapters_jax.runs.kinds import classification
from adapters_jax.runs.kinds import kind as kind_lib
from adapters_jax.training import loop
from adapters_jax.training import resume as resume_lib
from adapters_jax.training import sharding
from adapters_jax.training import steps

_log = logging.getLogger(__name__)


def versions() -> dict[str, str]:
  """Returns {package: version} of all that decides a run's numbers."""
  names = ('jax', 'jaxlib', 'flax', 'optax', 'numpy', 'scipy', 'scikit-learn',
           'tokenizers', 'tensorflow-datasets')
  return {'python': platform.python_version(),
          **{name: importlib.metadata.version(name) for name in names}}


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
    loop.Interrupted: a signal arrived; the state is saved.
  """
  found, = run_group([config], experiment, kind)
  assert isinstance(found, records.Record)  # A single run raises instead.
  return found


def run_group(
    configs: Sequence[config_lib.Config], experiment: str,
    kind: kind_lib.Kind = classification.KIND, *,
    names: Sequence[str] = (), state_folder: str = '',
) -> list[records.Record | str]:
  """Trains, evaluates and saves runs together; see `group`.

  If one of several runs diverges, the others continue; a single run raises.

  Args:
    configs: Settings of each run.
    experiment: Name of the experiment, part of folders and records.
    kind: Kind of the task.
    names: Name of each run in messages.
    state_folder: Folder of the resumable state; that of the only run when ''.

  Returns:
    Each run's record, also in its workdir, or the reason of its failure.

  Raises:
    errors.UserError: a fault of the settings, the data or the folders.
    loop.Interrupted: a signal arrived; the state is saved.
  """
  first = configs[0]
  for config in configs:
    setup_lib.check(config, experiment, kind.find)
  sharding.start_hosts(
      first.coordinator, first.processes, first.process, first.join_seconds)
  # Once the hosts have joined, as this call asks JAX for its devices.
  mesh = sharding.make_mesh(
      first.mesh, first.batch_size, accumulate=first.accumulate)
  folders = [workdirs.path_of(config, experiment) for config in configs]
  state_folder = state_folder or os.path.join(folders[0], workdirs.STATE)
  places = {state_folder: '`workdir`', **dict.fromkeys(folders, '`workdir`')}
  # All hosts see the same folders, so one of them holds the locks.
  with disk.explained(places), sharding.on_first_host(
      _claimed(configs, experiment)):
    before = [workdirs.finished(folder) for folder in folders]
    if None not in before:  # A group with any open run continues as a whole.
      for record, folder in zip(before, folders, strict=True):
        _log.info('this run has finished before: %s\n%s', folder,
                  console.run_summary(record, folder))
      found: list[records.Record | str] = [*before]
    else:
      with _noting_state(state_folder):
        found = _train_claimed(
            configs, experiment, kind, names, mesh, folders, state_folder)
    # It was needed until all have records; a kill may have come in between.
    if sharding.first_host():
      shutil.rmtree(state_folder, ignore_errors=True)
    if None in before and len(found) == 1:
      _log.info(console.run_summary(found[0], folders[0]))
    return found


def _train_claimed(
    configs: Sequence[config_lib.Config], experiment: str,
    kind: kind_lib.Kind, names: Sequence[str], mesh: jax.sharding.Mesh,
    folders: Sequence[str], state_folder: str,
) -> list[records.Record | str]:
  """Trains runs whose workdirs this process holds; see `run_group`."""
  first = configs[0]
  with session.computing(first) as chosen, session.stop_requests() as stop:
    together = f'; {len(configs)} runs together' if len(configs) > 1 else ''
    _log.info('%s\n%s; %s%s', console.device_line(versions()), chosen,
              sharding.mesh_line(mesh), together)
    group = group_lib.make_group(configs, kind, mesh, names)
    # Evaluations are asked for a stop as well.
    group = dataclasses.replace(group, setup=dataclasses.replace(
        group.setup, between=stop.demand_none))
    for config in configs if sharding.first_host() else ():
      workdirs.begin(config, experiment)
    if len(group) == 1:
      _log.info(console.trained_table(group.setup.tuned, group.setup.params))
    _log.info(progress_lib.plan_line(group.setup, len(group)))
    score = kind.make_score(group.setup, first.batch_size)
    progress, log = group_lib.train_group(
        group, kind, score, state_folder=state_folder, restore=first.resume,
        stop=stop)
    # Within the context: the last scores need its matmul precision.
    return [_finish(group, i, experiment, kind, score, progress, log, folder,
                    str(chosen))
            for i, folder in enumerate(folders)]


@contextlib.contextmanager
def _noting_state(folder: str) -> Iterator[None]:
  """Adds to an interruption whether there is a state to continue from."""
  try:
    yield
  except errors.Interrupted as stopped:
    stopped.saved = resume_lib.exists(folder)
    raise


@contextlib.contextmanager
def _claimed(
    configs: Sequence[config_lib.Config], experiment: str
) -> Iterator[None]:
  """Holds the workdirs of all runs for this process."""
  # One that cannot be claimed releases those before it.
  with contextlib.ExitStack() as stack:
    for config in configs:
      stack.enter_context(workdirs.claimed(config, experiment))
    yield


def train(
    config: config_lib.Config, kind: kind_lib.Kind = classification.KIND, *,
    stop: Callable[[], bool] = lambda: False,
) -> adapter_lib.Adapter:
  """Trains an adapter in memory: no workdir, no record, no global settings.

  Args:
    config: Settings; places (workdir, resume, ...) are not used.
    kind: Kind of the task.
    stop: Called before every step; True stops the training.

  Returns:
    The adapter of the best step, with its scores.

  Raises:
    errors.UserError: a fault of the settings or the data.
    loop.Interrupted: `stop` returned True.
  """
  setup_lib.check_model(config)
  with session.computing(config, keep_programs=False):
    group = group_lib.make_group([config], kind)
    score = kind.make_score(group.setup, config.batch_size)
    progress, _ = group_lib.train_group(
        group, kind, score, stop=signals.Stop(stop))
    scores, _, _ = _scores(group.setup, kind, score, progress.best)
    return make_adapter(
        config, group.setup, kind, jax.device_get(progress.best), scores)


def make_adapter(
    config: config_lib.Config, setup: setup_lib.Setup, kind: kind_lib.Kind,
    tuned: trees.Tree, scores: dict[str, dict[str, float]],
) -> adapter_lib.Adapter:
  """Returns the adapter of a finished run.

  Args:
    config: Settings.
    setup: Setup of the run.
    kind: Kind of the task.
    tuned: Tuned tree of the best step.
    scores: {split: {metric: value}}
  """
  settings = config_lib.portable(config)
  return adapter_lib.Adapter(
      methods=setup.model.config.adapters, tuned=tuned,
      head_input=kind.head_input or config.head_input,
      labels=tuple(setup.task.labels), texts=tuple(setup.task.texts),
      max_length=config.max_length, base=settings['checkpoint'],
      task=setup.task.name, scores=scores, settings=settings,
      base_files=base_lib.file_hashes(config.checkpoint),
      hidden_activation=config.hidden_activation,
      family=setup.model.config.family)


def _scored_splits(setup: setup_lib.Setup) -> list[str]:
  """Returns the names of the labelled splits but 'train'."""
  return [split for split, examples in setup.splits.items()
          if split != 'train' and examples.labelled]


def _scores(
    setup: setup_lib.Setup, kind: kind_lib.Kind, score: kind_lib.Score,
    best: trees.Tree,
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, str]], list[str]]:
  """Returns ({split: {metric: value}}, {split: packed outcomes}, remarks)."""
  scores, outcomes, notes = {}, {}, []
  for split in _scored_splits(setup):
    scores[split], predictions = score(best, split)
    outcomes[split] = {
        name: compact.pack(values) for name, values in kind.outcomes(
            setup, split, predictions).items() if compact.fits(values)}
    label = log_lib.collapsed_to(setup.task, predictions)
    if split == 'dev' and label is not None:
      notes.append(
          f'collapse: every dev example is called {label!r}; try a lower '
          '--learning_rate or another --seed')
  return scores, outcomes, notes


def _last_scores(
    setup: setup_lib.Setup, score: kind_lib.Score, progress: loop.Progress,
    history: Sequence[dict[str, Any]], best: dict[str, dict[str, float]],
) -> dict[str, dict[str, float]]:
  """Returns {split: {metric: value}} after the last step."""
  if int(progress.best_step) == setup.steps:
    return best
  return {split: history[-1]['dev'] if split == 'dev'
          else score(progress.state.tuned, split)[0]
          for split in _scored_splits(setup)}


def _finish(
    group: group_lib.Group, index: int, experiment: str, kind: kind_lib.Kind,
    score: kind_lib.Score, progress: loop.Progress, log: log_lib.Log,
    folder: str, computation: str,
) -> records.Record | str:
  """Saves one run of a group; returns its record, or why it failed."""
  if log.runs[index].failed:
    return log.runs[index].failed
  if (record := workdirs.finished(folder)) is not None:
    return record  # A kill came between the first record and the last.
  config, setup = group.configs[index], group.members[index]
  progress = group.take(progress, index)
  try:
    scores, outcomes, notes = _scores(setup, kind, score, progress.best)
    last = _last_scores(
        setup, score, progress, log.runs[index].history, scores)
  except steps.NotFinite as error:
    if len(group) == 1:
      raise
    return str(error)  # The other runs are saved.
  record = _make_record(
      config, experiment, setup, progress, log, index,
      metrics=scores, predictions=outcomes, notes=[*setup.notes, *notes],
      last=last, computation=computation)
  # Outside of the condition below: every host must join the gathering.
  best = sharding.gather(setup.mesh, progress.best)
  if len(group) > 1:
    best = group_lib.narrow(best, setup.tuned)  # To the run's own size.
  if sharding.first_host():
    save(folder, make_adapter(config, setup, kind, best, scores), record)
  return record


def _make_record(
    config: config_lib.Config, experiment: str, setup: setup_lib.Setup,
    progress: loop.Progress, log: log_lib.Log, index: int, **found: Any,
) -> records.Record:
  """Returns the record of a finished run; a group's times are shared."""
  padded, real = setup.schedule.tokens(0, setup.steps)
  return records.Record(
      experiment=experiment, config=config_lib.portable(config),
      trained_params=trees.count_trained(setup.tuned),
      total_params=trees.count(setup.params),
      roles=console.role_counts(setup.tuned),
      seconds=round(log.seconds / len(log.runs), 1),
      cpu_seconds=round(log.cpu_seconds / len(log.runs), 1),
      steps=setup.steps, best_step=int(progress.best_step),
      padded_tokens=padded, real_tokens=real,
      history=log.runs[index].history, device=console.describe_devices(),
      versions=versions(),
      commit=records.commit_of(os.path.dirname(os.path.abspath(__file__))),
      data=setup.data, machine=machine.describe(),
      peak_bytes=machine.peak_bytes(), date=machine.now(), **found)


def save(
    folder: str, adapter: adapter_lib.Adapter, record: records.Record
) -> None:
  """Writes the adapter, then the record, which marks the run as finished.

  Args:
    folder: Workdir of the run.
    adapter: Its adapter.
    record: Its record.
  """
  adapter.save(os.path.join(folder, 'adapter'))
  records.write(os.path.join(folder, records.RECORD), record)
