"""Labelled data for the scores of an adapter, with its classes by name."""

from collections.abc import Sequence
import dataclasses
from typing import Any

import numpy as np

from adapters_jax import errors
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.data import choices
from adapters_jax.data import label_sets
from adapters_jax.data import memory
from adapters_jax.data import pairs as pairs_lib
from adapters_jax.data import squad
from adapters_jax.data import tasks
from adapters_jax.runs.kinds import embeddings
from adapters_jax.runs.kinds import language_modeling


def of_name(name: str, split: str) -> tuple[tasks.Task | None, Any]:
  """Returns (task, examples of a split) of a name.

  Args:
    name: Name of a task.
    split: Name of a split.

  Returns:
    (task, split); (None, pairs or questions) for tasks of other kinds.

  Raises:
    errors.UserError: an unknown name or split, or one without labels.
  """
  if name.endswith(language_modeling.END):
    raise errors.UserError(
        f'`data={name}`: raw text has no labels; give a task with labels')
  if name == squad.TASK.name:
    asked = squad.read_tfds('')
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
  """Returns (task, split) of examples with the classes of an adapter.

  Args:
    adapter: Adapter.
    examples: Examples.

  Raises:
    errors.UserError: a label that the adapter does not know.
  """
  classes, labels, found = adapter.classes, examples.labels, None
  texts = ('text', 'pair')[:len(examples.rows[0])]
  numbered = {name: number for number, name in enumerate(classes)}
  task = tasks.Task('examples', '', texts, classes, ('accuracy', 'macro_f1'))
  if examples.form == 'multiple_choice':
    count = len(examples.rows[0][1])
    task = choices.make_task('examples', choices.TEXTS, count)
    for row, label in enumerate(labels):
      if not isinstance(label, (int, np.integer)) or not 0 <= label < count:
        raise errors.UserError(
            f'`labels[{row}]`: {label!r} is none of the {count} choices; give '
            f'a number from 0 to {count - 1}')
    found = np.array(labels, np.int32)
  elif examples.form == 'multilabel':
    task = dataclasses.replace(
        task, metrics=label_sets.METRICS, form='multilabel')
  elif all(isinstance(label, (float, np.floating)) for label in labels):
    task = dataclasses.replace(
        task, labels=(), metrics=('spearman', 'pearson'))
    found = np.array(labels, np.float32)
  check_form(adapter, task)
  if found is None:
    several = task.form == 'multilabel'
    rows = [_names(row, label, several, classes)
            for row, label in enumerate(labels)]
    found = label_sets.to_matrix(rows, numbered) if several else np.array(
        [numbered[name] for name, in rows], np.int32)
  return task, tasks.Split(examples.rows, found)


def _names(
    row: int, label: Any, several: bool, classes: Sequence[str]
) -> list[str]:
  """Returns the names of the labels of an example; UserError for unknown ones.

  Args:
    row: Number of the example.
    label: Its label, or its labels.
    several: Whether texts have several labels.
    classes: Classes of the adapter.
  """
  if several and not isinstance(label, (list, tuple, set, frozenset)):
    raise errors.UserError(
        f'`labels[{row}]`: {label!r} is no list; give a list of labels for '
        'each text')
  names = [str(one) for one in (label if several else [label])]
  for name in names:
    if name not in classes:
      raise errors.unknown(f'`labels[{row}]`', name, classes)
  return names


def check_form(adapter: adapter_lib.Adapter, task: tasks.Task) -> None:
  """Raises UserError for an adapter whose head gives other labels.

  Args:
    adapter: Adapter with a head.
    task: Task of the examples.
  """
  head = adapter.head
  words = {'multilabel': 'several labels a text',
           'multiple_choice': 'multiple choice',
           'single': 'classes' if task.labels else 'scores'}
  own = ('tags of words' if head.name == 'tags' else
         'answers to questions' if head.per_token else
         words['multilabel'] if head.multilabel else
         words['multiple_choice'] if head.choices else
         'classes' if adapter.classes else 'scores')
  if own != words[task.form]:
    raise errors.UserError(
        f'`data`: its labels are for {words[task.form]}, and the adapter gives '
        f'{own}; give data of that form')
