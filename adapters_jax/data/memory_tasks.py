"""The task of examples in memory, and its splits."""

from collections.abc import Mapping, Sequence
import logging
from typing import Any

import numpy as np

from adapters_jax import errors
from adapters_jax.data import choices
from adapters_jax.data import held_out
from adapters_jax.data import label_sets
from adapters_jax.data import label_values
from adapters_jax.data import memory
from adapters_jax.data import tasks

_log = logging.getLogger(__name__)

NAME = 'examples'  # Of the task of examples in memory.
_FEW = 10  # Different whole numbers that may be classes.


def to_task(
    examples: memory.Examples, dev: memory.Examples | None = None,
    test: memory.Examples | None = None,
) -> tuple[tasks.Task, dict[str, tasks.Split]]:
  """Returns the task of examples in memory, and its splits.

  Args:
    examples: Training examples; without `dev` a tenth of them, drawn with a
      fixed seed, is held out for it.
    dev: Examples that choose the best step.
    test: Further examples to score.

  Returns:
    (task, {'train', 'dev' and perhaps 'test': split}). The classes are the
    names of the training examples, in their order, or else the labels that
    occur in them, sorted.

  Raises:
    errors.UserError: fewer than two examples or classes, or splits that differ
      in their kind of texts or labels.
  """
  if dev is None:
    if len(examples) < 2:
      raise errors.UserError('`texts`: two examples or more are needed')
    kept, drawn = held_out.draw(len(examples), held_out.SHARE)
    train, dev = examples.take(kept), examples.take(drawn)
    held_out.warn_of_known(train.rows, dev.rows)
  else:
    train = examples
  given = {'train': train, 'dev': dev}
  if test is not None:
    given['test'] = test
  if examples.form == 'multiple_choice':
    return _choices(examples, given)
  # From all examples: those held out may have all examples of a rare class.
  kind = label_values.kind_of(examples.labels, memory.place())
  if kind == 'list':
    return _several(examples, given)
  regression = kind == 'float'
  found = [] if regression else sorted(set(examples.labels))
  if regression:
    _warn_of_classes(examples.labels)
  elif len(found) < 2:
    raise errors.UserError(
        f'`labels`: all are {found[0]!r}; two classes are needed, or floats '
        'as scores')
  classes = examples.names or found
  task = tasks.Task(
      name=NAME, source='',
      texts=('text', 'pair')[:len(examples.rows[0])],
      labels=tuple(map(str, classes)),  # Names, for the saved adapter.
      metrics=(('spearman', 'pearson') if regression
               else ('accuracy', 'macro_f1')))
  return task, {name: _split(name, split, task, classes, kind)
                for name, split in given.items()}


def _warn_of_classes(scores: Sequence[float]) -> None:
  """Warns of scores that may be classes.

  In a table, a missing value makes all integers of its column floats.

  Args:
    scores: Floats, perhaps with integers among them.
  """
  found = sorted({float(score) for score in scores})
  if 1 < len(found) <= _FEW and all(map(float.is_integer, found)):
    _log.warning(
        '`labels`: %s and %s are read as scores; give integers for classes',
        ', '.join(map(str, found[:-1])), found[-1])


def _check_forms(
    examples: memory.Examples, given: Mapping[str, memory.Examples]
) -> None:
  """Raises UserError for a split whose inputs or labels have another form."""
  width = len(examples.rows[0])
  for name, split in given.items():
    if split.form != examples.form or len(split.rows[0]) != width:
      raise errors.UserError(
          f'`{name}`: its texts or labels are of another form than those for '
          'training')


def _choices(
    examples: memory.Examples, given: Mapping[str, memory.Examples]
) -> tuple[tasks.Task, dict[str, tasks.Split]]:
  """Returns the task of examples with choices.

  Args:
    examples: All training examples.
    given: {split: its examples}
  """
  _check_forms(examples, given)
  count = len(examples.rows[0][1])
  for name, split in given.items():
    choices.check_counts(split.rows, [
        f'`{name}`, texts[{row}]' for row in range(len(split))], count)
  return choices.make_task(NAME, choices.TEXTS, count), {
      name: tasks.Split(split.rows, choices.answers(name, split.labels, count))
      for name, split in given.items()}


def _several(
    examples: memory.Examples, given: Mapping[str, memory.Examples]
) -> tuple[tasks.Task, dict[str, tasks.Split]]:
  """Returns the task of examples with several labels.

  Args:
    examples: All training examples.
    given: {split: its examples}
  """
  _check_forms(examples, given)
  for name, split in given.items():
    label_values.kind_of(split.labels, memory.place(name))
  columns = label_values.columns_of(examples.labels, memory.place())
  found = {one for row in examples.labels for one in row}
  if not (found - {0} if columns else found):
    raise errors.UserError('`labels`: no text has a label')
  if columns:
    names: list[Any] = list(range(columns))
    for name, split in given.items():
      label_values.check_columns(split.labels, columns, memory.place(name))
    matrices = {name: np.array(split.labels, np.float32)
                for name, split in given.items()}
  else:
    names = examples.names or sorted(found)
    matrices = {name: _matrix(name, split, examples, names)
                for name, split in given.items()}
  task = tasks.Task(
      name=NAME, source='',
      texts=('text', 'pair')[:len(examples.rows[0])],
      labels=tuple(map(str, names)), metrics=label_sets.METRICS,
      form='multilabel')
  return task, {name: tasks.Split(split.rows, matrices[name])
                for name, split in given.items()}


def _matrix(
    name: str, split: memory.Examples, examples: memory.Examples,
    names: Sequence[Any],
) -> np.ndarray:
  """Returns [examples, labels] float32, 1 for each label of an example.

  Args:
    name: Name of the split.
    split: Its examples.
    examples: All training examples.
    names: Their labels, in order.
  """
  wanted = label_values.kind_of_rows(examples.labels, memory.place())
  found = label_values.kind_of_rows(split.labels, memory.place(name))
  if found not in ('', wanted):
    raise errors.UserError(
        f'`{name}`: its labels are {found}s, those for training {wanted}s')
  label_values.check_distinct(split.labels, memory.place(name))
  return label_sets.to_matrix(split.labels, label_values.numbered(
      split.labels, names, lambda row: f'`{name}`, labels[{row}]', 'training'))


def _split(
    name: str, examples: memory.Examples, task: tasks.Task,
    classes: Sequence[Any], kind: str,
) -> tasks.Split:
  """Returns a split; raises UserError for one unlike the training examples.

  Args:
    name: Name of the split.
    examples: Its examples.
    task: Task.
    classes: Classes of training, () for scores.
    kind: Kind of the labels of training.
  """
  rows = examples.rows
  if len(rows[0]) != len(task.texts):
    raise errors.UserError(
        f'`{name}`: its inputs have {len(rows[0])} texts, those for training '
        f'{len(task.texts)}')
  found = label_values.kind_of(examples.labels, memory.place(name))
  if kind == 'float' and found == 'integer':
    found = 'float'
  if found != kind:
    raise errors.UserError(
        f'`{name}`: its labels are {found}s, those for training {kind}s; give '
        'the same kind')
  if not classes:
    scores = list(map(float, examples.labels))
    label_values.check_scores(scores, memory.place(name))
    return tasks.Split(rows, np.array(scores, np.float32))
  number = label_values.numbered(
      zip(examples.labels), classes, lambda _: f'`{name}`', 'training')
  return tasks.Split(
      rows, np.array([number[label] for label in examples.labels], np.int32))
