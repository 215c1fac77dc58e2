"""Task and Split: the description of a task, and the examples of a split."""

from collections.abc import Sequence
import dataclasses
from typing import Any

import numpy as np


# Labels of a text: one class or score, several classes, or the number of one of
# its choices.
FORMS = ('single', 'multilabel', 'multiple_choice')


@dataclasses.dataclass(frozen=True)
class Task:
  """A task of one or two texts, with a class or a score to predict.

  Attributes:
    name: Name of the task, as in the setting `task`.
    source: Dataset of TFDS, as 'builder/config'. Rows with a feature `idx` are
      sorted by it; others keep the order of TFDS.
    texts: Feature of the text, or features of the two texts.
    labels: Names of the classes, in the order of their numbers; empty for
      regression. If the target is a text, its values.
    metrics: Keys of metrics.METRICS; the first one picks the best step.
    target: Feature of the label or score. Examples without a label, which
      have -1 or an empty text, are left out of splits with labels.
    positive_above: Largest rating of class 0, where the target is a rating and
      the task has two classes.
    splits: (name of the split, its name in TFDS) pairs, 'train' and 'dev' among
      them. Parts such as 'train[90%:]' have TFDS's own notation.
    form: Form of its labels, one of FORMS. The `labels` of multiple choice are
      the numbers of the choices.
  """
  name: str
  source: str
  texts: tuple[str, ...]
  labels: tuple[str, ...]
  metrics: tuple[str, ...]
  target: str = 'label'
  positive_above: float | None = None
  splits: tuple[tuple[str, str], ...] = (
      ('train', 'train'), ('dev', 'validation'), ('test', 'test'))
  form: str = 'single'

  @property
  def outputs(self) -> int:
    """Number of classes; 1 for regression, and for a score of each choice."""
    return 1 if self.form == 'multiple_choice' else len(self.labels) or 1


@dataclasses.dataclass(frozen=True)
class Split:
  """The examples of a split, in a fixed order.

  Attributes:
    texts: One or two texts for each example; of multiple choice a text and a
      tuple of choices.
    labels: [examples] int32 classes or float32 scores; -1 where unknown. Or
      [examples, classes] float32, 1 for each of several labels.
    labelled: Whether the labels are known, unlike those of GLUE's test splits.
      A score of -1 is a score like others.
  """
  texts: Sequence[Any]
  labels: np.ndarray
  labelled: bool = True

  def __len__(self) -> int:
    return len(self.texts)

  def take(self, rows: Sequence[int]) -> 'Split':
    """Returns some of the examples, by their numbers from 0."""
    return dataclasses.replace(
        self, texts=[self.texts[row] for row in rows],
        labels=self.labels[list(rows)])
