"""Saves the runs of a group individually, so that other groups continue them.

A sweep that stops weak settings regroups its runs at every rung: each run
leaves its group with a state of its own, and joins the next group with it.
"""

from collections.abc import Sequence
import shutil

import jax

from adapters_jax import trees
from adapters_jax.runs import group as group_lib
from adapters_jax.runs import log as log_lib
from adapters_jax.runs import rungs as rungs_lib
from adapters_jax.runs import same_inputs
from adapters_jax.runs import workdirs
from adapters_jax.training import loop
from adapters_jax.training import resume as resume_lib
from adapters_jax.training import saves
from adapters_jax.training import sharding


def _alone(group: group_lib.Group, index: int) -> group_lib.Group:
  """Returns one run of a group as a group of its own."""
  member = group.members[index]
  return group_lib.Group((group.configs[index],), member, (member,))


def pause(
    group: group_lib.Group, progress: loop.Progress, log: log_lib.Log,
    folders: Sequence[str], epochs: float,
) -> list[rungs_lib.Paused | str]:
  """Saves the state of each run, and its score at a rung, in its own workdir.

  Args:
    group: Runs that stand at a rung.
    progress: Their progress, [runs, ...] for several.
    log: Their log.
    folders: Workdir of each run.
    epochs: Epochs before the rung.

  Returns:
    The pause of each run, or the reason of its failure.
  """
  found: list[rungs_lib.Paused | str] = []
  per_epoch = group.setup.schedule.steps_per_epoch
  # A sweep without this rung may have trained the runs beyond it.
  rung = rungs_lib.step_of(epochs, per_epoch)
  waits = loop.steps_taken(progress) / per_epoch
  metric = group.setup.task.metrics[0]
  for i, folder in enumerate(folders):
    if log.runs[i].failed:
      found.append(log.runs[i].failed)
      continue
    if len(group) > 1:  # The state of a single run is saved already.
      # First: if a kill comes now, `waits` must not describe the old state.
      rungs_lib.leave(folder)
      _save_alone(group, i, progress, log, workdirs.state_of(folder))
    score = rungs_lib.score_at(log.runs[i].history, metric, rung)
    rungs_lib.write(folder, rungs_lib.reached(
        rungs_lib.read(folder), epochs, score, waits, log.inputs))
    found.append(rungs_lib.Paused(score, rung))
  return found


def _save_alone(
    group: group_lib.Group, index: int, progress: loop.Progress,
    log: log_lib.Log, folder: str,
) -> None:
  """Saves one run of a group as if it had trained alone."""
  alone = _alone(group, index)
  shapes = jax.eval_shape(lambda: group_lib.initial(alone))
  # Drop the states of earlier rungs, which this one replaces.
  shutil.rmtree(folder, ignore_errors=True)
  resume = resume_lib.Resume(folder)
  runs = len(group)
  resume.save(
      group_lib.narrow(group.take(progress, index), shapes),
      log_lib.Log([log.runs[index]], log.seconds / runs,
                  log.cpu_seconds / runs, log.inputs).to_json())
  resume.close()


def join_progress(
    group: group_lib.Group, folders: Sequence[str]
) -> tuple[loop.Progress, log_lib.Log] | None:
  """Builds a group's progress from the states that its runs saved individually.

  Args:
    group: Runs.
    folders: Workdir of each run.

  Returns:
    (progress [runs, ...], log); None if the runs wait at no common step.

  Raises:
    errors.UserError: a state is damaged, or of other data, of another
      computation or base.
  """
  states = [*map(workdirs.state_of, folders)]
  waits = {rungs_lib.read(folder).waits for folder in folders}
  # Runs that wait after different epochs are at different steps.
  if (len(group) == 1 or len(waits) > 1 or waits == {0.0}
      or not all(map(saves.exists, states))):
    return None
  wide = jax.eval_shape(lambda: group_lib.initial(group))
  wide = jax.tree.map(  # The shapes of one run.
      lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), wide)
  inputs = same_inputs.of_group(group)
  parts, runs, seconds, cpu_seconds = [], [], 0.0, 0.0
  for index, state in enumerate(states):
    resume = resume_lib.Resume(state)
    saved = resume.restore(group_lib.initial(_alone(group, index)))
    resume.close()
    assert saved is not None  # `exists` has found one.
    log = same_inputs.continued(
        log_lib.Log.from_json(saved[1]), inputs, resume.folder)
    parts.append(group_lib.widen(saved[0], wide))
    runs += log.runs
    seconds, cpu_seconds = seconds + log.seconds, cpu_seconds + log.cpu_seconds
  if len(set(map(loop.steps_taken, parts))) > 1:
    # Earlier versions noted a rung for states that had trained beyond it.
    return None
  progress = sharding.create(
      group.setup.mesh, lambda parts: trees.stack(parts), parts)
  return progress, log_lib.Log(runs, seconds, cpu_seconds, inputs)
