"""Labelled data to score an adapter on, with labels matched by name."""

from collections.abc import Iterable, Mapping, Sequence
import dataclasses
from typing import Any

import numpy as np

from adapters_jax import errors
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.data import choices
from adapters_jax.data import label_sets
from adapters_jax.data import label_values
from adapters_jax.data import memory
from adapters_jax.data import raw_text
from adapters_jax.data import tasks
from adapters_jax.runs import config as config_lib
from adapters_jax.runs.kinds import chosen_kind
from adapters_jax.runs.kinds import language_modeling
from adapters_jax.runs.kinds import question_answering

# {form of a task: its name in messages}
_FORMS = {'multilabel': 'several labels a text',
          'multiple_choice': 'multiple choice'}


def of_name(
    name: str, split: str, data_dir: str = ''
) -> tuple[tasks.Task | None, Any]:
  """Returns (task, examples of a split) of a named task.

  Args:
    name: Name of a task.
    split: Name of a split.
    data_dir: Folder of the TFDS files; the default one when empty.

  Returns:
    (task, split); (None, pairs, questions or texts) for tasks of other kinds.

  Raises:
    errors.UserError: an unknown name or split, or one without labels.
  """
  kind = chosen_kind.of(name)
  raw = kind is language_modeling.KIND
  if raw and name not in language_modeling.names():
    raise errors.unknown('`data`', name, language_modeling.names())
  try:
    task = kind.find(name)
  except errors.UserError as error:  # Which names the setting.
    raise errors.UserError(str(error).replace('`task`', '`data`')) from error
  found = {one: part for one, part in kind.load(
      config_lib.Config(task=name, data_dir=data_dir)).items()
           if getattr(part, 'labelled', True)}
  if split not in found:
    if raw or kind is question_answering.KIND:
      raise errors.unknown('`split`', split, found)
    raise errors.UserError(
        f'`split={split}`: {name} has labels in {", ".join(found)} alone')
  part = found[split]
  if kind.of_texts:
    return task, part
  return None, raw_text.Texts(part) if raw else part


def matched(
    adapter: adapter_lib.Adapter, examples: memory.Examples
) -> tuple[tasks.Task, tasks.Split]:
  """Returns (task, split) of examples, numbered by the classes of an adapter.

  Args:
    adapter: Adapter.
    examples: Examples.

  Raises:
    errors.UserError: a label that the adapter does not know.
  """
  classes, labels = adapter.classes, examples.labels
  numbered = {name: number for number, name in enumerate(classes)}
  texts = ('text', 'pair')[:len(examples.rows[0])]
  task = tasks.Task('examples', '', texts, classes, ('accuracy', 'macro_f1'))
  if examples.form == 'multiple_choice':
    count = len(examples.rows[0][1])
    task = choices.make_task('examples', choices.TEXTS, count)
    answers = choices.answers('data', labels, count)
    check_form(adapter, task)
    return task, tasks.Split(examples.rows, answers)
  kind = label_values.kind_of(labels, _place)
  if kind == 'list':
    task = dataclasses.replace(
        task, metrics=label_sets.METRICS, form='multilabel')
    check_form(adapter, task)
    return task, tasks.Split(examples.rows, _matrix(labels, numbered))
  # Integers may be scores of an adapter whose training had floats among them.
  if kind == 'float' or kind == 'integer' and _given_by(adapter) == 'scores':
    task = dataclasses.replace(
        task, labels=(), metrics=('spearman', 'pearson'))
    check_form(adapter, task)
    return task, tasks.Split(examples.rows, np.array(labels, np.float32))
  # For another form of adapter, which has none, with classes.
  check_form(adapter, dataclasses.replace(task, labels=(kind,)))
  return task, tasks.Split(examples.rows, np.array(
      [numbered[_names(row, [label], numbered)[0]]
       for row, label in enumerate(labels)], np.int32))


def _place(row: int) -> str:
  return f'`labels[{row}]`'


def _matrix(rows: Sequence[Any], numbered: Mapping[str, int]) -> np.ndarray:
  """Returns [examples, classes] float32, 1 for each label of an example.

  Args:
    rows: List or set of labels of each text, or 0 and 1 for each class.
    numbered: {class of the adapter: number}; classes are numbers, too, if it
      was trained on columns.
  """
  label_values.kind_of_rows(rows, _place)
  by_number = len(numbered) > 1 and [*numbered] == [
      str(number) for number in numbered.values()]
  if by_number and label_values.are_columns(rows, len(numbered)):
    return np.array(rows, np.float32)
  label_values.check_distinct(rows, _place)
  return label_sets.to_matrix(
      [_names(row, labels, numbered) for row, labels in enumerate(rows)],
      numbered)


def _names(
    row: int, labels: Iterable[Any], numbered: Mapping[str, int]
) -> list[str]:
  """Returns the names of the labels of an example; UserError for unknown ones.

  Args:
    row: Number of the example.
    labels: Its labels.
    numbered: {class of the adapter: number}
  """
  names = list(map(str, labels))
  for name in names:
    if name not in numbered:
      raise errors.unknown(f'`labels[{row}]`', name, numbered)
  return names


def check_form(adapter: adapter_lib.Adapter, task: tasks.Task) -> None:
  """Raises UserError for an adapter whose head predicts another form of labels.

  Args:
    adapter: Adapter with a head.
    task: Task of the examples.
  """
  form = _FORMS.get(task.form, 'classes' if task.labels else 'scores')
  own = _given_by(adapter)
  if own != form:
    raise errors.UserError(
        f'`data`: its labels are for {form}, and the adapter gives {own}; give '
        'data of that form')


def _given_by(adapter: adapter_lib.Adapter) -> str:
  """Returns the form of an adapter's outputs, for messages."""
  head = adapter.head
  return ('tags of words' if head.reads_words else
          'probabilities of words' if head.pretrained else
          'answers to questions' if head.per_token else
          _FORMS['multilabel'] if head.multilabel else
          _FORMS['multiple_choice'] if head.choices else
          'classes' if adapter.classes else 'scores')
