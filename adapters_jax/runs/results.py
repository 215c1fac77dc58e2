"""Results of a finished training: scores, record and adapter, saved."""

import logging
import os
from typing import Any

from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.data import thresholds
from adapters_jax.runs import compact
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import console
from adapters_jax.runs import frozen
from adapters_jax.runs import group as group_lib
from adapters_jax.runs import identity
from adapters_jax.runs import log as log_lib
from adapters_jax.runs import machine
from adapters_jax.runs import records
from adapters_jax.runs import setup as setup_lib
from adapters_jax.runs import sittings
from adapters_jax.runs import workdirs
from adapters_jax.runs.kinds import kind as kind_lib
from adapters_jax.training import hosts
from adapters_jax.training import loop
from adapters_jax.training import sharding
from adapters_jax.training import steps

_log = logging.getLogger(__name__)

COLLAPSE = 'collapse: '  # Beginning of the note on a run of one class.


def make_adapter(
    config: config_lib.Config, setup: setup_lib.Setup, kind: kind_lib.Kind,
    tuned: trees.Tree, scores: dict[str, dict[str, float]],
    threshold: float | None = None,
) -> adapter_lib.Adapter:
  """Returns the adapter of a finished run.

  Args:
    config: Settings.
    setup: Setup of the run.
    kind: Kind of the task.
    tuned: Tuned tree of the best step.
    scores: {split: {metric: value}}
    threshold: Probability from which on a label is given; None for the most
      probable class.
  """
  origin = setup.origin or identity.origin_of(config)
  head = kind.head_of(config)
  below = frozen.of(config)
  methods = setup.model.config.adapters
  kept = trees.split(setup.start, setup.select)[1]
  whole, members = below.whole(len(methods) - len(below.methods))
  return adapter_lib.Adapter(
      methods=methods,
      tuned=trees.overlay(trees.overlay(below.tuned, kept), tuned),
      setup=whole, members=members,
      head_input=head.name, labels=tuple(setup.task.labels),
      # Embeddings are of one text, though trained on pairs.
      texts=tuple(setup.task.texts if head.dense else head.texts),
      max_length=config.max_length,
      base=origin.base, task=setup.task.name, scores=scores,
      settings=origin.settings, base_files=origin.base_files,
      hidden_activation=config.hidden_activation,
      family=setup.model.config.family, threshold=threshold)


def best_of(progress: loop.Progress, setup: setup_lib.Setup) -> trees.Tree:
  """Returns the tuned tree of the best step.

  If that is the last one, it is the tree that the last evaluation has read, so
  that a score finds the outputs on dev at hand.

  Args:
    progress: Progress of one run.
    setup: Setup of the run.
  """
  return (progress.state.tuned if int(progress.best_step) == setup.steps
          else progress.best)


def all_scores(
    setup: setup_lib.Setup, kind: kind_lib.Kind, score: kind_lib.Score,
    best: trees.Tree, *, report: bool = False,
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, str]], list[str],
           float | None]:
  """Scores the best step on all labelled splits but 'train'.

  Args:
    setup: Setup of the run.
    kind: Kind of the task.
    score: Score of `kind.make_score`.
    best: Tuned tree of the best step.
    report: Whether to log the task's own tables.

  Returns:
    ({split: {metric: value}}, {split: packed outcomes}, remarks, probability
    from which on a label is given).
  """
  scores, outcomes, notes = {}, {}, []
  for split in setup.scored_splits():
    scores[split], predictions = score(best, split)
    outcomes[split] = {
        name: compact.to_text(values) for name, values in kind.outcomes(
            setup, split, predictions).items() if compact.fits(values)}
    if report and (table := kind.report(setup, split, predictions)):
      _log.info(table)
    label = log_lib.collapsed_to(
        setup.task, predictions, setup.splits[split].labels)
    if split == 'dev' and label is not None:
      same = (f'every dev example is called {label!r}' if label
              else 'no dev example has a predicted label')
      notes.append(f'{COLLAPSE}{same}; try a lower learning rate or another '
                   'seed')
  threshold = kind.threshold_of(score, best)
  if threshold is not None and setup.threshold in ('', thresholds.DEV):
    notes.append(records.THRESHOLD_NOTE.format(threshold))
  return scores, outcomes, notes, threshold


