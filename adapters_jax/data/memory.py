"""Examples in memory, converted to a task."""

from collections.abc import Mapping, Sequence, Set
import dataclasses
import numbers
from typing import Any

import numpy as np

from adapters_jax import errors
from adapters_jax.data import choices
from adapters_jax.data import held_out
from adapters_jax.data import label_sets
from adapters_jax.data import tasks

_SEVERAL = (list, tuple, set, frozenset)  # Types of several labels.
_LARGEST = float(np.finfo(np.float32).max)


@dataclasses.dataclass(frozen=True)
class Examples:
  """Labelled texts.

  >>> len(aj.Examples(texts=['A joy.', 'Dull.'], labels=['good', 'bad']))
  2

  Attributes:
    texts: Texts, or pairs of texts; of multiple choice (context, choices), with
      a list of choices.
    labels: Class of each, as a string, an integer or a bool; or scores, all of
      them floats; or a list of labels for each, perhaps empty; or, of multiple
      choice, the number of the right choice, from 0.
  """
  texts: Sequence[str | tuple[str, str] | tuple[str, Sequence[str]]]
  labels: Sequence[Any]

  def __post_init__(self):
    for name in ('texts', 'labels'):
      # Lists: a pandas Series is indexed by its own labels, not by numbers.
      object.__setattr__(self, name, as_list(name, getattr(self, name)))
    if len(self.texts) != len(self.labels):
      raise errors.UserError(
          f'`labels`: there are {len(self.labels)} for {len(self.texts)} texts')
    if not self.texts:
      raise errors.UserError('`texts`: there is no example')
    rows = self.rows
    if self.form == 'multiple_choice':
      choices.check_counts(
          rows, [f'`texts[{row}]`' for row in range(len(rows))],
          len(rows[0][1]))
      return
    for number, row in enumerate(rows):
      if len(row) != len(rows[0]) or len(row) not in (1, 2) or not all(
          isinstance(text, str) for text in row):
        raise errors.UserError(
            f'`texts[{number}]`: give one string each, or a pair each')
    for number, label in enumerate(self.labels):
      if _is_score(label) and not abs(label) <= _LARGEST:  # False for nan.
        raise errors.UserError(
            f'`labels[{number}]`: {label} is no number of float32')

  def __len__(self) -> int:
    return len(self.texts)

  @property
  def form(self) -> str:
    """Form of the labels, one of tasks.FORMS."""
    first = self.texts[0]
    if (isinstance(first, (tuple, list)) and len(first) == 2
        and isinstance(first[1], (tuple, list))):
      return 'multiple_choice'
    return 'multilabel' if isinstance(self.labels[0], _SEVERAL) else 'single'

  @property
  def rows(self) -> list[tuple[Any, ...]]:
    """Each input as a tuple of its one or two texts, or context and choices.
    """
    if self.form == 'multiple_choice':
      return [choices.checked_row(row, f'`texts[{number}]`')
              for number, row in enumerate(self.texts)]
    return [tuple(row) if isinstance(row, (tuple, list)) else (row,)
            for row in self.texts]

  def take(self, rows: Sequence[int]) -> 'Examples':
    """Returns some of the examples, by their numbers."""
    return Examples([self.texts[row] for row in rows],
                    [self.labels[row] for row in rows])


def to_task(
    examples: Examples, dev: Examples | None = None,
    test: Examples | None = None,
) -> tuple[tasks.Task, dict[str, tasks.Split]]:
  """Returns the task of examples in memory, and its splits.

  Args:
    examples: Training examples; without `dev` a tenth of them, drawn with a
      fixed seed, is held out for it.
    dev: Examples that choose the best step.
    test: Further examples to score.

  Returns:
    (task, {'train', 'dev' and perhaps 'test': split}). Classes are sorted.

  Raises:
    errors.UserError: fewer than two examples or classes, or splits that differ
      in their kind of texts or labels.
  """
  if dev is None:
    if len(examples) < 2:
      raise errors.UserError('`texts`: two examples or more are needed')
    kept, drawn = held_out.draw(len(examples), held_out.SHARE)
    train, dev = examples.take(kept), examples.take(drawn)
  else:
    train = examples
  given = {'train': train, 'dev': dev}
  if test is not None:
    given['test'] = test
  if examples.form != 'single':
    return _to_task(examples, given)
  # From all examples: a rare class may be among those held out alone.
  regression = all(map(_is_score, examples.labels))
  classes = [] if regression else sorted(_classes(examples.labels))
  if not regression and len(classes) < 2:
    raise errors.UserError(
        f'`labels`: all are {classes[0]!r}; two classes are needed, or floats '
        'as scores')
  task = tasks.Task(
      name='examples', source='',
      texts=('text', 'pair')[:len(examples.rows[0])],
      labels=tuple(map(str, classes)),  # Names, for the saved adapter.
      metrics=(('spearman', 'pearson') if regression
               else ('accuracy', 'macro_f1')))
  return task, {name: _split(name, split, task, classes)
                for name, split in given.items()}


