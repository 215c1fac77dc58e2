"""Rows of the table of tasks: their checks, and their examples in TFDS."""

from collections.abc import Collection, Mapping, Sequence
import logging
import re
from typing import Any

import numpy as np

from adapters_jax import errors
from adapters_jax.data import task as task_lib

_log = logging.getLogger(__name__)

_MOST_NAMES = 20  # Of classes in a message.
_TUPLES = 'texts', 'labels', 'metrics', 'splits'


def _error(
    task: task_lib.Task, field: str, message: str
) -> errors.UserError:
  """Returns the error for a field of a task.

  Args:
    task: Task.
    field: Name of the field.
    message: Fault and its remedy.
  """
  return errors.UserError(f'`{field}` of the task {task.name}: {message}')


def check(task: task_lib.Task) -> None:
  """Checks a row of the table by itself.

  Args:
    task: Task.

  Raises:
    errors.UserError: a field of another form; names it.
  """
  for field in _TUPLES:
    if not isinstance(getattr(task, field), tuple):
      raise _error(task, field, "give a tuple; that of one name is ('name',)")
  if len(task.texts) not in (1, 2):
    raise _error(
        task, 'texts', 'give the feature of the text, or of the two texts')
  if task.form != 'single':
    raise _error(
        task, 'form', "an example of a dataset has one label; give 'single'")
  if len(task.labels) == 1:
    raise _error(
        task, 'labels', 'give two classes or more, or () for regression')
  if len({*task.labels}) < len(task.labels):
    raise _error(task, 'labels', 'two classes have one name')
  if task.positive_above is not None and len(task.labels) != 2:
    raise _error(
        task, 'positive_above', 'makes two classes of a rating; give two '
        '`labels`, or leave it out for regression')


def sources(
    task: task_lib.Task, splits: Mapping[str, Any], optional: Collection[str]
) -> dict[str, str]:
  """Returns {split: its name in TFDS}.

  Args:
    task: Task.
    splits: {name: split} of the dataset, a SplitDict of TFDS, which has slices
      such as 'train[90%:]' too.
    optional: Names in TFDS of splits that the dataset may lack.

  Raises:
    errors.UserError: a name of no split or slice, no training or dev split, or
      training examples that another split has too.
  """
  found = {}
  for name, source in task.splits:
    try:
      if not splits[source].num_examples:
        raise ValueError('It has no examples.')
    except Exception as error:  # KeyError, ValueError and others of TFDS.
      if source in optional:
        continue
      if re.fullmatch(r'\w+', source):
        raise errors.unknown(
            f'`splits` of the task {task.name}', source, splits) from error
      raise _error(
          task, 'splits', f'{source!r} is no part of {", ".join(splits)} '
          f'({str(error).splitlines()[-1]})') from error
    found[name] = source
  for name in ('train', 'dev'):
    if name in found:
      continue
    if name in dict(task.splits):
      raise errors.UserError(
          f'`data_dir`: {task.source} has no {dict(task.splits)[name]} split, '
          'as its raw files had none')
    raise _error(
        task, 'splits', f'none is named {name}; name one, or a part of '
        "another, as in ('train', 'train[:90%]'), ('dev', 'train[90%:]')")
  _check_disjoint(task, {name: splits[found[name]] for name in found})
  return found


def _check_disjoint(
    task: task_lib.Task, splits: Mapping[str, Any]
) -> None:
  """Raises UserError for training examples that another split has too.

  Args:
    task: Task.
    splits: {split: its description in TFDS}
  """
  for name, split in splits.items():
    if name != 'train' and any(
        own.filename == other.filename
        and own.skip < other.skip + other.take
        and other.skip < own.skip + own.take
        for own in splits['train'].file_instructions
        for other in split.file_instructions):
      raise _error(
          task, 'splits', f'{name} has examples of train; give parts that do '
          "not overlap, as in ('train', 'train[:90%]'), ('dev', "
          "'train[90%:]')")


