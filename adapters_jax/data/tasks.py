"""The tasks, a row of a table each, read through TensorFlow Datasets.

TensorFlow itself is not needed: datasets are stored as array_record, which TFDS
reads as plain Python sequences.
"""

from collections.abc import Sequence
import contextlib
import dataclasses
import glob
import importlib
import io
import logging
import os
from typing import Any

import numpy as np

from adapters_jax.downloads import json_files
from adapters_jax.downloads import pinned
from adapters_jax import errors

# JSON list of remarks in the folder of a dataset from raw files.
NOTES = 'adapters_jax_notes.json'

# {builder: module that registers it when it is imported}
_BUILDERS = {
    'glue': 'tensorflow_datasets.text.glue',
    'squad': 'tensorflow_datasets',
    'vader_sentiment': 'adapters_jax.data.vader',
}
_SQUAD = 'https://rajpurkar.github.io/SQuAD-explorer/dataset/train-v1.1.json'


@dataclasses.dataclass(frozen=True)
class Task:
  """A task of one or two texts, with a class or a score to predict.

  Attributes:
    name: Name of the task, as in the setting `task`.
    source: Dataset of TFDS, as 'builder/config'.
    texts: Feature of the text, or features of the two texts.
    labels: Names of the classes, in order; empty for regression.
    metrics: Keys of metrics.METRICS; the first one picks the best step.
    target: Feature of the label or score.
    positive_above: Largest rating of class 0, where the target is a rating and
      the task has two classes.
    splits: (name of the split, its name in TFDS) pairs.
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
    """Number of classes, or 1 for regression."""
    return len(self.labels) or 1


@dataclasses.dataclass(frozen=True)
class Split:
  """The examples of a split, in a fixed order.

  Attributes:
    texts: One or two texts for each example.
    labels: [examples] int32 classes or float32 scores; -1 where unknown.
    labelled: Whether the labels are known, unlike those of GLUE's test splits.
      A score of -1 is a score like others.
  """
  texts: Sequence[tuple[str, ...]]
  labels: np.ndarray
  labelled: bool = True

  def __len__(self) -> int:
    return len(self.texts)


def _sentiment(config: str) -> tuple[Task, Task]:
  """Returns the classification and the regression task of a VADER set."""
  source, texts = f'vader_sentiment/{config}', ('sentence',)
  return (
      Task(f'{config}_sentiment', source, texts, ('negative', 'positive'),
           ('accuracy', 'f1'), target='rating', positive_above=0.0),
      Task(f'{config}_rating', source, texts, (), ('spearman', 'pearson'),
           target='rating'))


_NLI = ('entailment', 'not_entailment')
# 'dev' and 'test' are the genres of the training data.
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
    # TFDS numbers the classes of WNLI in the opposite order.
    Task('wnli', 'glue/wnli', ('sentence1', 'sentence2'),
         ('not_entailment', 'entailment'), ('accuracy',)),
)}


def find(name: str) -> Task:
  """Returns the task of a name; UserError for names that are not in TASKS."""
  if name not in TASKS:
    raise errors.unknown('`task`', name, TASKS)
  return TASKS[name]


def default_data_dir() -> str:
  """Returns the folder of TFDS datasets where `data_dir` is not set."""
  return os.path.join(pinned.cache_dir(), 'tfds')


def _probe(builder, source: str) -> str:
  """Returns the URL of a file of a dataset, '' for pinned ones.

  Args:
    builder: TFDS builder of the dataset.
    source: 'builder' or 'builder/config'.
  """
  if source.startswith('glue/'):
    from tensorflow_datasets.text import glue
    mrpc = glue._MRPC_TRAIN  # GLUE does not host MRPC itself.
    return builder.builder_config.data_url or mrpc
  return _SQUAD if source == 'squad' else ''


def prepared(source: str, data_dir: str) -> Any:
  """Prepares a dataset unless it exists.

  Args:
    source: 'builder' or 'builder/config'.
    data_dir: Folder of TFDS datasets.

  Returns:
    TFDS builder of the prepared dataset.

  Raises:
    errors.UserError: the data cannot be downloaded, or is stored in another
      format; names the way out.
  """
  logging.getLogger('absl').setLevel(logging.ERROR)  # TFDS logs at length.
  import tensorflow_datasets as tfds
  tfds.disable_progress_bar()
  importlib.import_module(_BUILDERS[source.split('/')[0]])
  builder = _builder(source, data_dir)
  if _is_prepared(builder):  # No lock, as the folder may be read-only.
    return builder
  # Runs that start together would write the same folder.
  with pinned.locked(os.path.join(data_dir, source.replace('/', '-'))):
    # A builder reads the splits when it is made, so one from before the lock
    # would not see those that another process has prepared since.
    builder = _builder(source, data_dir)
    if _is_prepared(builder):
      return builder
    # Without a network TFDS retries for minutes.
    probe = _probe(builder, source)
    if probe and pinned.status(probe) != 200:
      raise _absent(source, data_dir, f'{probe} cannot be reached')
    try:
      with contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare(file_format='array_record')
    except Exception as error:  # TFDS raises errors of many types.
      if not probe:
        raise
      reason = str(error).strip().splitlines()[0][:200]
      raise _absent(source, data_dir, f'preparing it failed: {reason}'
                    ) from error
  return builder


def _builder(source: str, data_dir: str) -> Any:
  """Makes the TFDS builder; arguments and errors as for `prepared`."""
  import tensorflow_datasets as tfds
  try:
    return tfds.builder(source, data_dir=data_dir, file_format='array_record')
  except ValueError as error:
    raise errors.UserError(
        f'`data_dir`: {source} in {data_dir} is not stored as array_record, '
        'which is read without TensorFlow; give another folder') from error
  except Exception as error:  # A ParseError of protobuf, for one.
    raise _damaged(os.path.join(data_dir, source), error) from error


def _is_prepared(builder: Any) -> bool:
  """Returns whether a builder has read a complete dataset."""
  return bool(builder.info.splits) and os.path.exists(
      os.path.join(builder.data_dir, 'dataset_info.json'))


def _damaged(folder: str, error: Exception) -> errors.UserError:
  """Returns the error for a prepared dataset that cannot be read.

  Args:
    folder: Folder of the dataset.
    error: Error of TFDS.
  """
  reason = ' '.join(str(error).split()).rstrip('.')[-120:]
  return errors.UserError(
      f'`data_dir`: the dataset in {folder} is damaged ({reason}); delete the '
      'folder and prepare it again')


def read_rows(builder: Any, split: str) -> list[dict[str, Any]]:
  """Returns the rows of a split of a prepared dataset.

  Args:
    builder: TFDS builder, from `prepared`.
    split: Name of the split in TFDS.

  Raises:
    errors.UserError: the files of the dataset are damaged.
  """
  try:
    source = builder.as_data_source(split)
    return [source[i] for i in range(len(source))]
  except Exception as error:  # array_record raises RuntimeError and others.
    raise _damaged(str(builder.data_dir), error) from error


def _absent(source: str, data_dir: str, reason: str) -> errors.UserError:
  """Returns the error for a dataset that cannot be prepared.

  Args:
    source: 'builder' or 'builder/config'.
    data_dir: Folder of TFDS datasets.
    reason: Why not, as a clause.
  """
  other = (
      'pass `train_file` and `dev_file`' if source == 'squad' else
      'make it from raw files with `python -m scripts.prepare_glue` `raw=DIR` '
      '`data_dir=DIR` and pass that `data_dir`')
  return errors.UserError(
      f'{source} is not in {data_dir} and {reason}; run once with a network, '
      f'or {other}')


def require(names: Sequence[str], data_dir: str = '') -> None:
  """Prepares the datasets of several tasks, before the first run of many.

  Args:
    names: Names of the tasks.
    data_dir: Folder of TFDS datasets; the cache folder when empty.

  Raises:
    errors.UserError: names all datasets that cannot be prepared, and all that
      can.
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
    present = ','.join(name for name in names if name not in absent)
    raise errors.UserError(
        f'{next(iter(absent.values()))}; so too {", ".join(list(absent)[1:])}. '
        f'At hand is `task={present}`')


