"""Labels of texts: a class, a score, several labels, or one of the choices."""

from collections.abc import Mapping, Sequence
import dataclasses
import functools
from typing import Any

import numpy as np
from scipy import special

from adapters_jax import trees
from adapters_jax.data import fingerprint
from adapters_jax.data import label_metrics
from adapters_jax.data import metrics
from adapters_jax.data import tasks
from adapters_jax.data import thresholds
from adapters_jax.model import heads
from adapters_jax.runs import compiled
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import setup as setup_lib
from adapters_jax.runs.kinds import kind
from adapters_jax.training import steps


class Scorer:
  """A `kind.Score` that also has the threshold of its predictions."""

  def __init__(self, setup: setup_lib.Setup, batch_size: int):
    """Prepares the evaluation step.

    Args:
      setup: Setup of the run.
      batch_size: Examples per batch, over all hosts.
    """
    self._setup = setup
    # Logits [examples, outputs], or classes [examples] where they suffice: the
    # logits of thousands of classes would fill the memory.
    self._outputs = compiled.outputs_of(
        setup, batch_size, steps.example_logits if self._reads_logits() else
        functools.partial(steps.example_logits, read=_classes_of))
    # The tuned tree that was last scored on dev, and its threshold.
    self._picked: tuple[Any, float] | None = None

  def __call__(
      self, tuned: trees.Tree, split: str
  ) -> tuple[dict[str, float], np.ndarray]:
    """Returns (metrics, predictions [examples]).

    Args:
      tuned: Tuned tree.
      split: Name of the split.
    """
    found, labels = (
        self._outputs(tuned, split), self._setup.splits[split].labels)
    task = self._setup.task
    if not self._reads_logits():
      return metrics.compute(task.metrics, labels, found), found
    if split == 'dev' and self._setting() == thresholds.DEV:
      self._pick(tuned, found)
    threshold = self.threshold(tuned)
    return (scores(task, task.metrics, labels, found, threshold),
            to_predictions(task, found, threshold))

  def threshold(self, tuned: trees.Tree) -> float | None:
    """Returns the probability from which on a label is predicted.

    Args:
      tuned: Tuned tree, whose outputs on dev may determine the threshold.

    Returns:
      The threshold; None for the most probable class.
    """
    setting = self._setting()
    if setting != thresholds.DEV:
      return float(setting) if setting else None
    if self._picked is None or self._picked[0] is not tuned:
      self._pick(tuned, self._outputs(tuned, 'dev'))
    assert self._picked is not None  # For the type checker.
    return self._picked[1]

  def _setting(self) -> str:
    """Returns the setting `threshold`, with its default."""
    several = self._setup.task.form == 'multilabel'
    return self._setup.threshold or (thresholds.DEV if several else '')

  def _reads_logits(self) -> bool:
    """Returns whether metrics or predictions need more than the classes."""
    task = self._setup.task
    return bool(task.form == 'multilabel' or not task.labels or
                self._setting() or {*task.metrics} & {*metrics.OF_LOGITS})

  def _pick(self, tuned: trees.Tree, logits: np.ndarray) -> None:
    """Picks the best threshold on dev, by a metric that depends on it."""
    task, labels = self._setup.task, self._setup.splits['dev'].labels
    if task.form == 'multilabel':
      found = thresholds.pick_for_labels(
          label_metrics.decided_by(task.metrics), labels,
          special.expit(logits))
    else:
      name, shares = (metrics.decided_by(task.metrics),
                      special.softmax(logits, axis=-1))
      found = thresholds.pick(
          lambda predicted: metrics.compute(
              [name], labels, predicted, logits)[name],
          lambda threshold: thresholds.predicted_class(shares, threshold))
    self._picked = tuned, found


def _classes_of(logits: np.ndarray) -> np.ndarray:
  """Returns [...] the classes of the highest logits [..., classes]."""
  return logits.argmax(-1)


def scores(
    task: tasks.Task, names: Sequence[str], labels: np.ndarray,
    logits: np.ndarray, threshold: float | None,
) -> dict[str, float]:
  """Returns {metric: value}.

  Args:
    task: Task.
    names: Metrics.
    labels: [examples] or [examples, classes]
    logits: [examples, outputs]
    threshold: As for `to_predictions`.
  """
  if task.form == 'multilabel':
    return label_metrics.compute_at_threshold(
        names, labels, special.expit(logits),
        thresholds.HALF if threshold is None else threshold)
  return metrics.compute(
      names, labels, to_predictions(task, logits, threshold), logits)


def to_predictions(
    task: tasks.Task, logits: np.ndarray, threshold: float | None = None
) -> np.ndarray:
  """Returns [examples] classes or scores, or [examples, classes] of 0 and 1.

  Args:
    task: Task.
    logits: [examples, outputs]
    threshold: Probability from which on the second of two classes, or each of
      several labels, is predicted; None for the most probable class.
  """
  if task.form == 'multilabel':
    return thresholds.given(special.expit(logits), threshold).astype(np.int8)
  if not task.labels:
    return logits[:, 0]  # [examples]
  if threshold is None:
    return _classes_of(logits)
  return thresholds.predicted_class(special.softmax(logits, axis=-1), threshold)


def _head_of(config: config_lib.Config) -> heads.Head:
  """Returns the head on [CLS] or on the pooler."""
  return heads.of_form(config.form, config.head_input)


def _inputs(config: config_lib.Config) -> kind.Inputs:
  """Returns {split: (texts, names of the classes or scores)} except train."""
  task, splits, _ = setup_lib.load_data(config)

  def truth(split):
    if not split.labelled:
      return None
    if task.form == 'multilabel':
      return [tuple(name for name, one in zip(task.labels, row) if one)
              for row in split.labels]
    if task.form == 'multiple_choice':
      return split.labels.tolist()
    return [task.labels[label] for label in split.labels] if (
        task.labels) else split.labels.tolist()

  return {name: (split.texts, truth(split)) for name, split in splits.items()
          if name != 'train'}


def _outcomes(
    setup: setup_lib.Setup, split: str, predictions: np.ndarray
) -> dict[str, np.ndarray]:
  """Returns the labels and predictions of a split.

  Sets of up to 63 labels are integers whose bit n is the label n; they come
  with 'label_count', an array [1].
  """
  if setup.task.form != 'multilabel':
    return kind.labelled(setup, split, predictions)
  count = len(setup.task.labels)
  if count > 63:
    return {}  # A record holds integers of 63 bits.
  bits = 1 << np.arange(count, dtype=np.int64)
  return {'label_sets': (setup.splits[split].labels > 0) @ bits,
          'predicted_sets': (predictions > 0) @ bits,
          'label_count': np.array([count])}


KIND = kind.Kind(tasks.find, lambda config: setup_lib.load_data(config)[1],
                 fingerprint.of_split, setup_lib.prepare, Scorer, _head_of,
                 _outcomes, _inputs, Scorer.threshold, of_texts=True)


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
  # `find` ignores the name: the task is not in the table of tasks.
  return dataclasses.replace(
      KIND, find=lambda name: task, prepare=prepare,
      head_of=lambda config: heads.of_form(task.form, config.head_input))
