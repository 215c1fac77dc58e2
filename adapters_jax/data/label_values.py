"""Labels in memory: determines their kind, and checks rows of them."""

import collections
from collections.abc import Callable, Iterable, Sequence, Set
import enum
import numbers
from typing import Any

import numpy as np

from adapters_jax import errors
from adapters_jax.data import sequences

_LARGEST = float(np.finfo(np.float32).max)
_WANTED = ('give strings for all, integers for all, bools for all, numbers '
           'with floats among them for scores, or a list of labels for each')
_COLUMNS = 'rows of 0 and 1, all of one length,'

Place = Callable[[int], str]  # Number of a label -> its place in a message.


def is_several(label: Any) -> bool:
  """Returns whether a label is a row or a set of labels."""
  return sequences.is_row(label) or isinstance(label, Set)


def plain(label: Any) -> Any:
  """Converts a label from an array or an enumeration to Python's own types.

  Rows become lists.

  Args:
    label: Label, or several.
  """
  if isinstance(label, Set):
    return set(map(plain, label))
  if sequences.is_row(label):
    return [plain(one) for one in sequences.row_of(label)]
  label = sequences.scalar_of(label)
  if isinstance(label, str):
    return str.__str__(label)  # `str` gives an enumeration's name.
  if isinstance(label, enum.Enum) and isinstance(label, int):
    return int(label)
  return label


def name_of(label: Any) -> str:
  """Returns the name of a class."""
  return str(plain(label))


def named(
    labels: Sequence[Any], names: Sequence[str], place: Place
) -> list[Any]:
  """Returns labels with the names of their numbers.

  Args:
    labels: Number or name of the class of each text; or a list of them, or 0
      and 1 for each name.
    names: Names of the classes, by their numbers.
    place: Place of a label in messages.

  Raises:
    errors.UserError: names that are no distinct texts, a label that is no
      number of a name or repeats one in its row, or columns that are not as
      many as the names; names the first.
  """
  _check_names(names)
  rows = [label for label in labels if is_several(label)]
  width = len(rows[0]) if rows and len(rows) == len(labels) else 0
  if width > 1 and are_columns(rows, width):
    if width != len(names):
      raise errors.UserError(
          f'{place(0)}: rows of {width}, but {len(names)} `names`; give a name '
          'for each column, or numbers of classes in sets')
    return [[name for name, one in zip(names, row) if one] for row in rows]
  each = [label if is_several(label) else [label] for label in labels]
  # Those of Examples with names that are copied are names by then.
  by_name = all(isinstance(one, str) for row in each for one in row)
  known = set(names)

  def name_of_label(row, label):
    if by_name and label in known:
      return label
    if _kind(label) != 'integer' or not 0 <= label < len(names):
      raise errors.UserError(
          f'{place(row)}: {label!r} is no number of the {len(names)} `names`; '
          f'give integers from 0 to {len(names) - 1}, or names for all, and no '
          'row without a label')
    return names[label]

  found = [[name_of_label(number, one) for one in row]
           for number, row in enumerate(each)]
  # Of other labels, single ones among them, their caller checks the kinds.
  if len(rows) == len(labels):
    check_distinct(rows, place)
  return [some if is_several(label) else some[0]
          for label, some in zip(labels, found)]


def _check_names(names: Sequence[Any]) -> None:
  """Raises UserError for names of classes that are no distinct texts."""
  if not names:
    raise errors.UserError('`names`: there is none; give one for each class')
  known = set()
  for number, name in enumerate(names):
    if not isinstance(name, str) or not name or name in known:
      raise errors.UserError(
          f'`names[{number}]`: {name!r}; give a text for each class, another '
          'one for each')
    known.add(name)


def _kind(label: Any) -> str:
  """Returns the kind of a label, '' for none."""
  if is_several(label):
    return 'list'
  if isinstance(label, str):
    return 'string'
  if isinstance(label, (bool, np.bool_)):  # Python's are integers, too.
    return 'bool'
  if isinstance(label, numbers.Integral):
    return 'integer'
  return 'float' if isinstance(label, numbers.Real) else ''


def numbered(
    rows: Iterable[Iterable[Any]], classes: Sequence[Any], place: Place,
    source: str,
) -> dict[Any, int]:
  """Returns {class: its number}, of which all labels are.

  Args:
    rows: Labels of each example.
    classes: Classes, in order.
    place: Place of an example in messages.
    source: Data that the classes are from, for messages.

  Raises:
    errors.UserError: a label that is none of the classes.
  """
  number = {label: i for i, label in enumerate(classes)}
  for row, labels in enumerate(rows):
    for label in labels:
      if label not in number:
        raise errors.UserError(
            f'{place(row)}: the label {label!r} does not occur in {source}, '
            f'which has {", ".join(map(str, classes[:20]))}')
  return number


