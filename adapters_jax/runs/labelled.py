"""Labelled data to score an adapter on, with labels matched by name."""

from collections.abc import Iterable, Sequence
import dataclasses
from typing import Any

import numpy as np

from adapters_jax import errors
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.data import choices
from adapters_jax.data import label_sets
from adapters_jax.data import label_values
from adapters_jax.data import memory
from adapters_jax.data import pairs as pairs_lib
from adapters_jax.data import raw_text
from adapters_jax.data import squad
from adapters_jax.data import squad_files
from adapters_jax.data import tasks
from adapters_jax.runs.kinds import embeddings
from adapters_jax.runs.kinds import language_modeling


def of_name(name: str, split: str) -> tuple[tasks.Task | None, Any]:
  """Returns (task, examples of a split) of a named task.

  Args:
    name: Name of a task.
    split: Name of a split.

  Returns:
    (task, split); (None, pairs, questions or texts) for tasks of other kinds.

  Raises:
    errors.UserError: an unknown name or split, or one without labels.
  """
  if name.endswith(language_modeling.END):
    with errors.within('`data`'):
      task = language_modeling.KIND.find(name)
    texts = language_modeling.load(task, '')
    if split not in texts:
      raise errors.unknown('`split`', split, texts)
    return None, raw_text.Texts(texts[split])
  if name == squad.TASK.name:
    asked = squad_files.read_tfds('')
    if split not in asked:
      raise errors.unknown('`split`', split, asked)
    return None, asked[split]
  paired = name == embeddings.STS
  with errors.within('`data`'):
    task = tasks.find('stsb' if paired else name)
  found = tasks.load(task)
  labelled = [one for one, part in found.items() if part.labelled]
  if split not in labelled:
    raise errors.UserError(
        f'`split={split}`: {name} has labels in {", ".join(labelled)} alone')
  part = found[split]
  if paired:
    return None, pairs_lib.Pairs(list(part.texts), part.labels)
  return task, part


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
  texts = ('text', 'pair')[:len(examples.rows[0])]
  task = tasks.Task('examples', '', texts, classes, ('accuracy', 'macro_f1'))
  if examples.form == 'multiple_choice':
    count = len(examples.rows[0][1])
    task = choices.make_task('examples', choices.TEXTS, count)
    answers = memory.answers('data', examples, count)
    check_form(adapter, task)
    return task, tasks.Split(examples.rows, answers)
  kind = label_values.kind_of(labels, _place)
  if kind == 'list':
    task = dataclasses.replace(
        task, metrics=label_sets.METRICS, form='multilabel')
    check_form(adapter, task)
    return task, tasks.Split(examples.rows, _matrix(labels, classes))
  # As in training, integers are scores unless the adapter has classes.
  if kind == 'float' or kind == 'integer' and not classes:
    task = dataclasses.replace(
        task, labels=(), metrics=('spearman', 'pearson'))
    check_form(adapter, task)
    return task, tasks.Split(examples.rows, np.array(labels, np.float32))
  check_form(adapter, task)
  return task, tasks.Split(examples.rows, np.array(
      [classes.index(_names(row, [label], classes)[0])
       for row, label in enumerate(labels)], np.int32))


def _place(row: int) -> str:
  return f'`labels[{row}]`'


def _matrix(rows: Sequence[Any], classes: Sequence[str]) -> np.ndarray:
  """Returns [examples, classes] float32, 1 for each label of an example.

  Args:
    rows: List or set of labels of each text, or 0 and 1 for each class.
    classes: Classes of the adapter; numbers, if it was trained on columns.
  """
  label_values.kind_of_rows(rows, _place)
  numbered = {name: number for number, name in enumerate(classes)}
  by_number = len(classes) > 1 and [*classes] == [
      str(number) for number in numbered.values()]
  if by_number and label_values.are_columns(rows, len(classes)):
    return np.array(rows, np.float32)
  label_values.check_distinct(rows, _place)
  return label_sets.to_matrix(
      [_names(row, labels, classes) for row, labels in enumerate(rows)],
      numbered)


def _names(
    row: int, labels: Iterable[Any], classes: Sequence[str]
) -> list[str]:
  """Returns the names of the labels of an example; UserError for unknown ones.

  Args:
    row: Number of the example.
    labels: Its labels.
    classes: Classes of the adapter.
  """
  names = list(map(str, labels))
  for name in names:
    if name not in classes:
      raise errors.unknown(f'`labels[{row}]`', name, classes)
  return names


def check_form(adapter: adapter_lib.Adapter, task: tasks.Task) -> None:
  """Raises UserError for an adapter whose head predicts another form of labels.

  Args:
    adapter: Adapter with a head.
    task: Task of the examples.
  """
  head = adapter.head
  words = {'multilabel': 'several labels a text',
           'multiple_choice': 'multiple choice',
           'single': 'classes' if task.labels else 'scores'}
  own = ('tags of words' if head.reads_words else
         'answers to questions' if head.per_token else
         words['multilabel'] if head.multilabel else
         words['multiple_choice'] if head.choices else
         'classes' if adapter.classes else 'scores')
  if own != words[task.form]:
    raise errors.UserError(
        f'`data`: its labels are for {words[task.form]}, and the adapter gives '
        f'{own}; give data of that form')
