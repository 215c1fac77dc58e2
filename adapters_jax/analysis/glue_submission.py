"""Test predictions as files for the GLUE server (gluebenchmark.com).

One TSV for each test set, with the columns index and prediction; the server
takes them zipped. Classes are numbers or names, as in the data of the task.
"""

from collections.abc import Sequence
import os
import zipfile

from adapters_jax.analysis import predictions
from adapters_jax.data import rows
from adapters_jax.data import tasks
from adapters_jax.downloads import atomic
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
    task: tasks.Task, predicted: Sequence[str | float]
) -> list[str]:
  """Formats the column 'prediction' of a test set.

  Args:
    task: Task of GLUE.
    predicted: Class names, or scores of STS-B.

  Returns:
    One string for each example.
  """
  if not task.labels:  # STS-B's scale ends at 0 and 5.
    return [f'{min(max(float(one), 0), 5):.3f}' for one in predicted]
  if task.name in _NAMED:
    return [str(one) for one in predicted]
  return [str(task.labels.index(one)) for one in predicted]


def _write_tsv(path: str, values: Sequence[str]) -> None:
  """Writes the columns index and prediction.

  Args:
    path: Path of the file.
    values: Formatted predictions, in the order of the test set.
  """
  lines = ['index\tprediction', *(
      f'{index}\t{value}' for index, value in enumerate(values))]
  with atomic.replacing(path) as file:
    file.write(''.join(f'{line}\n' for line in lines).encode())


def _write_run(task: tasks.Task, workdir: str, form: str) -> list[str]:
  """Writes the test predictions of a finished run into its workdir.

  Args:
    task: Task of GLUE.
    workdir: Workdir of the run, with the files of `predictions.write_best`.
    form: Their format.

  Returns:
    Paths of the files; empty if the data has no test split.
  """
  folder, paths = os.path.join(workdir, 'predictions'), []
  for (name, split), file in FILES.items():
    source = os.path.join(folder, f'{split}.{form}')
    if name == task.name and os.path.isfile(source):
      found = [str(row['prediction']) for _, row in rows.read(source)]
      paths.append(os.path.join(folder, file))
      _write_tsv(paths[-1], format_predictions(task, found))
  return paths


def write_zip(
    outcome: outcome_lib.Outcome, target: str, form: str = 'tsv'
) -> list[str]:
  """Zips the predictions of each task's run best on dev.

  They are those that `predictions.write_best` has written. A task whose runs
  differ in the metric has those of the first.

  Args:
    outcome: Finished runs; those of tasks outside GLUE are skipped.
    target: Path of the zip file.
    form: Format of the predictions, one of `predicted.FORMATS`.

  Returns:
    Paths of the TSV files, then that of the zip; empty without a GLUE run.

  Raises:
    errors.UserError: a best run's adapter is not on this machine.
  """
  paths = []
  done = set()
  for record, folder, config in predictions.best_runs(outcome):
    task = config.task_name
    if task in done:
      continue
    done.add(task)
    # Own data may bear the name of a GLUE task.
    if (task, 'test') in FILES and not record.config['train_file']:
      paths += _write_run(tasks.find(task), folder, form)
  if paths:
    with atomic.replacing(target) as file, zipfile.ZipFile(
        file, 'w', zipfile.ZIP_DEFLATED) as archive:
      for path in paths:
        archive.write(path, os.path.basename(path))
    paths.append(target)
  return paths
