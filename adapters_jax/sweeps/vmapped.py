"""Runs of equal shapes trained together, vmapped over what is tuned.

One program trains several runs on one base: their states are stacked to
[runs, ...] and the base is not. Runs of a group may differ in seed, rate, init
scale and adapter size; narrow adapters are padded with zeros, which stay zeros
(every activation has f(0) = 0), and are cut back when saved.

Every run keeps the data order, the dropout and the best step of its own. Only
the sequence of bucket lengths is shared, as the batches of a step must have one
shape: it is that of ORDER_SEED in every group. So a run comes out the same in
whatever group it is, up to rounding, and differs from the same settings trained
alone as another order of the batches makes it differ; a note in the record says
so. Either counts as the finished run of its settings.

A group's state is in a folder beside its runs' until all of them are finished.
It is for one process, with all of its devices.
"""

from collections.abc import Callable, Sequence
import contextlib
import dataclasses
import os
import shutil
from typing import Any

import jax
import numpy as np

from adapters_jax import errors
from adapters_jax.model import pretrained
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import console
from adapters_jax.runs import log as log_lib
from adapters_jax.runs import records
from adapters_jax.runs import run
from adapters_jax.runs import setup as setup_lib
from adapters_jax.runs import signals
from adapters_jax.runs import steps
from adapters_jax.runs import workdirs
from adapters_jax.sweeps import grid
from adapters_jax.sweeps import units
from adapters_jax.training import loop
from adapters_jax.training import precision
from adapters_jax.training import resume as resume_lib
from adapters_jax.training import sharding
from adapters_jax import trees

ORDER_SEED = 0


@dataclasses.dataclass(frozen=True)
class Group:
  """Runs to train together.

  Attributes:
    configs: Their settings.
    setup: What they share, with the model of the widest.
    members: What each is made of, at its own size.
  """
  configs: tuple[config_lib.Config, ...]
  setup: setup_lib.Setup
  members: tuple[setup_lib.Setup, ...]

  def first(self, runs: int) -> 'Group':
    """Returns the group of the first runs alone."""
    return dataclasses.replace(
        self, configs=self.configs[:runs], members=self.members[:runs])


def widen(tree: trees.Tree, like: trees.Tree) -> trees.Tree:
  """Returns the tree with zeros behind each axis, in the shapes of another."""
  return jax.tree.map(
      lambda leaf, wide: np.pad(leaf, [
          (0, b - a) for a, b in zip(leaf.shape, wide.shape, strict=True)]),
      tree, like)


def narrow(tree: trees.Tree, like: trees.Tree) -> trees.Tree:
  """Returns the first entries of each axis: what `widen` was given."""
  return jax.tree.map(
      lambda leaf, small: leaf[tuple(map(slice, small.shape))], tree, like)


def assemble(
    configs: Sequence[config_lib.Config], kind: run.Kind,
    mesh: jax.sharding.Mesh | None = None,
) -> Group:
  """Loads data and checkpoint once, and initialises every run at its size."""
  setup = kind.prepare(max(configs, key=lambda c: c.adapter_size), mesh)
  shape = setup.model.config
  folder = pretrained.resolve(configs[0].checkpoint)
  base = pretrained.load_base(
      folder, pooler=configs[0].head_input == 'pooler')
  note = (f'trained as one of {len(configs)} runs of one program: times are '
          'its share, and its batches\' lengths come in the order of seed '
          f'{ORDER_SEED}')
  members = []
  for config in configs:
    model = setup.model.clone(config=dataclasses.replace(
        shape, adapters=setup_lib.adapter_configs(config, shape.layers),
        first_layer=0))  # The whole model, even if its lower layers are kept.
    tuned, params = setup_lib.init_tuned(
        model, base, setup.select, config.seed, folder)
    members.append(dataclasses.replace(
        setup, model=model, tuned=tuned, params=params,
        schedule=dataclasses.replace(
            setup.schedule, seed=config.seed, order_seed=ORDER_SEED),
        notes=(*setup.notes, note)))
  return Group(tuple(configs), setup, tuple(members))


def initial(group: Group) -> loop.Progress:
  """Returns the progress of a group that has not begun, [runs, ...]."""

  def make(tuned):
    return trees.stack(
        loop.init_progress(steps.init_state(
            config, steps.make_optimizer(config, group.setup), one))
        for config, one in zip(group.configs, tuned, strict=True))

  return sharding.create(group.setup.mesh, make, [
      widen(member.tuned, group.setup.tuned) for member in group.members])


def make_batch(group: Group, step: int) -> dict[str, jax.Array]:
  """Returns the arrays [runs, batch, ...] of a step, on the devices."""
  return sharding.place_group(
      group.setup.mesh,
      [member.schedule.batch(step) for member in group.members])