def kind_of(labels: Sequence[Any], place: Place) -> str:
  """Returns 'list', 'string', 'bool', 'integer' or 'float'.

  Args:
    labels: Labels; integers among floats are floats. At least one.
    place: Place of a label in messages.

  Raises:
    errors.UserError: labels of several kinds, or of an unknown one; names the
      first that differs from the majority.
  """
  kinds = [_kind(label) for label in labels]
  if '' in kinds:
    number = kinds.index('')
    raise errors.UserError(
        f'{place(number)}: {labels[number]!r} '
        f'({type(labels[number]).__name__}) is no label; {_WANTED}')
  if 'float' in kinds:
    kinds = ['float' if kind == 'integer' else kind for kind in kinds]
  most = collections.Counter(kinds).most_common(1)[0][0]
  for number, kind in enumerate(kinds):
    if kind != most:
      raise errors.UserError(
          f'{place(number)}: {labels[number]!r} beside '
          f'{labels[kinds.index(most)]!r}; {_WANTED}')
  return most


def check_scores(labels: Sequence[Any], place: Place) -> None:
  """Raises UserError for a score that float32 does not hold.

  Args:
    labels: Labels of any kind; those that are all numbers, with floats among
      them, are scores.
    place: Place of a label in messages.
  """
  if not {'float'} <= {*map(_kind, labels)} <= {'float', 'integer'}:
    return
  for number, label in enumerate(labels):
    if not abs(label) <= _LARGEST:  # False for nan.
      raise errors.UserError(
          f'{place(number)}: {label} is no number of float32')


def kind_of_rows(rows: Sequence[Any], place: Place) -> str:
  """Returns the kind of the labels in rows; '' if all are empty.

  Args:
    rows: List or set of labels of each text.
    place: Place of a row in messages.

  Raises:
    errors.UserError: as for `kind_of`, or rows within rows.
  """
  owners = [number for number, row in enumerate(rows) for _ in row]
  if not owners:
    return ''
  kind = kind_of([one for row in rows for one in row],
                 lambda number: place(owners[number]))
  if kind == 'list':
    raise errors.UserError(
        f'{place(owners[0])}: {rows[owners[0]]!r}; give a list of labels, not '
        'of lists')
  return kind


def columns_of(rows: Sequence[Any], place: Place) -> int:
  """Returns the number of columns of 0 and 1, 0 for lists of labels.

  Ordered rows of one length, 2 or more, that hold only 0 and 1 are columns:
  read as lists of labels, they would name only the labels 0 and 1.

  Args:
    rows: List or set of labels of each training text.
    place: Place of a row in messages.

  Raises:
    errors.UserError: rows that may be either, or that are neither.
  """
  kind = kind_of_rows(rows, place)
  if kind in ('', 'string'):
    return 0
  lengths = [len(row) for row in rows]
  if are_columns(rows, lengths[0]):
    if lengths[0] > 1:
      return lengths[0]
    raise errors.UserError(
        f'{place(0)}: {rows[0]!r} may be a label or a column; give one label '
        'for each text without lists, or names of labels as strings')
  if kind != 'integer':  # Truth values, and HuggingFace's columns of floats.
    most = collections.Counter(lengths).most_common(1)[0][0]
    number = next(
        number for number, row in enumerate(rows) if _misfits(row, most))
    raise errors.UserError(
        f'{place(number)}: {rows[number]!r}; give {_COLUMNS} or a list of '
        'labels for each text')
  check_distinct(rows, place)
  return 0


def check_distinct(rows: Sequence[Any], place: Place) -> None:
  """Raises UserError for a row that repeats a number.

  Args:
    rows: List or set of labels of each text.
    place: Place of a row in messages.
  """
  for number, row in enumerate(rows):
    for label, count in collections.Counter(row).items():
      if count > 1 and not isinstance(label, str):
        raise errors.UserError(
            f'{place(number)}: the label {label!r} is there {count} times; '
            f'give {_COLUMNS} or each label once')


def are_columns(rows: Sequence[Any], columns: int) -> bool:
  """Returns whether all rows are ordered, with 0 or 1 in each column.

  Args:
    rows: List or set of labels of each text.
    columns: Number of columns.
  """
  return not any(_misfits(row, columns) for row in rows)


def check_columns(rows: Sequence[Any], columns: int, place: Place) -> None:
  """Raises UserError for rows of another form than columns of 0 and 1.

  Args:
    rows: List or set of labels of each text.
    columns: Number of columns in training.
    place: Place of a row in messages.
  """
  for number, row in enumerate(rows):
    if _misfits(row, columns):
      raise errors.UserError(
          f'{place(number)}: {row!r}; give {columns} numbers 0 or 1, as in '
          'training')


def _misfits(row: Any, columns: int) -> bool:
  """Returns whether a row is other than some columns of 0 and 1."""
  return isinstance(row, Set) or len(row) != columns or not all(
      _kind(one) in ('bool', 'integer', 'float') and one in (0, 1)
      for one in row)