def of_best(record: records.Record) -> dict[str, float]:
  """Returns {'best/step' and 'best/SPLIT/METRIC': number} of a record."""
  return {'best/step': record.best_step, **{
      f'best/{split}/{name}': value
      for split, scores in record.metrics.items()
      for name, value in scores.items()}}


def _last_scores(
    setup: setup_lib.Setup, score: kind_lib.Score, progress: loop.Progress,
    run: log_lib.RunLog, best: dict[str, dict[str, float]],
) -> dict[str, dict[str, float]]:
  """Returns {split: {metric: value}} after the last step."""
  if run.stopped:
    return run.last
  if int(progress.best_step) == setup.steps:
    return best
  return {split: run.history[-1]['dev'] if split == 'dev'
          else score(progress.state.tuned, split)[0]
          for split in setup.scored_splits()}


def finish(
    group: group_lib.Group, index: int, experiment: str, kind: kind_lib.Kind,
    score: kind_lib.Score, progress: loop.Progress, log: log_lib.Log,
    computation: str,
) -> records.Record | str:
  """Scores and saves one run of a group whose training has ended.

  Args:
    group: Runs.
    index: Index of the run.
    experiment: Name of the experiment.
    kind: Kind of the task.
    score: Score of `kind.make_score`.
    progress: Progress after the last step, [runs, ...] for several.
    log: Log of the group.
    computation: Types and precisions on the device.

  Returns:
    The record, or the reason of the run's failure.

  Raises:
    steps.NotFinite: outputs of the only run that are not finite.
  """
  if log.runs[index].failed:
    return log.runs[index].failed
  config, setup = group.configs[index], group.members[index]
  folder = workdirs.path_of(config, experiment)
  if (record := workdirs.finished(folder)) is not None:
    return record  # A kill came after this record, before the group's last.
  progress = group.take(progress, index)
  try:
    scores, outcomes, notes, threshold = all_scores(
        setup, kind, score, best_of(progress, setup), report=len(group) == 1)
    last = _last_scores(setup, score, progress, log.runs[index], scores)
  except steps.NotFinite as error:
    if len(group) == 1:
      raise
    return str(error)  # The other runs are saved.
  record = _make_record(
      config, experiment, setup, progress, log, index,
      metrics=scores, predictions=outcomes, notes=[*setup.notes, *notes],
      last=last, computation=computation)
  # Before `by_first`: every host must take part in the gathering.
  best = sharding.gather(setup.mesh, progress.best)
  if len(group) > 1:
    best = group_lib.narrow(best, setup.tuned)  # To the run's own size.
  # All hosts wait, so that each may read the files.
  hosts.by_first(lambda: save(
      folder, make_adapter(config, setup, kind, best, scores, threshold),
      record))
  return record


def _make_record(
    config: config_lib.Config, experiment: str, setup: setup_lib.Setup,
    progress: loop.Progress, log: log_lib.Log, index: int, **found: Any,
) -> records.Record:
  """Returns the record of a finished run, with its share of a group's time."""
  run = log.runs[index]
  steps_taken = run.stopped or setup.steps
  if run.stopped and run.stopped < setup.steps:
    found['notes'] = [*found['notes'], (
        f'stopped after step {run.stopped} of {setup.steps}: no better dev '
        f'score in {config.patience} evaluations')]
  found['notes'] = [*found['notes'], *sittings.notes(run)]
  padded, real = setup.schedule.tokens(0, steps_taken)
  return records.Record(
      experiment=experiment, config=setup.origin.settings,
      trained_params=trees.count_trained(setup.tuned),
      total_params=trees.count(setup.params),
      roles=console.role_counts(setup.tuned),
      seconds=round(log.seconds / len(log.runs), 1),
      cpu_seconds=round(log.cpu_seconds / len(log.runs), 1),
      steps=steps_taken, best_step=int(progress.best_step),
      padded_tokens=padded, real_tokens=real,
      history=run.history, device=console.describe_devices(),
      versions=machine.versions(),
      commit=sittings.commit(),
      data=setup.data, machine=machine.describe(),
      peak_bytes=machine.peak_bytes(), date=machine.now(),
      base=setup.origin.base, base_files=setup.origin.base_files, **found)


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
  records.write(workdirs.record_of(folder), record)
