"""The tasks: one row each, read through TensorFlow Datasets.

TFDS is used without TensorFlow: datasets are stored as array_record and read as
plain Python sources.
"""

from collections.abc import Sequence
import contextlib
import dataclasses
import io
import logging
import os

import numpy as np

from adapters_jax import assets
from adapters_jax import options


@dataclasses.dataclass(frozen=True)
class Task:
  """What a task is.

  Attributes:
    name: As in `--task`.
    source: 'builder/config' of TFDS.
    texts: The feature of the text, or of the two texts.
    labels: Names of the classes, in order; empty for regression.
    metrics: Of metrics.METRICS; the first picks the best step.
    target: The feature with the label or the score.
    positive_above: Where the target is a rating: its class is 1 above this
      number, 0 at or below it.
    splits: {our name: the name in TFDS}.
  """
  name: str
  source: str
  texts: tuple[str, ...]
  labels: tuple[str, ...]
  metrics: tuple[str, ...]
  target: str = 'label'
  positive_above: float | None = None
  splits: tuple[tuple[str, str], ...] = (
      ('train', 'train'), ('dev', 'validation'), ('test', 'test'))

  @property
  def outputs(self) -> int:
    """Classes, or 1 for regression."""
    return len(self.labels) or 1


@dataclasses.dataclass(frozen=True)
class Split:
  """The examples of a split, in a fixed order.

  Attributes:
    texts: One or two texts for each example.
    labels: [examples] int32 classes or float32 scores; -1 where unknown.
  """
  texts: Sequence[tuple[str, ...]]
  labels: np.ndarray

  def __len__(self) -> int:
    return len(self.texts)

  @property
  def labelled(self) -> bool:
    """Whether the labels are known (GLUE's test splits have none)."""
    return len(self) > 0 and bool(np.any(self.labels != -1))


def _sentiment(config: str) -> tuple[Task, Task]:
  source, texts = f'vader_sentiment/{config}', ('sentence',)
  return (
      Task(f'{config}_sentiment', source, texts, ('negative', 'positive'),
           ('accuracy', 'f1'), target='rating', positive_above=0.0),
      Task(f'{config}_rating', source, texts, (), ('spearman', 'pearson'),
           target='rating'))


_NLI = ('entailment', 'not_entailment')
_MNLI_SPLITS = (
    ('train', 'train'), ('dev', 'validation_matched'),
    ('test', 'test_matched'), ('dev_mismatched', 'validation_mismatched'),
    ('test_mismatched', 'test_mismatched'))

TASKS = {task.name: task for task in (
    *_sentiment('movie'), *_sentiment('amazon'), *_sentiment('nyt'),
    *_sentiment('tweets'),
    Task('cola', 'glue/cola', ('sentence',), ('unacceptable', 'acceptable'),
         ('matthews', 'accuracy')),
    Task('sst2', 'glue/sst2', ('sentence',), ('negative', 'positive'),
         ('accuracy',)),
    Task('mrpc', 'glue/mrpc', ('sentence1', 'sentence2'),
         ('not_equivalent', 'equivalent'), ('f1', 'accuracy')),
    Task('qqp', 'glue/qqp', ('question1', 'question2'),
         ('not_duplicate', 'duplicate'), ('f1', 'accuracy')),
    Task('stsb', 'glue/stsb', ('sentence1', 'sentence2'), (),
         ('spearman', 'pearson')),
    Task('mnli', 'glue/mnli', ('premise', 'hypothesis'),
         ('entailment', 'neutral', 'contradiction'), ('accuracy',),
         splits=_MNLI_SPLITS),
    Task('qnli', 'glue/qnli', ('question', 'sentence'), _NLI, ('accuracy',)),
    Task('rte', 'glue/rte', ('sentence1', 'sentence2'), _NLI, ('accuracy',)),
    Task('wnli', 'glue/wnli', ('sentence1', 'sentence2'),
         ('not_entailment', 'entailment'), ('accuracy',)),
)}


def find(name: str) -> Task:
  """Returns the task of a name; UserError with near matches if unknown."""
  if name not in TASKS:
    raise options.unknown('task', name, TASKS)
  return TASKS[name]


def default_data_dir() -> str:
  """Returns where prepared datasets are kept without `--data_dir`."""
  return os.path.join(assets.cache_dir(), 'tfds')


def _reachable() -> bool:
  """Returns whether the hosts of public datasets answer, in 5 seconds."""
  import requests
  try:
    requests.head('https://dl.fbaipublicfiles.com/', timeout=5)
  except requests.RequestException:
    return False
  return True


def _builder(task: Task, data_dir: str):
  """Returns the TFDS builder of a task, its files prepared."""
  logging.getLogger('absl').setLevel(logging.ERROR)
  import tensorflow_datasets as tfds
  tfds.disable_progress_bar()
  if task.source.startswith('vader_sentiment/'):
    from adapters_jax.data import sentiment  # Registers the builder.
    del sentiment
  else:
    from tensorflow_datasets.text import glue
    del glue
  builder = tfds.builder(
      task.source, data_dir=data_dir, file_format='array_record')
  if os.path.exists(os.path.join(builder.data_dir, 'dataset_info.json')):
    return builder
  if task.source.startswith('glue/') and not _reachable():
    raise options.UserError(
        f'task: {task.source} is not in {data_dir} and its host cannot be '
        'reached; run once with a network, or make it from raw files with '
        '`python -m scripts.prepare_glue --raw=DIR --data_dir=DIR` and pass '
        'that --data_dir')
  with assets.locked(os.path.join(data_dir, task.source.replace('/', '-'))):
    with contextlib.redirect_stdout(io.StringIO()):
      builder.download_and_prepare(file_format='array_record')
  return builder


def load(task: Task, data_dir: str = '') -> dict[str, Split]:
  """Returns {'train', 'dev', 'test', ...: Split}, preparing them once.

  Args:
    task: Of TASKS.
    data_dir: Where TFDS keeps its files; the cache folder when empty.

  Raises:
    options.UserError: the data is absent and cannot be had; says what to do.
  """
  builder = _builder(task, data_dir or default_data_dir())
  return {
      name: _read(builder.as_data_source(source), task)
      for name, source in task.splits if source in builder.info.splits}


def _read(source: Sequence[dict[str, object]], task: Task) -> Split:
  """Returns the examples of a source sorted by their index."""
  rows = sorted((source[i] for i in range(len(source))),
                key=lambda row: int(row['idx']))
  texts = [tuple(row[name].decode() for name in task.texts) for row in rows]
  targets = np.array([row[task.target] for row in rows])
  if task.positive_above is not None:
    targets = targets > task.positive_above
  return Split(texts, targets.astype(np.int32 if task.labels else np.float32))