def _to_task(
    examples: Examples, given: Mapping[str, Examples]
) -> tuple[tasks.Task, dict[str, tasks.Split]]:
  """Returns the task of examples with several labels or with choices.

  Args:
    examples: All training examples.
    given: {split: its examples}
  """
  rows = examples.rows
  for name, split in given.items():
    if split.form != examples.form or len(split.rows[0]) != len(rows[0]):
      raise errors.UserError(
          f'`{name}`: its texts or labels are of another form than those for '
          'training')
  if examples.form == 'multiple_choice':
    count = len(rows[0][1])
    for name, split in given.items():
      choices.check_counts(split.rows, [
          f'`{name}`, texts[{row}]' for row in range(len(split))], count)
    return choices.make_task('examples', choices.TEXTS, count), {
        name: tasks.Split(split.rows, _answers(name, split, count))
        for name, split in given.items()}
  for number, labels in enumerate(examples.labels):
    if not isinstance(labels, _SEVERAL):
      raise errors.UserError(
          f'`labels[{number}]`: {labels!r} beside {examples.labels[0]!r}; give '
          'a list of labels for each text')
  names = sorted(_classes([one for row in examples.labels for one in row]))
  if not names:
    raise errors.UserError('`labels`: no text has a label')
  numbered: Mapping[Any, int] = {
      label: number for number, label in enumerate(names)}
  for name, split in given.items():
    for row, labels in enumerate(split.labels):
      for label in labels:
        if label not in numbered:
          raise errors.UserError(
              f'`{name}`, labels[{row}]: {label!r} does not occur in training, '
              f'which has {", ".join(map(str, names[:20]))}')
  task = tasks.Task(
      name='examples', source='', texts=('text', 'pair')[:len(rows[0])],
      labels=tuple(map(str, names)), metrics=label_sets.METRICS,
      form='multilabel')
  return task, {
      name: tasks.Split(
          split.rows, label_sets.to_matrix(split.labels, numbered))
      for name, split in given.items()}


def _answers(name: str, examples: Examples, count: int) -> np.ndarray:
  """Returns [examples] int32 answers; UserError for one out of range."""
  for number, label in enumerate(examples.labels):
    if not isinstance(label, (int, np.integer)) or not 0 <= label < count:
      raise errors.UserError(
          f'`{name}`, labels[{number}]: {label!r} is none of the {count} '
          f'choices; give a number from 0 to {count - 1}')
  return np.array(examples.labels, np.int32)


def as_list(name: str, values: Any) -> list[Any]:
  """Returns values as a list.

  Args:
    name: Name of the argument, for messages.
    values: List, array, pandas Series or another iterable.

  Raises:
    errors.UserError: values without an order, or that iterate over something
      else, such as the characters of a string or the columns of a DataFrame.
  """
  if isinstance(values, (str, bytes)):
    raise errors.UserError(
        f'`{name}`: give a list of {name}, as in [...], not a single string')
  if isinstance(values, (Mapping, Set)) or (
      hasattr(values, 'columns') or not hasattr(values, '__iter__')):
    raise errors.UserError(
        f'`{name}`: give a list, not {type(values).__name__}')
  return list(values)


def _is_score(label: Any) -> bool:
  # `Real` includes integers and bools, which are classes.
  return isinstance(label, numbers.Real) and not isinstance(
      label, (numbers.Integral, np.bool_))


def _classes(labels: Sequence[Any]) -> set[Any]:
  """Returns the distinct labels; raises UserError if they do not compare."""
  def kind(label):
    if isinstance(label, str):
      return str
    # Bools are classes: Python's are integers, numpy's are not.
    return (numbers.Integral
            if isinstance(label, (numbers.Integral, np.bool_)) else None)

  for number, label in enumerate(labels):
    if kind(label) is None or kind(label) != kind(labels[0]):
      raise errors.UserError(
          f'`labels[{number}]`: {label!r} beside {labels[0]!r}; give strings '
          'for all, integers for all, floats for all, or a list of labels for '
          'each')
  return set(labels)


def _split(
    name: str, examples: Examples, task: tasks.Task, classes: Sequence[Any]
) -> tasks.Split:
  """Returns a split; raises UserError for one unlike the training examples."""
  rows = examples.rows
  if len(rows[0]) != len(task.texts):
    raise errors.UserError(
        f'`{name}`: its inputs have {len(rows[0])} texts, those for training '
        f'{len(task.texts)}')
  if not classes:
    if not all(map(_is_score, examples.labels)):
      raise errors.UserError(f'`{name}`: scores must be floats')
    return tasks.Split(rows, np.array(examples.labels, np.float32))
  numbered: Mapping[Any, int] = {
      label: number for number, label in enumerate(classes)}
  for label in examples.labels:
    if label not in numbered:
      raise errors.UserError(
          f'`{name}`: the label {label!r} does not occur in training, which '
          f'has {", ".join(task.labels[:20])}')
  return tasks.Split(
      rows, np.array([numbered[label] for label in examples.labels], np.int32))
