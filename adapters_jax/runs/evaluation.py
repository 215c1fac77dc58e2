"""Scores of an adapter on labelled examples, as training reports them."""

from collections.abc import Mapping
import contextlib
import dataclasses
import logging
from typing import Any

import numpy as np

from adapters_jax import errors
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import arguments
from adapters_jax.adapters import compiled
from adapters_jax.adapters import embedding
from adapters_jax.adapters import field_checks
from adapters_jax.adapters import prediction
from adapters_jax.data import given
from adapters_jax.data import memory
from adapters_jax.data import metrics
from adapters_jax.data import pair_examples
from adapters_jax.data import pairs as pairs_lib
from adapters_jax.data import questions as questions_lib
from adapters_jax.data import raw_text
from adapters_jax.data import retrieval
from adapters_jax.data import squad
from adapters_jax.data import tagged
from adapters_jax.data import tags as tags_lib
from adapters_jax.data import tasks
from adapters_jax.downloads import paths
from adapters_jax.model import base as base_lib
from adapters_jax.runs import labelled
from adapters_jax.runs import perplexity
from adapters_jax.runs.kinds import chosen_kind
from adapters_jax.runs.kinds import classification

_log = logging.getLogger(__name__)


def evaluate(
    base: base_lib.Base, adapter: adapter_lib.Adapter,
    data: str | chosen_kind.InMemory, *,
    split: str = '', metric: str = '', threshold: float | None = None,
    batch_size: int = 32, data_dir: paths.Path = '',
) -> dict[str, float]:
  """Scores an adapter on labelled examples.

  The scores are those that `train` reports for the same examples as `dev` or
  `test`, up to rounding. Classes are matched by name. Pairs without scores are
  queries and documents; each query ranks the documents of `data` only, and none
  of the training data.

  >>> examples = aj.Examples(['A joy.', 'Dull.'], ['positive', 'negative'])
  >>> list(aj.evaluate(base, film, examples))
  ['accuracy', 'macro_f1']

  Args:
    base: Pretrained encoder.
    adapter: Adapter.
    data: Examples in memory: texts with labels, words with tags, questions with
      paragraphs, pairs of texts for sentence embeddings, or raw texts for an
      adapter of masked language modelling; or the name of a task.
    split: Split of a task by name, such as 'dev'; by default 'test'.
    metric: Metric to return first, such as 'f1', also one that the scores lack
      otherwise; by default the one that picked the step in training.
    threshold: Probability from which on the second of two classes, or each of
      several labels, is predicted; by default that of the adapter.
    batch_size: Inputs a step.
    data_dir: Folder of the TFDS files of a task by name; by default the cache
      folder.

  Returns:
    {metric: value}

  Raises:
    errors.UserError: an adapter of another base or without a head, labels that
      it does not know, data that do not fit its head, or a metric that is not
      for them.
  """
  folder = paths.text(data_dir, 'data_dir')
  _check(base, adapter, data, {'split': split, 'data_dir': folder}, metric,
         threshold, batch_size)
  # Perhaps of NumPy or JAX.
  threshold, batch_size = field_checks.threshold(threshold), int(batch_size)
  task: tasks.Task | None = None
  examples: Any = data
  if isinstance(data, str):
    task, examples = labelled.of_name(data, split or 'test', folder)
  if isinstance(examples, pairs_lib.Pairs):
    return _of_pairs(base, adapter, examples, metric, batch_size)
  if isinstance(examples, raw_text.Texts):
    picked = _picked(adapter, metric, 'texts', metrics.OF_LANGUAGE)
    found = perplexity.of_texts(base, adapter, examples.texts, batch_size)
    return {name: found[name] for name in picked.metrics}
  compiled.check_adapter(base, adapter)  # It has a head, too.

  def values(rows):
    return prediction.values(
        base, {'': adapter}, [''] * len(rows), rows, batch_size)[0]

  if isinstance(examples, questions_lib.Questions):
    examples = examples.asked
  if isinstance(examples, list):
    return _of_questions(adapter, examples, metric, values)
  if isinstance(examples, tagged.TaggedExamples):
    return _of_tags(adapter, examples, metric, values)
  if isinstance(examples, memory.Examples):
    task, examples = labelled.matched(adapter, examples)
  assert task is not None  # For the type checker.
  return _of_labels(adapter, task, examples, metric, values, threshold)


def _check(
    base: Any, adapter: Any, data: Any, of_names: Mapping[str, str],
    metric: Any, threshold: Any, batch_size: Any,
) -> None:
  """Raises UserError for an argument of another type or range."""
  arguments.demand_base(base, 'evaluate(base, adapter, data)')
  arguments.demand_adapter(adapter)
  arguments.demand_count('batch_size', batch_size)
  given.check('data', data, str | chosen_kind.InMemory,
              'Examples(texts=..., labels=...), or the name of a task')
  if field_checks.threshold(threshold) is not None and (
      not adapter.head.takes_threshold(adapter.outputs)):
    raise errors.UserError(
        f'`threshold={threshold}`: is for two classes, or several labels a '
        'text; leave it out')
  for name, value in of_names.items():
    if value and not isinstance(data, str):
      raise errors.UserError(
          f'`{name}={value}`: is for a task by name; leave it out')
  if not isinstance(metric, str):
    raise errors.UserError(
        f"`metric`: give the name of one, such as 'accuracy', not "
        f'{type(metric).__name__}')


def _demand(adapter: adapter_lib.Adapter, head: str, what: str) -> None:
  """Raises UserError for an adapter with another head.

  Args:
    adapter: Adapter with a head.
    head: Name of the head that the data need.
    what: Name of the data in the message.
  """
  if adapter.head_input != head:
    raise errors.UserError(
        f'`data`: {what} need an adapter with the head {head}, and its head '
        f'is {adapter.head_input}; give Examples for it')


