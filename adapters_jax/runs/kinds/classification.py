"""Classification and regression: one label for a text or a pair of texts."""

from collections.abc import Mapping
import functools

import numpy as np

from adapters_jax.data import batching
from adapters_jax.data import metrics
from adapters_jax.data import tasks
from adapters_jax.model import heads
from adapters_jax.runs import compiled
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import setup as setup_lib
from adapters_jax.runs.kinds import kind
from adapters_jax.training import steps


def make_score(setup: setup_lib.Setup, batch_size: int) -> kind.Score:
  """Returns score(tuned, split) -> (metrics, predictions [examples]).

  Args:
    setup: Setup of the run.
    batch_size: Number of examples a batch.
  """
  eval_step, batches = compiled.make_eval(setup, batch_size), {}

  def score(tuned, split):
    examples = setup.splits[split]
    if split not in batches:  # Built once; all evaluations share them.
      batches[split] = batching.eval_batches(
          examples, setup.schedule.buckets, batch_size,
          setup.schedule.local_rows)
    logits = steps.example_logits(
        eval_step, setup.base, tuned, batches[split], len(examples))
    predictions = to_predictions(setup.task, logits)
    return metrics.compute(
        setup.task.metrics, examples.labels, predictions), predictions

  return score


def to_predictions(task: tasks.Task, logits: np.ndarray) -> np.ndarray:
  """Returns [examples] classes or scores.

  Args:
    task: Task.
    logits: [examples, outputs]
  """
  # [examples]
  return logits.argmax(-1) if task.labels else logits[:, 0]


def head_of(config: config_lib.Config) -> heads.Head:
  """Returns the head on [CLS] or on the pooler."""
  return heads.HEADS[config.head_input]


def _check_data(config: config_lib.Config) -> None:
  """Raises UserError for a fault of the user's files."""
  if config.files:
    setup_lib.load_data(config)


def _inputs(config: config_lib.Config) -> kind.Inputs:
  """Returns {split: (texts, names of the classes or scores)} but of train.

  Args:
    config: Settings.
  """
  task, splits, _ = setup_lib.load_data(config)

  def truth(split):
    if not split.labelled:
      return None
    return [task.labels[label] for label in split.labels] if (
        task.labels) else split.labels.tolist()

  return {name: (split.texts, truth(split)) for name, split in splits.items()
          if name != 'train'}


KIND = kind.Kind(tasks.find, setup_lib.prepare, make_score, head_of,
                 check_data=_check_data, inputs=_inputs)


def of_examples(
    task: tasks.Task, splits: Mapping[str, tasks.Split]
) -> kind.Kind:
  """Returns the kind of a task whose examples are in memory.

  Args:
    task: Task.
    splits: {'train', 'dev' and perhaps others: examples}.
  """
  prepare = functools.partial(
      setup_lib.prepare, data=(task, dict(splits), []))
  # Any name: the task is not in the table of tasks.
  return kind.Kind(lambda name: task, prepare, make_score, head_of)
