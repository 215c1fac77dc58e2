"""Predictions of finished runs on dev and test, as TSV or JSONL."""

import os
from typing import Any

from adapters_jax import errors
from adapters_jax.adapters import prediction as prediction_lib
from adapters_jax.adapters import readings
from adapters_jax.data import predicted
from adapters_jax.downloads import atomic
from adapters_jax.runs import config as config_lib
from adapters_jax.runs.kinds import kind as kind_lib
from adapters_jax.sweeps import outcome as outcome_lib


def best_runs(outcome: outcome_lib.Outcome) -> list[outcome_lib.Run]:
  """Returns the run of each task and metric that is best on dev.

  Args:
    outcome: Finished runs.

  Raises:
    errors.UserError: a best run's adapter is not on this machine.
  """
  best = outcome_lib.best_of_tasks(outcome.runs())
  for task, (_, folder, _) in best:
    if not os.path.isdir(os.path.join(folder, 'adapter')):
      raise errors.UserError(
          f'`write_predictions`: the best run of {task} left no adapter in '
          f'{folder}, only a record; run it again without `records`')
  return [run for _, run in best]


def writer_of(
    adapter: Any, form: str, checked: bool = False
) -> predicted.Writer:
  """Returns the writer of an adapter's predictions.

  Args:
    adapter: Adapter.
    form: Format, one of `predicted.FORMATS`.
    checked: Whether the correct labels, scores or answers follow.
  """
  return predicted.Writer(
      form, adapter.texts, adapter.classes, adapter.head_input == 'tokens',
      adapter.head.reads_words, checked, adapter.threshold,
      adapter.head.multilabel, adapter.head.choices,
      adapter.settings.get('label_separator') or ',')


def shown(adapter: Any, value: Any) -> Any:
  """Returns probabilities, a score [1], an answer or a tagged sentence.

  Args:
    adapter: Adapter.
    value: Logits, an answer or a tagged sentence, of `prediction.values`.
  """
  if adapter.head.reads_words:
    return value
  return (readings.shares_of(adapter, value)
          if adapter.classes or adapter.head.choices else value)


def _write_run(
    config: config_lib.Config, kind: kind_lib.Kind, folder: str, form: str,
) -> list[str]:
  """Writes the predictions of a finished run on all splits but train.

  Args:
    config: Settings of the run.
    kind: Kind of the task.
    folder: Workdir of the run.
    form: Format, one of `predicted.FORMATS`.

  Returns:
    Paths of the files, one a split, below the workdir.
  """
  base, adapter = prediction_lib.load(folder, config.checkpoint)
  writer = writer_of(adapter, form, checked=True)
  paths = []
  for split, (texts, labels) in kind.inputs(config).items():
    found, _ = prediction_lib.values(
        base, {'': adapter}, [''] * len(texts), texts, config.batch_size)
    lines = [*writer.header(), *(
        writer.line(row, shown(adapter, one), label) for row, one, label in zip(
            texts, found, labels or [None] * len(texts), strict=True))]
    paths.append(os.path.join(folder, 'predictions', f'{split}.{form}'))
    with atomic.replacing(paths[-1]) as file:
      file.write(''.join(f'{line}\n' for line in lines).encode())
  return paths


def write_best(
    outcome: outcome_lib.Outcome, kind: kind_lib.Kind, form: str,
) -> list[str]:
  """Writes the predictions of each task's run that is best on dev.

  Args:
    outcome: Finished runs.
    kind: Kind of the tasks.
    form: Format, one of `predicted.FORMATS`.

  Returns:
    Paths of the files.

  Raises:
    errors.UserError: a best run's adapter is not on this machine.
  """
  # Each by its own settings: a grid may cross columns, files and bases.
  return [
      path for _, folder, config in best_runs(outcome)
      for path in _write_run(config, kind, folder, form)]
