"""One training run, from settings to record: what every experiment calls."""

from collections.abc import Callable
import dataclasses
import importlib.metadata
import os
import platform
import shutil
from typing import Any

import jax
import numpy as np

from adapters_jax.adapters import storage
from adapters_jax.data import batching
from adapters_jax.data import metrics
from adapters_jax.data import tasks
from adapters_jax.downloads import pinned
from adapters_jax.model import pretrained
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import console
from adapters_jax.runs import log as log_lib
from adapters_jax.runs import records
from adapters_jax.runs import setup as setup_lib
from adapters_jax.runs import signals
from adapters_jax.runs import steps
from adapters_jax.runs import workdirs
from adapters_jax.training import loop
from adapters_jax.training import losses
from adapters_jax.training import precision
from adapters_jax.training import resume as resume_lib
from adapters_jax.training import sharding
from adapters_jax.training import steps as steps_lib
from adapters_jax import trees

# score(tuned, split) -> (metrics, predictions [examples])
Score = Callable[[trees.Tree, str], tuple[dict[str, float], np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Kind:
  """What runs differ in beside their settings.

  Attributes:
    find: (name) -> the task, UserError if it is not one of these.
    prepare: (config, mesh or None) -> what a run is made of.
    make_score: (setup, batch size) -> Score.
    loss_of: (setup) -> loss_fn(logits, labels) -> losses [batch].
  """
  find: Callable[[str], tasks.Task]
  prepare: Callable[..., setup_lib.Setup]
  make_score: Callable[[setup_lib.Setup, int], Score]
  loss_of: Callable[[setup_lib.Setup], steps.Loss]


def versions() -> dict[str, str]:
  """Returns {package: version} of what decides a run's numbers."""
  names = ('jax', 'flax', 'optax', 'numpy', 'tokenizers', 'tensorflow-datasets')
  return {'python': platform.python_version(),
          **{name: importlib.metadata.version(name) for name in names}}


def enable_compilation_cache() -> None:
  """Keeps compiled programs in the cache folder, for the next start."""
  folder = os.path.join(pinned.cache_dir(), 'compiled')
  jax.config.update('jax_compilation_cache_dir', folder)
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.2)


def run(
    config: config_lib.Config, experiment: str, kind: Kind | None = None
) -> records.Record:
  """Trains, evaluates and saves one run; or returns its finished record.

  Args:
    config: The settings.
    experiment: The name its folder and record carry.
    kind: What the run is about; CLASSIFICATION when None.

  Returns:
    The record, which is also in the workdir.

  Raises:
    options.UserError: something in the settings, the data or the folder.
    training.Interrupted: a signal came; the state is saved.
  """
  kind = kind or CLASSIFICATION
  setup_lib.check(config, experiment, kind.find)
  sharding.start(config.coordinator, config.processes, config.process)
  mesh = sharding.make_mesh(
      config.mesh, config.batch_size, accumulate=config.accumulate)
  folder = workdirs.path_of(config, experiment)
  with sharding.on_first_host(workdirs.claimed(config, experiment)):
    record = workdirs.finished(folder)
    if record is not None:
      print(f'this run has finished before: {folder}')
      print(console.run_summary(record, folder))
      return record
    enable_compilation_cache()
    print(console.device_line(versions()))
    shape = pretrained.config_of(config.checkpoint)
    chosen = precision.choose(config.precision, shape.dim // shape.heads)
    print(f'{chosen}; {sharding.describe(mesh)}')
    matmul = jax.default_matmul_precision(chosen.matmul)
    with matmul, signals.caught() as stop:
      setup = kind.prepare(config, mesh)
      console.print_trained(setup.tuned, setup.params)
      score = kind.make_score(setup, config.batch_size)
      progress, log = train(config, setup, kind, score, folder, stop)
      record = make_record(config, experiment, setup, score, progress, log)
    save(folder, setup, progress, record)
    print(console.run_summary(record, folder))
    return record


def make_score(setup: setup_lib.Setup, batch_size: int) -> Score:
  """Returns score(tuned, split) -> (metrics, predictions [examples])."""
  eval_step, batches = steps.make_eval(setup, batch_size), {}

  def score(tuned, split):
    examples = setup.splits[split]
    if split not in batches:
      batches[split] = batching.eval_batches(
          examples, setup.schedule.buckets, batch_size,
          setup.schedule.local_rows)
    logits = steps_lib.predict(
        eval_step, setup.base, tuned, batches[split], len(examples))
    predictions = setup_lib.to_predictions(setup.task, logits)
    return metrics.compute(
        setup.task.metrics, examples.labels, predictions), predictions

  return score


def loss_of(setup: setup_lib.Setup) -> steps.Loss:
  """Returns the loss of a task: of classes or of a score."""
  return losses.cross_entropy if setup.task.labels else losses.squared_error


CLASSIFICATION = Kind(tasks.find, setup_lib.prepare, make_score, loss_of)


def train(
    config: config_lib.Config, setup: setup_lib.Setup, kind: Kind, score: Score,
    folder: str, stop: Callable[[], bool],
) -> tuple[loop.Progress, dict[str, Any]]:
  """Trains to the end, from the saved state if the settings say so.

  Returns:
    The progress, and the log that travels with it; see `journal.new`.
  """
  tx, train_step = steps.make_step(config, setup, kind.loss_of(setup))
  progress = sharding.create(
      setup.mesh,
      lambda tuned: loop.init_progress(
          steps.init_state(config, tx, tuned)),
      setup.tuned)
  log = log_lib.new()
  resume = resume_lib.Resume(os.path.join(folder, 'resume'))
  if config.resume:
    saved = resume.restore(progress)
    if saved:
      progress, log = saved
      print(f'going on from step {loop.steps_taken(progress)}')
  bar = console.ProgressBar(
      setup.steps, loop.steps_taken(progress), config.batch_size)
  rate_at = steps.make_rate(config, setup.steps)
  clocks = log_lib.Clocks(log)

  def report(step, values):
    log['losses'].append(float(values['loss']))
    bar.update(float(values['loss']), rate_at(step))

  def evaluate(tuned, step):
    dev, predictions = score(tuned, 'dev')
    entry = log_lib.add_evaluation(log, step, dev, predictions, setup.task)
    bar.write(f'step {step}: loss {entry["loss"]:.4f}; dev '
              f'{console.percent(dev)}')
    return dev[setup.task.metrics[0]]

  def save_progress(progress):
    clocks.update(log)
    resume.save(progress, log)

  def batch_at(step):
    return sharding.place_batch(
        setup.mesh, setup.schedule.batch(step), config.batch_size)

  try:
    progress = loop.fit(
        train_step, progress, setup.base, batch_at, steps=setup.steps,
        eval_every=setup.eval_every, evaluate=evaluate, save=save_progress,
        report=report, stop=stop, rate_at=rate_at)
  finally:
    bar.close()
    resume.close()
  return progress, log


def make_record(
    config: config_lib.Config, experiment: str, setup: setup_lib.Setup,
    score: Score, progress: loop.Progress, log: dict[str, Any],
) -> records.Record:
  """Returns the record of a finished run, its best tuned tree scored anew."""
  scores, notes = {}, list(setup.notes)
  for split, examples in setup.splits.items():
    if split != 'train' and np.any(examples.labels != -1):
      scores[split], predictions = score(progress.best, split)
      label = log_lib.collapsed_to(setup.task, predictions)
      if split == 'dev' and label is not None:
        notes.append(
            f'collapse: every dev example is called {label!r}; try a lower '
            '--learning_rate or another --seed')
  padded, real = setup.schedule.tokens(0, setup.steps)
  return records.Record(
      experiment=experiment, config=config_lib.portable(config),
      metrics=scores, trained_params=trees.count_trained(setup.tuned),
      total_params=trees.count(setup.params),
      roles=console.role_counts(setup.tuned),
      seconds=round(log['seconds'], 1),
      cpu_seconds=round(log['cpu_seconds'], 1),
      steps=setup.steps, best_step=int(progress.best_step),
      padded_tokens=padded, real_tokens=real, history=log['history'],
      notes=notes, device=console.describe_devices(), versions=versions(),
      commit=records.commit_of(os.path.dirname(os.path.abspath(__file__))))


def save(
    folder: str, setup: setup_lib.Setup, progress: loop.Progress,
    record: records.Record,
) -> None:
  """Writes the adapter, then the record; the state for resuming goes."""
  best = sharding.gather(setup.mesh, progress.best)
  if not sharding.first_host():
    return
  storage.save_tuned(
      os.path.join(folder, 'adapter'), best,
      setup_lib.artefact(record.config, setup.task))
  records.write(os.path.join(folder, records.RECORD), record)
  shutil.rmtree(os.path.join(folder, 'resume'), ignore_errors=True)
