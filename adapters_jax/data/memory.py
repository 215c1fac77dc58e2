"""Labelled texts in memory."""

from collections.abc import Sequence
import dataclasses
from typing import Any

import numpy as np

from adapters_jax import errors
from adapters_jax.data import choices
from adapters_jax.data import label_values
from adapters_jax.data import sequences
from adapters_jax.data import shown


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
          self.labels, self.names, place()))
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
    label_values.check_scores(self.labels, place())

  def __len__(self) -> int:
    return len(self.texts)

  def __repr__(self) -> str:
    """Returns one line with the number of texts, and the labels."""
    kind = ('text with choices' if self.form == 'multiple_choice' else
            'pair' if len(self.rows[0]) == 2 else 'text')
    labels = '' if kind == 'text with choices' else shown.labels(
        self.labels, self.names)
    return shown.line(self, shown.count(len(self), kind), labels)

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


def place(split: str = 'train') -> label_values.Place:
  """Returns (number of a label) -> its place in a message."""
  start = '' if split == 'train' else f'`{split}`, '
  return lambda number: f'{start}`labels[{number}]`'
