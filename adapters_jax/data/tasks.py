"""The tasks: one row each, read through TensorFlow Datasets.

TFDS is used without TensorFlow: datasets are stored as array_record and read as
plain Python sources.
"""

from collections.abc import Sequence
import contextlib
import dataclasses
import glob
import importlib
import io
import json
import logging
import os
from typing import Any

import numpy as np

from adapters_jax.downloads import pinned
from adapters_jax import errors

# Beside a dataset made from raw files: what is unusual in it, a JSON list.
NOTES = 'adapters_jax_notes.json'

# The module that registers each builder.
_BUILDERS = {
    'glue': 'tensorflow_datasets.text.glue',
    'squad': 'tensorflow_datasets',
    'vader_sentiment': 'adapters_jax.data.vader',
}
_SQUAD = 'https://rajpurkar.github.io/SQuAD-explorer/dataset/train-v1.1.json'


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
    raise errors.unknown('--task', name, TASKS)
  return TASKS[name]


def default_data_dir() -> str:
  """Returns where prepared datasets are kept without `--data_dir`."""
  return os.path.join(pinned.cache_dir(), 'tfds')


def _probe(builder, source: str) -> str:
  """Returns a file that preparing a dataset downloads; '' for none."""
  if source.startswith('glue/'):
    from tensorflow_datasets.text import glue
    mrpc = glue._MRPC_TRAIN  # The one task that GLUE does not host.
    return builder.builder_config.data_url or mrpc
  return _SQUAD if source == 'squad' else ''


def prepared(source: str, data_dir: str) -> Any:
  """Returns a TFDS builder whose files are there, preparing them once.

  Args:
    source: 'builder' or 'builder/config'.
    data_dir: Where TFDS keeps its files.

  Raises:
    options.UserError: the data is absent and cannot be had, or is stored in
      another format; says what to do.
  """
  logging.getLogger('absl').setLevel(logging.ERROR)
  import tensorflow_datasets as tfds
  tfds.disable_progress_bar()
  importlib.import_module(_BUILDERS[source.split('/')[0]])  # Registers it.
  try:
    builder = tfds.builder(
        source, data_dir=data_dir, file_format='array_record')
  except ValueError as error:
    raise errors.UserError(
        f'--data_dir: {source} in {data_dir} is not stored as array_record, '
        'which is read without TensorFlow; give another folder') from error
  with pinned.locked(os.path.join(data_dir, source.replace('/', '-'))):
    if os.path.exists(os.path.join(builder.data_dir, 'dataset_info.json')):
      return builder
    probe = _probe(builder, source)
    if probe and pinned.status(probe) != 200:
      raise _absent(source, data_dir, f'{probe} cannot be reached')
    try:
      with contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare(file_format='array_record')
    except Exception as error:  # TFDS has many kinds.
      if not probe:
        raise
      reason = str(error).strip().splitlines()[0][:200]
      raise _absent(source, data_dir, f'preparing it failed: {reason}'
                    ) from error
  return builder


def _absent(source: str, data_dir: str, reason: str) -> errors.UserError:
  """Returns the error for a dataset that is not there, with the ways out."""
  other = (
      'pass --train_file and --dev_file' if source == 'squad' else
      'make it from raw files with `python -m scripts.prepare_glue --raw=DIR '
      '--data_dir=DIR` and pass that --data_dir')
  return errors.UserError(
      f'{source} is not in {data_dir} and {reason}; run once with a network, '
      f'or {other}')


def require(names: Sequence[str], data_dir: str = '') -> None:
  """Prepares the datasets of tasks before any of them is trained on.

  Raises:
    options.UserError: names all that cannot be had, and those at hand.
  """
  absent = {}
  for name in dict.fromkeys(names):
    try:
      prepared(find(name).source, data_dir or default_data_dir())
    except errors.UserError as error:
      absent[name] = error
  if len(absent) == 1 or (absent and len(absent) == len(names)):
    raise next(iter(absent.values()))
  if absent:
    there = ','.join(name for name in names if name not in absent)
    raise errors.UserError(
        f'{next(iter(absent.values()))}; so too {", ".join(list(absent)[1:])}. '
        f'At hand is --task={there}')


def notes(task: Task, data_dir: str = '') -> list[str]:
  """Returns what `scripts.prepare_glue` noted about a dataset."""
  path = os.path.join(data_dir or default_data_dir(), task.source)
  found = glob.glob(os.path.join(path, '*', NOTES))
  if not found:
    return []
  with open(max(found), encoding='utf-8') as file:
    return json.load(file)


def load(task: Task, data_dir: str = '') -> dict[str, Split]:
  """Returns {'train', 'dev', 'test', ...: Split}, preparing them once.

  Args:
    task: Of TASKS.
    data_dir: Where TFDS keeps its files; the cache folder when empty.

  Raises:
    options.UserError: the data is absent and cannot be had; says what to do.
  """
  builder = prepared(task.source, data_dir or default_data_dir())
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
