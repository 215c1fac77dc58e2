"""The table of tasks, which are read through TensorFlow Datasets."""

from collections.abc import Collection, Mapping, Sequence
import dataclasses
import glob
import os
from typing import Any

import numpy as np

from adapters_jax import errors
from adapters_jax.data import prepared
from adapters_jax.data import split_cache
from adapters_jax.downloads import hub_data
from adapters_jax.downloads import json_files


# Labels of a text: one class or score, several classes, or the number of one of
# its choices.
FORMS = ('single', 'multilabel', 'multiple_choice')


@dataclasses.dataclass(frozen=True)
class Task:
  """A task of one or two texts, with a class or a score to predict.

  Attributes:
    name: Name of the task, as in the setting `task`.
    source: Dataset of TFDS, as 'builder/config'. Rows with a feature `idx` are
      sorted by it; others keep the order of TFDS.
    texts: Feature of the text, or features of the two texts.
    labels: Names of the classes, in order; empty for regression.
    metrics: Keys of metrics.METRICS; the first one picks the best step.
    target: Feature of the label or score.
    positive_above: Largest rating of class 0, where the target is a rating and
      the task has two classes.
    splits: (name of the split, its name in TFDS) pairs.
    form: Form of its labels, one of FORMS. The `labels` of multiple choice are
      the numbers of the choices.
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
  form: str = 'single'

  @property
  def outputs(self) -> int:
    """Number of classes; 1 for regression, and for a score of each choice."""
    return 1 if self.form == 'multiple_choice' else len(self.labels) or 1


@dataclasses.dataclass(frozen=True)
class Split:
  """The examples of a split, in a fixed order.

  Attributes:
    texts: One or two texts for each example; of multiple choice a text and a
      tuple of choices.
    labels: [examples] int32 classes or float32 scores; -1 where unknown. Or
      [examples, classes] float32, 1 for each of several labels.
    labelled: Whether the labels are known, unlike those of GLUE's test splits.
      A score of -1 is a score like others.
  """
  texts: Sequence[Any]
  labels: np.ndarray
  labelled: bool = True

  def __len__(self) -> int:
    return len(self.texts)

  def take(self, rows: Sequence[int]) -> 'Split':
    """Returns some of the examples, by their numbers from 0."""
    return dataclasses.replace(
        self, texts=[self.texts[row] for row in rows],
        labels=self.labels[list(rows)])


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

# Names in TFDS of GLUE's splits.
_GLUE_SPLITS = {'train', 'validation', 'test', *dict(_MNLI_SPLITS).values()}

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
  if name in TASKS:
    return TASKS[name]
  _, slash, end = name.lower().rpartition('/')
  error = errors.unknown('`task`', name, TASKS, {name.lower(): end})
  if not slash:
    raise error
  # The name of a dataset on the hub, such as 'stanfordnlp/imdb'.
  said = str(error)
  dot = '' if said.endswith('?') else '.'
  raise errors.UserError(
      f'{said}{dot} Data on the hub are files, as in `adapters-jax train '
      f'--train_file={hub_data.PREFIX}OWNER/NAME/FILE`')


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
      prepared.dataset(find(name).source, data_dir)
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
  path = os.path.join(data_dir or prepared.default_data_dir(), task.source)
  found = glob.glob(os.path.join(path, '*', prepared.NOTES))
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
    errors.UserError: the data cannot be downloaded, or are not as the row of
      the task says; names the way out.
  """
  builder = prepared.dataset(task.source, data_dir)
  sources = _sources(task, builder.info.splits)
  _check_features(task, builder.info.features)

  def read():
    splits = {name: _read(prepared.read_split(builder, source), task)
              for name, source in sources.items()}
    return {name: (split.texts, split.labels.tolist(), split.labelled)
            for name, split in splits.items()}

  found = split_cache.cached(str(builder.data_dir), (
      sources, task.texts, task.target, task.positive_above, task.labels), read)
  return {name: Split([tuple(texts) for texts in rows],
                      np.array(labels, _type_of_labels(task)), labelled)
          for name, (rows, labels, labelled) in found.items()}


def _sources(task: Task, known: Collection[str]) -> dict[str, str]:
  """Returns {split: its name in TFDS}; UserError for names of no split."""
  found = {}
  for name, source in task.splits:
    if source in known:
      found[name] = source
    # GLUE from raw files may lack splits.
    elif not (task.source.startswith('glue/') and source in _GLUE_SPLITS):
      raise errors.unknown(
          f'`splits` of the task {task.name}', source, known)
  return found


def _check_features(task: Task, features: Mapping[str, Any]) -> None:
  """Checks a row of TASKS against its dataset.

  Args:
    task: Task.
    features: {name: feature of TFDS}

  Raises:
    errors.UserError: a feature that the dataset lacks, or of another type.
  """
  for field, names in (('texts', task.texts), ('target', (task.target,))):
    for name in names:
      if name not in features:
        raise errors.unknown(
            f'`{field}` of the task {task.name}', name, list(features))
  for name in task.texts:
    # TFDS stores texts as bytes, whose type for numpy is 'object'.
    if np.dtype(features[name].np_dtype) != object:
      raise errors.UserError(
          f'`texts` of the task {task.name}: {name} is not a text')
  if task.positive_above is not None and len(task.labels) != 2:
    raise errors.UserError(
        f'`positive_above` of the task {task.name}: makes two classes of a '
        'rating; give two `labels`, or leave it out for regression')
  rating = np.issubdtype(features[task.target].np_dtype, np.floating)
  if rating and task.labels and task.positive_above is None:
    raise errors.UserError(
        f'`target` of the task {task.name}: {task.target} is a rating; give '
        '`positive_above`, the largest rating of class 0, or `labels=()` for '
        'regression')


def _type_of_labels(task: Task) -> type:
  """Returns the type of the labels of a task."""
  return np.int32 if task.labels else np.float32


def _read(rows: Sequence[dict[str, Any]], task: Task) -> Split:
  """Returns the examples of a split, sorted by their index.

  Args:
    rows: Rows of the TFDS dataset.
    task: Task of the dataset.

  Raises:
    errors.UserError: a class without a name.
  """
  # Sorted, as TFDS shuffles examples when it writes its shards.
  rows = sorted(rows, key=lambda row: int(row.get('idx', 0)))
  texts = [tuple(row[name].decode() for name in task.texts) for row in rows]
  targets = np.array([row[task.target] for row in rows])
  labelled = bool(np.any(targets != -1))  # Builders write -1 for unknown.
  if task.positive_above is not None:
    targets = targets > task.positive_above  # The bound itself is class 0.
  elif task.labels and len(targets) and not (
      -1 <= targets.min() <= targets.max() < len(task.labels)):
    raise errors.UserError(
        f'`labels` of the task {task.name}: {len(task.labels)} names for the '
        f'classes {targets.min()} to {targets.max()}; name each of them')
  return Split(texts, targets.astype(_type_of_labels(task)), labelled)