def _with_metric(
    adapter: adapter_lib.Adapter, metric: str, task: tasks.Task
) -> tasks.Task:
  """Returns a task with a metric first, by default that of the training."""
  metrics.check_name(metric, task)
  if metric:  # Even one that picks no step, as perplexity.
    return metrics.to_report(task, metric)
  with contextlib.suppress(errors.UserError):  # The task has no such metric.
    return metrics.with_first(task, adapter.settings.get('metric', ''))
  return task


def _picked(
    adapter: adapter_lib.Adapter, metric: str, name: str,
    known: tuple[str, ...], labels: tuple[str, ...] = (),
) -> tasks.Task:
  """Returns the task of examples in memory, as `_with_metric` does.

  Args:
    adapter: Adapter.
    metric: Metric to return first.
    name: Name of the task.
    known: Its metrics.
    labels: Its classes.
  """
  return _with_metric(
      adapter, metric, tasks.Task(name, '', ('text',), labels, known))


def _of_labels(
    adapter: adapter_lib.Adapter, task: tasks.Task, split: tasks.Split,
    metric: str, values: Any, threshold: float | None,
) -> dict[str, float]:
  """Returns the scores of labels of texts.

  Args:
    adapter: Adapter.
    task: Task, with the classes of the adapter in any order.
    split: Examples.
    metric: As for `evaluate`.
    values: (inputs) -> logits of each.
    threshold: As for `evaluate`.
  """
  labelled.check_form(adapter, task)
  classes = adapter.classes or task.labels  # Choices are no classes.
  if set(classes) != set(task.labels):
    raise errors.UserError(
        f'`data`: {task.name} has the classes {", ".join(task.labels)}, and '
        f'the adapter {errors.listed(classes, 20)}')
  task = _with_metric(adapter, metric, task)
  logits = np.array(values(split.texts), np.float32).reshape(len(split), -1)
  threshold = adapter.threshold if threshold is None else threshold
  own = dataclasses.replace(task, labels=classes)
  if task.form == 'multilabel':
    return classification.scores(
        own, task.metrics, split.labels, logits, threshold)
  found = classification.to_predictions(own, logits, threshold)
  # Back to the order of the task: F1 is that of its second class.
  if classes:
    number = {name: at for at, name in enumerate(classes)}
    order = np.array([number[name] for name in task.labels])
    # `argsort` inverts a permutation.
    found, logits = np.argsort(order)[found], logits[:, order]
  return metrics.compute(task.metrics, split.labels, found, logits)


def _of_questions(
    adapter: adapter_lib.Adapter, asked: list[squad.Question], metric: str,
    values: Any,
) -> dict[str, float]:
  """Returns the scores of answers to questions.

  Args:
    adapter: Adapter.
    asked: Questions with their correct answers.
    metric: As for `evaluate`.
    values: (inputs) -> answers.
  """
  _demand(adapter, 'tokens', 'questions')
  task = _with_metric(adapter, metric, squad.TASK)
  found = metrics.squad(
      [[text for text, _ in one.answers] for one in asked],
      values([(one.question, one.context) for one in asked]))
  return {name: found[name] for name in task.metrics}


def _of_tags(
    adapter: adapter_lib.Adapter, examples: tagged.TaggedExamples, metric: str,
    values: Any,
) -> dict[str, float]:
  """Returns the scores of tags of words.

  Args:
    adapter: Adapter.
    examples: Sentences.
    metric: As for `evaluate`.
    values: (inputs) -> tagged sentences.
  """
  _demand(adapter, 'tags', 'tags of words')
  known = {tag for tags in examples.tags for tag in tags}
  missing = sorted(known - {*adapter.classes})
  if len(missing) == len(known):
    raise errors.unknown('`tags`', missing[0], adapter.classes)
  if missing:  # As in training, they count as errors of the adapter.
    _log.warning('%d tags are unknown to the adapter, such as %r',
                 len(missing), missing[0])
  marked = tags_lib.mark_entities(adapter.classes)
  task = _picked(
      adapter, metric, 'tagging', tags_lib.OF_ENTITIES if marked
      else tags_lib.OF_TAGS, adapter.classes)
  return tags_lib.tagging_scores(
      examples.tags, [one.tags for one in values(examples.words)],
      task.metrics)


def _of_pairs(
    base: base_lib.Base, adapter: adapter_lib.Adapter, pairs: pairs_lib.Pairs,
    metric: str, batch_size: int,
) -> dict[str, float]:
  """Returns the scores of sentence embeddings.

  Args:
    base: Pretrained encoder.
    adapter: Adapter.
    pairs: Pairs, with or without scores.
    metric: As for `evaluate`.
    batch_size: Texts a step.
  """
  head = adapter.head
  if head.dense and not head.pretrained and adapter.outputs is not None:
    raise errors.UserError(
        '`data`: Pairs are for sentence embeddings, and the adapter predicts '
        'labels; give Examples')
  compiled.check_base(base.identity, adapter, 'the adapter')
  scored = pairs.scores is not None
  task = _picked(adapter, metric, 'pairs', (
      'spearman', 'pearson') if scored else retrieval.METRICS)
  texts: list[str] = []

  def encode(some):
    texts.extend(some)
    return [np.zeros(1, np.int32) for _ in texts]  # `embedding` reads them.

  found = pair_examples.evaluation_of({'train': pairs, 'dev': pairs}, encode)
  vectors = embedding.encode(
      base, texts, adapter, normalize=True, dims=0, batch_size=batch_size)
  return pair_examples.scores(
      task.metrics, vectors, found, 'dev', pairs.scores)[0]