def notes(task: Task, data_dir: str = '') -> list[str]:
  """Returns the remarks of `scripts.prepare_glue` on a dataset.

  Args:
    task: Task of the dataset.
    data_dir: Folder of TFDS datasets; the cache folder when empty.
  """
  path = os.path.join(data_dir or default_data_dir(), task.source)
  found = glob.glob(os.path.join(path, '*', NOTES))
  if not found:
    return []
  return json_files.read_any(max(found))


def load(task: Task, data_dir: str = '') -> dict[str, Split]:
  """Loads the splits of a task, after preparing its dataset if necessary.

  Args:
    task: Task from TASKS.
    data_dir: Folder of TFDS datasets; the cache folder when empty.

  Returns:
    {'train', 'dev', 'test', ...: examples}

  Raises:
    errors.UserError: the data cannot be downloaded; names the way out.
  """
  builder = prepared(task.source, data_dir or default_data_dir())
  return {  # Datasets from raw files may lack splits.
      name: _read(read_rows(builder, source), task)
      for name, source in task.splits if source in builder.info.splits}


def _read(rows: Sequence[dict[str, Any]], task: Task) -> Split:
  """Returns the examples of a split, sorted by their index.

  Args:
    rows: Rows of the TFDS dataset.
    task: Task of the dataset.
  """
  # Sorted, as TFDS shuffles examples when it writes its shards.
  rows = sorted(rows, key=lambda row: int(row['idx']))
  texts = [tuple(row[name].decode() for name in task.texts) for row in rows]
  targets = np.array([row[task.target] for row in rows])
  labelled = bool(np.any(targets != -1))  # The builders' word for unknown.
  if task.positive_above is not None:
    targets = targets > task.positive_above  # The bound itself is class 0.
  return Split(
      texts, targets.astype(np.int32 if task.labels else np.float32), labelled)
