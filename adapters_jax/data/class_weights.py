"""Weights of classes in the training loss, against unequal frequencies."""

from collections.abc import Iterator, Mapping, Sequence
import json
import math
import re
from typing import Any

import numpy as np

from adapters_jax import errors
from adapters_jax.data import label_values

BALANCED = 'balanced'
# A class, perhaps as a string of JSON, and its weight.
_PART = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*")|([^,\s][^,]*)):([^:,]*)(?:,|\Z)')
# A name that would not survive without quotes.
_UNFIT = re.compile(r'[,\n\r]|^["\s]|^$')


def parse(text: str) -> dict[str, float]:
  """Returns {class: weight} of a setting, {} for 'balanced'.

  Args:
    text: 'balanced', or like 'spam:5,ham:1'. A colon in the name of a class is
      allowed; a name with a comma is quoted as in JSON, '"spam, ham":5'.

  Raises:
    errors.UserError: another form, or a weight that is no finite number above
      0.
  """
  found: dict[str, float] = {}
  if text == BALANCED:
    return found
  for name, number in _parts(text):
    try:
      weight = float(number)
    except ValueError:
      weight = math.nan
    if not 0 < weight < math.inf:
      raise errors.UserError(
          f"`class_weights={text}`: give 'balanced', or weights above 0 like "
          'spam:5,ham:1')
    if name in found:
      raise errors.UserError(
          f'`class_weights={text}`: there are two weights of {name!r}; remove '
          'one')
    found[name] = weight
  return found


def _parts(text: str) -> Iterator[tuple[str, str]]:
  """Yields (class, weight) of each part; ('', '') for a malformed one."""
  start = 0
  while found := _PART.match(text, start):
    quoted, name, weight = found.groups()
    try:
      yield json.loads(quoted) if quoted else name, weight
    except ValueError:
      break
    start = found.end()
    if text[start - 1] != ',':
      return
  yield '', ''


def render(weights: Mapping[Any, float]) -> str:
  """Returns the setting of {class: weight}.

  Args:
    weights: Weights of classes, which may be integers, bools or members of an
      enumeration.
  """
  names = {label_values.name_of(one): weight for one, weight in weights.items()}
  if len(names) < len(weights):
    raise errors.UserError(
        '`class_weights`: there are two weights of a class; remove one')
  return ','.join(
      f'{json.dumps(name, ensure_ascii=False) if _UNFIT.search(name) else name}'
      f':{weight}' for name, weight in names.items())


def check(text: str, classes: Sequence[str]) -> None:
  """Raises UserError for weights of classes that a task does not have.

  Args:
    text: Setting; '' for none.
    classes: Names of the task's classes.
  """
  known = {*classes}
  for name in parse(text) if text else ():
    if name not in known:
      raise errors.unknown('`class_weights`', name, classes)


def per_class(
    text: str, classes: Sequence[str], labels: Any
) -> np.ndarray | None:
  """Returns the weight of each class, None for equal weights.

  Balanced weights are n / (classes * n_c) for classes of n_c of n examples
  (King and Zeng, 2001), whose mean over the examples is 1. Where an example has
  several labels, the weight is that of the positive term: (n - n_c) / n_c.

  Args:
    text: Setting; classes that it does not name have the weight 1.
    classes: Names of the classes.
    labels: [examples] int32 classes, or [examples, classes] 0 or 1.

  Returns:
    [classes] float32

  Raises:
    errors.UserError: labels of other kinds of tasks.
  """
  if not text:
    return None
  if not isinstance(labels, np.ndarray):
    raise errors.UserError(
        f'`class_weights={text}`: is for labels of texts; leave it out')
  given = parse(text)
  if given:
    return np.array([given.get(name, 1.0) for name in classes], np.float32)
  if labels.ndim == 1:
    counts = np.bincount(labels, minlength=len(classes))
    weights = len(labels) / (len(classes) * np.maximum(counts, 1))
  else:
    counts = labels.sum(0)
    weights = (len(labels) - counts) / np.maximum(counts, 1)
    # A label that all examples have keeps the weight 1, as its own would be 0.
    counts = np.where(counts == len(labels), 0, counts)
  # A class may be absent from a subset of the training examples.
  return np.where(counts, weights, 1).astype(np.float32)
