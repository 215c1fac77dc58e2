"""The table of tasks, which are read through TensorFlow Datasets."""

from collections.abc import Sequence
import glob
import os
from typing import Any

import numpy as np

from adapters_jax import errors
from adapters_jax.data import prepared
from adapters_jax.data import split_cache
from adapters_jax.data import task as task_lib
from adapters_jax.data import task_rows
from adapters_jax.downloads import hub_data
from adapters_jax.downloads import json_files


FORMS = task_lib.FORMS
Task = task_lib.Task
Split = task_lib.Split


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

# Names in TFDS of GLUE's splits, which raw files may lack.
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
  """Returns the task of a name.

  Args:
    name: Key of TASKS.

  Raises:
    errors.UserError: a name that is not in TASKS, or a wrong row.
  """
  if name in TASKS:
    task_rows.check(TASKS[name])
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
    errors.UserError: a row that does not fit its dataset; or names all datasets
      that cannot be prepared, and all that can.
  """
  builders, absent = {}, {}
  for name in dict.fromkeys(names):
    task = find(name)
    try:
      builders[name] = prepared.dataset(task.source, data_dir)
    except errors.UserError as error:
      absent[name] = error
  if absent and (len(absent) == 1 or not builders):
    raise next(iter(absent.values()))
  if absent:
    raise errors.UserError(
        f'{next(iter(absent.values()))}; so too {", ".join(list(absent)[1:])}. '
        f'At hand is `task={",".join(builders)}`')
  for name, builder in builders.items():
    _sources(find(name), builder)


def _sources(task: Task, builder: Any) -> dict[str, str]:
  """Returns {split: its name in TFDS}, after a check of the task's row.

  Args:
    task: Task.
    builder: TFDS builder of its prepared dataset.

  Raises:
    errors.UserError: the dataset is not as the row says.
  """
  optional = _GLUE_SPLITS if task.source.startswith('glue/') else ()
  found = task_rows.sources(task, builder.info.splits, optional)
  task_rows.check_features(task, builder.info.features)
  return found


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
  sources = _sources(task, builder)

  def read():
    splits = {
        name: task_rows.read(prepared.read_split(builder, source), task)
        for name, source in sources.items()}
    return {name: (split.texts, split.labels.tolist(), split.labelled)
            for name, split in splits.items()}

  found = split_cache.cached(str(builder.data_dir), (
      sources, task.texts, task.target, task.positive_above, task.labels), read)
  splits = {
      name: Split([tuple(texts) for texts in rows],
                  np.array(labels, task_rows.type_of_labels(task)), labelled)
      for name, (rows, labels, labelled) in found.items()}
  task_rows.check_examples(task, splits, builder.info.features[task.target])
  return splits
