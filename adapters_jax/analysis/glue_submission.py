"""Test predictions as files for the GLUE server (gluebenchmark.com).

One TSV for each test set, with the columns index and prediction; the server
takes them zipped. Classes are numbers or names, as in the data of the task.
"""

from collections.abc import Sequence
import os
import zipfile

import numpy as np
from scipy import special

from adapters_jax.adapters import prediction as prediction_lib
from adapters_jax.analysis import predictions
from adapters_jax.data import tasks
from adapters_jax.data import thresholds
from adapters_jax.runs import config as config_lib
from adapters_jax.sweeps import outcome as outcome_lib

# {(task, split): file name that the server expects}
FILES = {
    ('cola', 'test'): 'CoLA.tsv',
    ('sst2', 'test'): 'SST-2.tsv',
    ('mrpc', 'test'): 'MRPC.tsv',
    ('qqp', 'test'): 'QQP.tsv',
    ('stsb', 'test'): 'STS-B.tsv',
    ('mnli', 'test'): 'MNLI-m.tsv',
    ('mnli', 'test_mismatched'): 'MNLI-mm.tsv',
    ('qnli', 'test'): 'QNLI.tsv',
    ('rte', 'test'): 'RTE.tsv',
    ('wnli', 'test'): 'WNLI.tsv',
}
_NAMED = ('mnli', 'qnli', 'rte')  # Tasks whose classes are written as names.


def format_predictions(
    task: tasks.Task, logits: np.ndarray, threshold: float | None = None
) -> list[str]:
  """Formats the column 'prediction' of a test set.

  Args:
    task: Task of GLUE.
    logits: [examples, outputs] Logits, or scores of STS-B.
    threshold: Probability from which on the second of two classes is predicted;
      None for the most probable class.

  Returns:
    One string for each example.
  """
  if not task.labels:  # STS-B's scale ends at 0 and 5.
    return [f'{score:.3f}' for score in np.clip(logits[:, 0], 0, 5)]
  classes = thresholds.choose(
      special.softmax(logits, axis=-1), threshold)  # [examples]
  if task.name in _NAMED:
    return [task.labels[c] for c in classes]
  return [str(c) for c in classes]


def _write_tsv(path: str, values: Sequence[str]) -> None:
  """Writes the columns index and prediction.

  Args:
    path: Path of the file; its folder is created.
    values: Formatted predictions, in the order of the test set.
  """
  os.makedirs(os.path.dirname(path), exist_ok=True)
  with open(path, 'w', encoding='utf-8', newline='\n') as file:
    file.write('index\tprediction\n')
    for index, value in enumerate(values):
      file.write(f'{index}\t{value}\n')


def _write_run(
    task: tasks.Task, workdir: str, data_dir: str, checkpoint: str
) -> list[str]:
  """Writes the test predictions of a finished run into its workdir.

  Args:
    task: Task of GLUE.
    workdir: Workdir of the run.
    data_dir: Folder of the TFDS files.
    checkpoint: Name or folder of the base.

  Returns:
    Paths of the files; empty if the data has no test split.
  """
  loaded = prediction_lib.load(workdir, checkpoint)
  splits = tasks.load(task, data_dir)
  paths = []
  for (name, split), file in FILES.items():
    if name == task.name and split in splits:
      logits = prediction_lib.logits(*loaded, splits[split].texts)
      paths.append(os.path.join(workdir, 'predictions', file))
      _write_tsv(paths[-1], format_predictions(
          task, logits, loaded[1].threshold))
  return paths


def write_zip(
    outcome: outcome_lib.Outcome, config: config_lib.Config, target: str
) -> list[str]:
  """Writes the predictions of each task's run best on dev, and zips them.

  Args:
    outcome: Finished runs; those of tasks outside GLUE are skipped.
    config: Settings that were crossed, for paths and the checkpoint.
    target: Path of the zip file.

  Returns:
    Paths of the TSV files, then that of the zip; empty without a GLUE run.

  Raises:
    errors.UserError: a best run's adapter is not on this machine.
  """
  paths = []
  for task, (record, folder) in predictions.best_runs(outcome).items():
    # Own data may bear the name of a GLUE task.
    if (task, 'test') in FILES and not record.config['train_file']:
      paths += _write_run(
          tasks.find(task), folder, config.data_dir,
          predictions.checkpoint_of(record, config))
  if paths:
    with zipfile.ZipFile(target, 'w', zipfile.ZIP_DEFLATED) as archive:
      for path in paths:
        archive.write(path, os.path.basename(path))
    paths.append(target)
  return paths
