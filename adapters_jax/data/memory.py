"""Examples in memory, converted to a task."""

from collections.abc import Mapping, Sequence
import dataclasses
import logging
from typing import Any

import numpy as np

from adapters_jax import errors
from adapters_jax.data import choices
from adapters_jax.data import held_out
from adapters_jax.data import label_sets
from adapters_jax.data import label_values
from adapters_jax.data import sequences
from adapters_jax.data import tasks

_log = logging.getLogger(__name__)

NAME = 'examples'  # Of the task of examples in memory.
_FEW = 10  # Different whole numbers that may be classes.


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
  """Labelled texts.

  >>> len(aj.Examples(texts=['A joy.', 'Dull.'], labels=['good', 'bad']))
  2

  Attributes:
    texts: Texts, or pairs of texts; of multiple choice (context, choices), with
      a list of choices. Pairs and choices may be rows of an array.
    labels: Class of each, as a string, an integer or a bool, whose names in
      predictions are strings such as '1' or 'True'; or scores, numbers with
      floats among them; or a list of labels for each, perhaps empty; or a row
      of 0 and 1 for each, all of one length, whose columns are the labels '0',
      '1' and so on; or, of multiple choice, the number of the right choice,
      from 0.
    names: Names of all classes if the labels are their numbers, from 0, as in
      Hugging Face's datasets; `labels` are these names from then on. Those of
      the training examples are the classes, in this order, also without an
      example. Labels that are names already may have them too.
  """
  texts: (Sequence[str | tuple[str, str] | tuple[str, Sequence[str]]]
          | np.ndarray)
  labels: Any  # A sequence or an array; a list from then on.
  names: Sequence[str] | None = None

  def __post_init__(self):
    for name in ('texts', 'labels'):
      # Lists, as a pandas Series is indexed by labels instead of positions.
      object.__setattr__(
          self, name, sequences.as_list(name, getattr(self, name)))
    object.__setattr__(self, 'labels', list(map(
        label_values.plain, self.labels)))
    if len(self.texts) != len(self.labels):
      raise errors.UserError(
          f'`labels`: there are {len(self.labels)} for {len(self.texts)} texts')
    if not self.texts:
      raise errors.UserError('`texts`: there is no example')
    for name in ('texts', 'labels'):
      sequences.check_present(name, getattr(self, name))
    rows = self.rows
    if self.names is not None:
      if self.form == 'multiple_choice':
        raise errors.UserError('`names`: is for classes; leave it out')
      object.__setattr__(self, 'names', list(map(
          label_values.plain, sequences.as_list('names', self.names))))
      object.__setattr__(self, 'labels', label_values.named(
          self.labels, self.names, _place()))
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
    label_values.check_scores(self.labels, _place())

  def __len__(self) -> int:
    return len(self.texts)

  @property
  def form(self) -> str:
    """Form of the labels, one of tasks.FORMS."""
    first = self.texts[0]
    if (sequences.is_row(first) and len(first) == 2
        and sequences.is_row(first[1])):
      return 'multiple_choice'
    return ('multilabel' if label_values.is_several(self.labels[0])
            else 'single')

  @property
  def rows(self) -> list[tuple[Any, ...]]:
    """Each input as a tuple of its one or two texts, or context and choices.
    """
    if self.form == 'multiple_choice':
      return [choices.checked_row(row, f'`texts[{number}]`')
              for number, row in enumerate(self.texts)]
    return list(map(sequences.row_of, self.texts))

  def take(self, rows: Sequence[int]) -> 'Examples':
    """Returns some of the examples, by their numbers."""
    return Examples([self.texts[row] for row in rows],
                    [self.labels[row] for row in rows], self.names)


def _place(split: str = 'train') -> label_values.Place:
  """Returns (number of a label) -> its place in a message."""
  start = '' if split == 'train' else f'`{split}`, '
  return lambda number: f'{start}`labels[{number}]`'


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
  kind = label_values.kind_of(examples.labels, _place())
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


def _check_forms(examples: Examples, given: Mapping[str, Examples]) -> None:
  """Raises UserError for a split whose inputs or labels have another form."""
  width = len(examples.rows[0])
  for name, split in given.items():
    if split.form != examples.form or len(split.rows[0]) != width:
      raise errors.UserError(
          f'`{name}`: its texts or labels are of another form than those for '
          'training')


def _choices(
    examples: Examples, given: Mapping[str, Examples]
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
    examples: Examples, given: Mapping[str, Examples]
) -> tuple[tasks.Task, dict[str, tasks.Split]]:
  """Returns the task of examples with several labels.

  Args:
    examples: All training examples.
    given: {split: its examples}
  """
  _check_forms(examples, given)
  for name, split in given.items():
    label_values.kind_of(split.labels, _place(name))
  columns = label_values.columns_of(examples.labels, _place())
  found = {one for row in examples.labels for one in row}
  if not (found - {0} if columns else found):
    raise errors.UserError('`labels`: no text has a label')
  if columns:
    names: list[Any] = list(range(columns))
    for name, split in given.items():
      label_values.check_columns(split.labels, columns, _place(name))
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
    name: str, split: Examples, examples: Examples, names: Sequence[Any]
) -> np.ndarray:
  """Returns [examples, labels] float32, 1 for each label of an example.

  Args:
    name: Name of the split.
    split: Its examples.
    examples: All training examples.
    names: Their labels, in order.
  """
  wanted = label_values.kind_of_rows(examples.labels, _place())
  found = label_values.kind_of_rows(split.labels, _place(name))
  if found not in ('', wanted):
    raise errors.UserError(
        f'`{name}`: its labels are {found}s, those for training {wanted}s')
  label_values.check_distinct(split.labels, _place(name))
  return label_sets.to_matrix(split.labels, label_values.numbered(
      split.labels, names, lambda row: f'`{name}`, labels[{row}]', 'training'))


def _split(
    name: str, examples: Examples, task: tasks.Task, classes: Sequence[Any],
    kind: str,
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
  found = label_values.kind_of(examples.labels, _place(name))
  if kind == 'float' and found == 'integer':
    found = 'float'
  if found != kind:
    raise errors.UserError(
        f'`{name}`: its labels are {found}s, those for training {kind}s; give '
        'the same kind')
  if not classes:
    scores = list(map(float, examples.labels))
    label_values.check_scores(scores, _place(name))
    return tasks.Split(rows, np.array(scores, np.float32))
  number = label_values.numbered(
      zip(examples.labels), classes, lambda _: f'`{name}`', 'training')
  return tasks.Split(
      rows, np.array([number[label] for label in examples.labels], np.int32))