def run_group(
    configs: Sequence[config_lib.Config], experiment: str,
    kind: run.Kind | None = None,
) -> list[records.Record | str]:
  """Trains, evaluates and saves runs together; goes on where they were.

  A run whose loss is not finite fails alone.

  Args:
    configs: The runs, all of one `units.key`.
    experiment: The name that their folders and records carry.
    kind: What they are about; run.CLASSIFICATION when None.

  Returns:
    The record of each, or why it failed; the records are in the workdirs too.

  Raises:
    options.UserError: something in the settings, the data or the folders.
    training.Interrupted: a signal came; the state is saved.
  """
  kind = kind or run.CLASSIFICATION
  if len({units.key(config) for config in configs}) != 1:
    raise ValueError(
        f'runs of a group may differ in {", ".join(units.FREE)} alone')
  configs = [dataclasses.replace(c, resume=True) for c in configs]
  for config in configs:
    setup_lib.check(config, experiment, kind.find)
  shared = configs[0]
  mesh = sharding.make_mesh(
      shared.mesh, shared.batch_size, accumulate=shared.accumulate)
  run.enable_compilation_cache()
  shape = pretrained.config_of(shared.checkpoint)
  chosen = precision.choose(shared.precision, shape.dim // shape.heads)
  with contextlib.ExitStack() as stack:
    paths = [stack.enter_context(workdirs.claimed(config, experiment))
             for config in configs]
    stack.enter_context(jax.default_matmul_precision(chosen.matmul))
    stop = stack.enter_context(signals.caught())
    folder = units.begin(configs, experiment)
    print(console.device_line(run.versions()))
    print(f'{chosen}; {sharding.describe(mesh)}; {len(configs)} runs together')
    group = assemble(configs, kind, mesh)
    score = kind.make_score(group.setup, shared.batch_size)
    progress, log = _train(group, kind, score, folder, stop)
    found = [_finish(group, i, experiment, score, progress, log, path)
             for i, path in enumerate(paths)]
    shutil.rmtree(folder)
  return found


def run_unit(
    configs: Sequence[config_lib.Config], experiment: str, kind: run.Kind
) -> list[records.Record | str]:
  """Makes one run as `run.run` does, or a group; goes on where they were.

  Returns:
    The record of each, or why it failed.
  """
  try:
    if len(configs) > 1:
      return run_group(configs, experiment, kind)
    return [run.run(
        dataclasses.replace(configs[0], resume=True), experiment, kind)]
  except errors.UserError as error:
    return [str(error)] * len(configs)


def _finish(
    group: Group, index: int, experiment: str, score: run.Score,
    progress: loop.Progress, log: dict[str, Any], folder: str,
) -> records.Record | str:
  """Saves one run of a group; returns its record, or why it failed."""
  mine, member = log['members'][index], group.members[index]
  if mine['failed']:
    return mine['failed']
  if (record := workdirs.finished(folder)) is not None:
    return record  # Killed between the first record and the last.
  progress = jax.tree.map(lambda leaf: leaf[index], progress)
  record = run.make_record(
      group.configs[index], experiment, member, score, progress,
      {**mine, **{name: log[name] / len(group.members)
                  for name in log_lib.CLOCKS}})
  run.save(
      folder, member,
      progress.replace(best=narrow(progress.best, member.tuned)), record)
  return record


def _train(
    group: Group, kind: run.Kind, score: run.Score, folder: str,
    stop: Callable[[], bool],
) -> tuple[loop.Progress, dict[str, Any]]:
  """Trains a group to the end, from its saved state if there is one.

  Returns:
    The progress [runs, ...], and the log: 'members', each with its 'history',
    'losses' and 'failed' (why, or ''), and the times of the whole.
  """
  setup, configs = group.setup, group.configs
  _, train_step = steps.make_step(
      configs[0], setup, kind.loss_of(setup), len(configs))
  progress = initial(group)
  log = {**log_lib.new(),
         'members': [{**log_lib.new(), 'failed': ''} for _ in configs]}
  resume = resume_lib.Resume(os.path.join(folder, 'resume'))
  saved = resume.restore(progress)
  if saved:
    progress, log = saved
    print(f'going on from step {loop.steps_taken(progress)}')
  bar = console.ProgressBar(
      setup.steps, loop.steps_taken(progress),
      len(configs) * configs[0].batch_size)
  names = [grid.describe(config, configs) for config in configs]
  rates = [steps.make_rate(config, setup.steps) for config in configs]
  clocks = log_lib.Clocks(log)

  def alive():
    return [(i, member) for i, member in enumerate(log['members'])
            if not member['failed']]

  def check(step, values, _):
    for i, member in alive():
      try:
        loop.demand_finite(
            step, {name: value[i] for name, value in values.items()},
            rates[i](step))
      except errors.UserError as error:
        member['failed'] = str(error)
        bar.write(f'failed: {names[i]}: {error}')
        if not alive():
          raise  # Nothing is left to train.

  def report(step, values):
    for i, member in alive():
      member['losses'].append(float(values['loss'][i]))
    losses = [member['losses'][-1] for _, member in alive()] or [float('nan')]
    bar.update(float(np.mean(losses)), max(rate(step) for rate in rates))

  def evaluate(tuned, step):
    scores = np.full(len(configs), -np.inf)
    for i, member in alive():
      one = jax.tree.map(lambda leaf, i=i: leaf[i], tuned)
      dev, predictions = score(one, 'dev')
      entry = log_lib.add_evaluation(
          member, step, dev, predictions, setup.task)
      bar.write(f'step {step}: {names[i]}: loss {entry["loss"]:.4f}; dev '
                f'{console.percent(dev)}')
      scores[i] = dev[setup.task.metrics[0]]
    return scores

  def save(progress):
    clocks.update(log)
    resume.save(progress, log)

  try:
    progress = loop.fit(
        train_step, progress, setup.base,
        lambda step: make_batch(group, step), steps=setup.steps,
        eval_every=setup.eval_every, evaluate=evaluate, save=save,
        report=report, stop=stop, check=check)
  except errors.UserError:
    if alive():
      raise
  finally:
    bar.close()
    resume.close()
  return progress, log