def check_features(task: task_lib.Task, features: Mapping[str, Any]) -> None:
  """Checks a row of the table against its dataset.

  Args:
    task: Task.
    features: {name: feature of TFDS}

  Raises:
    errors.UserError: a feature that the dataset lacks or of another type, or
      classes that are not those of the dataset, in their order.
  """
  for field, names in (('texts', task.texts), ('target', (task.target,))):
    for name in names:
      if name not in features:
        raise errors.unknown(
            f'`{field}` of the task {task.name}', name, list(features))
      if features[name].shape != ():
        raise _error(task, field, f'{name} has several values in an example')
  for name in task.texts:
    if not _is_text(features[name]):
      raise _error(task, 'texts', f'{name} is not a text')
  target = features[task.target]
  if task.positive_above is not None or not task.labels:
    if _is_text(target):
      raise _error(
          task, 'target', f'{task.target} is a text, not a number; give '
          '`labels`, the texts of the classes')
  elif np.issubdtype(target.np_dtype, np.floating):
    raise _error(
        task, 'target', f'{task.target} is a rating; give `positive_above`, '
        'the largest rating of class 0, or `labels=()` for regression')
  elif declared := list(class_names(target)):
    # Other names for the classes are the task's own.
    place = {name: number for number, name in enumerate(declared)}
    moved = any(place.get(name, number) != number
                for number, name in enumerate(task.labels))
    if moved or len(declared) != len(task.labels):
      raise _error(
          task, 'labels', f'{task.target} has {len(declared)} classes; give '
          f'them in the order {errors.listed(declared, _MOST_NAMES)}')


def _is_text(feature: Any) -> bool:
  """Returns whether a feature of TFDS is a text, which is stored as bytes."""
  return np.dtype(feature.np_dtype) == object


def class_names(feature: Any) -> Sequence[str]:
  """Returns the names of a feature's classes, () if it declares none."""
  return getattr(feature, 'names', None) or ()


def read(rows: Sequence[dict[str, Any]], task: task_lib.Task) -> task_lib.Split:
  """Returns the examples of a split, sorted by their index.

  Leaves out examples without a class, unless none of them has one.

  Args:
    rows: Rows of the TFDS dataset.
    task: Task of the dataset.

  Raises:
    errors.UserError: a class without a name.
  """
  # Sorted, as TFDS shuffles examples when it writes its shards.
  rows = sorted(rows, key=lambda row: int(row.get('idx', 0)))
  targets = _targets(rows, task)
  known = targets != -1  # Builders write -1 for unknown.
  labelled = bool(np.any(known))
  if task.positive_above is not None:
    targets = targets > task.positive_above  # The bound itself is class 0.
  elif task.labels and labelled and not np.all(known):
    _log.info('%s: %d of %d examples without a class are left out', task.name,
              np.sum(~known), len(rows))
    rows = [row for row, one in zip(rows, known, strict=True) if one]
    targets = targets[known]
  texts = [tuple(row[name].decode() for name in task.texts) for row in rows]
  return task_lib.Split(texts, targets.astype(type_of_labels(task)), labelled)


def _targets(
    rows: Sequence[dict[str, Any]], task: task_lib.Task
) -> np.ndarray:
  """Returns [rows] the classes or ratings, -1 for an unknown class.

  Args:
    rows: Rows of the TFDS dataset.
    task: Task of the dataset.

  Raises:
    errors.UserError: a class without a name.
  """
  values = [row[task.target] for row in rows]
  if rows and isinstance(values[0], bytes):
    names = [value.decode() for value in values]
    if absent := sorted({*names} - {'', *task.labels}):
      raise _error(
          task, 'labels', 'name the other classes too: '
          f'{errors.listed(absent, _MOST_NAMES)}')
    numbers = {'': -1, **{
        name: number for number, name in enumerate(task.labels)}}
    return np.array([numbers[name] for name in names])
  targets = np.array(values)
  if task.labels and task.positive_above is None and rows and not (
      -1 <= targets.min() <= targets.max() < len(task.labels)):
    raise _error(
        task, 'labels', f'{len(task.labels)} names for the classes '
        f'{targets.min()} to {targets.max()}; name each of them, from 0 on')
  return targets


def type_of_labels(task: task_lib.Task) -> type:
  """Returns the type of the labels of a task."""
  return np.int32 if task.labels else np.float32


def check_examples(
    task: task_lib.Task, splits: Mapping[str, task_lib.Split], target: Any
) -> None:
  """Checks the examples of a task.

  Args:
    task: Task.
    splits: {split: examples}
    target: Feature of the class or rating.

  Raises:
    errors.UserError: no labels to train on or to pick a step by, or a class
      without examples that the dataset does not declare.
  """
  for name in ('train', 'dev'):
    if not splits[name].labelled:
      raise _error(
          task, 'splits', f'{name} ({dict(task.splits)[name]}) has no labels; '
          "give another split, or a part of one, as in 'train[90%:]'")
  if class_names(target) and task.positive_above is None:
    return
  seen = {int(label) for split in splits.values() if split.labelled
          for label in np.unique(split.labels)} if task.labels else set()
  absent = [f'{number} ({name})' for number, name in enumerate(task.labels)
            if number not in seen]
  if absent:
    raise _error(
        task, 'labels', 'no example is of the class '
        f'{errors.listed(absent, _MOST_NAMES)}')
