"""Chooses the kind of task by its data: a name, or examples in memory."""

import dataclasses
from typing import Any

from adapters_jax import errors
from adapters_jax.data import held_out
from adapters_jax.data import memory
from adapters_jax.data import memory_tasks
from adapters_jax.data import pairs
from adapters_jax.data import questions
from adapters_jax.data import raw_text
from adapters_jax.data import squad
from adapters_jax.data import tagged
from adapters_jax.runs import config as config_lib
from adapters_jax.runs.kinds import classification
from adapters_jax.runs.kinds import embeddings
from adapters_jax.runs.kinds import kind as kind_lib
from adapters_jax.runs.kinds import language_modeling
from adapters_jax.runs.kinds import question_answering
from adapters_jax.runs.kinds import tagging

# Examples in memory, each type of one kind; `aj` has their names.
InMemory = (memory.Examples | tagged.TaggedExamples | pairs.Pairs
            | questions.Questions | raw_text.Texts)


def of(data: Any) -> kind_lib.Kind:
  """Returns the kind of task of data; any name for classification.

  Args:
    data: Name of a task, or examples in memory.
  """
  if isinstance(data, pairs.Pairs) or data == embeddings.STS:
    return embeddings.KIND
  if isinstance(data, questions.Questions) or data == squad.TASK.name:
    return question_answering.KIND
  if isinstance(data, raw_text.Texts) or (
      isinstance(data, str) and data.endswith(language_modeling.END)):
    return language_modeling.KIND
  if isinstance(data, tagged.TaggedExamples):
    return tagging.KIND
  return classification.KIND


def of_data(
    data: Any, dev: Any = None, test: Any = None
) -> tuple[kind_lib.Kind, dict[str, Any]]:
  """Returns (kind of task, its settings).

  Args:
    data: Name of a task, or examples in memory.
    dev: Examples of the type of `data` that choose the best step, or None.
    test: Further examples to score, or None.

  Raises:
    errors.UserError: an unknown task, or examples that cannot work.
  """
  if isinstance(data, str):
    if dev is not None or test is not None:
      raise errors.UserError(
          '`dev`, `test`: a task by name brings its own; give `data` as '
          'Examples with them')
    kind = of(data)
    return kind, {
        'task': kind.find(data).name, 'file_task': kind.defaults.get(
            'file_task', config_lib.Config.file_task)}
  kind, settings = _in_memory(data, dev, test)
  return dataclasses.replace(kind, drawn=dev is None), settings


def _in_memory(
    data: Any, dev: Any, test: Any
) -> tuple[kind_lib.Kind, dict[str, Any]]:
  """Returns (kind of task, its settings) of examples; see `of_data`."""
  if isinstance(data, pairs.Pairs):
    splits = ({'train': data, 'dev': dev} if dev is not None
              else pairs.hold_out(data, held_out.SHARE))
    if test is not None:
      splits['test'] = test
    return embeddings.KIND.of_data(splits), {
        'task': 'pairs', 'file_task': 'pairs'}
  if isinstance(data, tagged.TaggedExamples):
    return tagging.of_sentences(
        tagged.splits(data, dev, test)), {'task': 'tagging'}
  if isinstance(data, questions.Questions):
    return question_answering.KIND.of_data(
        questions.splits(data, dev, test)), {'task': 'questions'}
  if isinstance(data, raw_text.Texts):
    return language_modeling.KIND.of_data(
        raw_text.splits(data, dev, test)), {
            'task': 'texts', 'file_task': 'text'}
  task, examples = memory_tasks.to_task(data, dev, test)
  return classification.of_examples(task, examples), {'task': task.name}
