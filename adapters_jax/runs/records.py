"""Records of runs as JSON, and the store that finds them. No JAX here."""

import collections
from collections.abc import Iterable, Iterator
import dataclasses
import logging
import math
import os
import subprocess
from typing import Any

from adapters_jax import errors
from adapters_jax.downloads import atomic
from adapters_jax.downloads import file_hash
from adapters_jax.downloads import json_files
from adapters_jax.runs import identity
from adapters_jax.runs import record_checks
from adapters_jax.runs import version

_log = logging.getLogger(__name__)

RECORD = 'record.json'
_HASH = 'sha256'  # Of the other values of a record's file.
# Entries that distinguish records, even damaged ones, from other JSON.
_OF_RECORDS = {'config', 'metrics'}
THRESHOLD_NOTE = 'the threshold {} is the best one on dev'
# Runs with this seed or above choose settings. Means leave them out, because
# the best of several scores overestimates the chosen setting.
FIRST_PICK_SEED = 1000


@dataclasses.dataclass(frozen=True)
class Record:
  """Settings and results of a finished run.

  Records of earlier versions lack all attributes after `commit`.

  Attributes:
    experiment: Name of the experiment.
    config: Settings, without places (`identity.portable`).
    metrics: {'dev', 'test', ...: {metric: value}} of the best step.
    trained_params: Number of parameters with a gradient.
    total_params: Number of parameters of the whole model.
    roles: {role: number of parameters in the tuned tree}.
    seconds: Wall time of the training loop and its evaluations.
    cpu_seconds: Processor time of the same, over all threads.
    steps: Number of optimizer steps.
    best_step: Number of steps before the best dev score.
    padded_tokens: Number of tokens computed in training, padding included.
    real_tokens: Number of tokens of the training examples seen.
    history: One entry per evaluation: step, loss, dev metrics.
    notes: Remarks for the reader, e.g. a collapse to one class.
    device: Number and kind of the devices.
    versions: {package: version}.
    commit: Commit of the code, with '+' if there were changes; '' if unknown.
    last: The metrics after the last step, as in `metrics`.
    predictions: {split: {name: text}} of the best step, packed by `compact`:
      for each example its 'labels' and 'predictions'; its 'f1' for answers;
      'label_sets' and 'predicted_sets' for several labels, of which there are
      'label_count'.
    data: {split: {'examples': number, 'sha256': of its texts and labels}}.
    computation: Types and precisions that the run used on its device.
    machine: {'cpu': name, 'threads': number} and more, see
      `machine.describe`.
    peak_bytes: {'host', 'device'}: peak memory of the process, in bytes.
    date: End of the run, in UTC.
    base: Base with the hash of its weights, see `model.base.identity`; '' in
      records of earlier versions.
    base_files: {name: hash} of the small files of a base in a folder, see
      `model.base.file_hashes`; {} in records of earlier versions.
  """
  experiment: str
  config: dict[str, Any]
  metrics: dict[str, dict[str, float]]
  trained_params: int
  total_params: int
  roles: dict[str, int]
  seconds: float
  cpu_seconds: float
  steps: int
  best_step: int
  padded_tokens: int
  real_tokens: int
  history: list[dict[str, Any]]
  notes: list[str]
  device: str
  versions: dict[str, str]
  commit: str
  last: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
  predictions: dict[str, dict[str, str]] = dataclasses.field(
      default_factory=dict)
  data: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
  computation: str = ''
  machine: dict[str, Any] = dataclasses.field(default_factory=dict)
  peak_bytes: dict[str, int] = dataclasses.field(default_factory=dict)
  date: str = ''
  base: str = ''
  base_files: dict[str, str] = dataclasses.field(default_factory=dict)

  @property
  def numbers(self) -> int:
    """Version of the code that decided the numbers, see `version`."""
    return self.config.get(version.FIELD, version.FIRST)

  @property
  def file_task(self) -> str:
    """Kind of task of the run's files, see `Config.file_task`."""
    return self.config.get('file_task', '')

  @property
  def picks(self) -> bool:
    """Whether the run chooses settings, so that means leave it out."""
    return self.config['seed'] >= FIRST_PICK_SEED

  @property
  def arithmetic(self) -> str:
    """Precision of the computation, and the kind of device if no CPU.

    Like 'float32' or 'bfloat16_products, gpu'. Devices differ in the lengths of
    their batches and in the meaning of a precision (`model.precision`): on a
    CPU 'tensorfloat32' is float32, and without instructions for bfloat16 so is
    'bfloat16_products'.
    """
    asked = str(identity.completed(self.config)['precision'])
    # Such as '1 x cpu (cpu)'.
    kind, = self.device.partition(' x ')[2].split()[:1] or ['cpu']
    if kind != 'cpu':
      return f'{asked}, {kind}'
    fell_back = (asked == 'bfloat16_products' and self.computation
                 and 'products of bfloat16' not in self.computation)
    return 'float32' if fell_back or asked == 'tensorfloat32' else asked


def write(path: str, record: Record) -> None:
  """Writes a record.

  Args:
    path: Path of the file.
    record: Record to write.
  """
  values = dataclasses.asdict(record)
  atomic.write_json(path, {**values, _HASH: atomic.json_digest(values)})


def read(path: str) -> Record:
  """Returns the record in a file.

  Args:
    path: Path of the file.

  Raises:
    errors.UserError: the file cannot be read, or is not a whole record; names
      the entry.
  """
  return _checked(path, json_files.read(path))


def _checked(path: str, values: dict[str, Any]) -> Record:
  """Returns the record of a file's JSON; raises UserError if it is none."""
  saved = values.pop(_HASH, None)  # Earlier records have none.
  problem = record_checks.problem(values, Record)
  if not problem and saved is not None and saved != atomic.json_digest(values):
    problem = 'it has changed since it was written'
  if problem:
    raise errors.UserError(f'{path} is not a record ({problem})')
  return Record(**values)


def read_all(folder: str) -> Iterator[Record]:
  """Yields the records of `read_with_paths`."""
  for _, record in read_with_paths(folder):
    yield record


def read_with_paths(folder: str) -> Iterator[tuple[str, Record]]:
  """Yields (path, record) of every record below a folder, in this order.

  Damaged ones are left out and logged. Other JSON may lie next to the records.

  Args:
    folder: Folder of records, with those below it.
  """
  for path in file_hash.files_below(folder):
    if path.endswith('.json') and not os.path.basename(path).startswith('.'):
      try:
        values = json_files.read_any(path)
        if isinstance(values, dict) and _OF_RECORDS <= values.keys():
          yield path, _checked(path, values)
      except errors.UserError as error:
        _log.warning('a record is left out: %s', error)


def one_version(records: Iterable[Record]) -> list[Record]:
  """Returns the records as a list.

  Raises:
    errors.UserError: they are of several versions, whose numbers cannot be
      compared.
  """
  records = list(records)
  for present in {version.of(record.file_task) for record in records}:
    check_versions(
        [record.numbers for record in records
         if version.of(record.file_task) == present], present)
  return records


def check_versions(
    found: Iterable[int], present: int = version.NUMBERS
) -> None:
  """Raises UserError if there are several versions of the numbers.

  Args:
    found: Version of each record.
    present: Version of new records.
  """
  kind = ('records of sentence embeddings' if present == version.PAIRS
          else 'records')
  counts = collections.Counter(found)
  if len(counts) > 1:
    named = ', '.join(f'{count} of version {number}'
                      for number, count in sorted(counts.items()))
    raise errors.UserError(
        f'{kind}: {named}: they cannot be compared; keep those of one version '
        f'(the present one is {present})')


def primary(record: Record, split: str = 'dev') -> float:
  """Returns the task's first metric on a split.

  Args:
    record: Record of a run.
    split: Name of the split.
  """
  return next(iter(record.metrics[split].values()))


def best(records: Iterable[Record]) -> Record:
  """Returns the record with the highest dev score."""
  return max(records, key=primary)


def mean_sem(values: Iterable[float]) -> tuple[float, float]:
  """Returns (mean, standard error of the mean); nan for a single value."""
  values = list(values)
  mean = math.fsum(values) / len(values)
  if len(values) < 2:
    return mean, math.nan
  variance = math.fsum((v - mean)**2 for v in values) / (len(values) - 1)
  return mean, math.sqrt(variance / len(values))


def commit_of(path: str) -> str:
  """Returns the commit of a file's checkout, with '+' if it has changes; or ''.

  A file that git does not track has no commit: an installed package may lie in
  the checkout of another project.

  Args:
    path: Path of the file.
  """
  folder, name = os.path.split(os.path.abspath(path))

  def git(*arguments: str) -> str:
    return subprocess.run(
        ['git', '-C', folder, *arguments], capture_output=True, text=True,
        check=True).stdout.strip()

  try:
    git('ls-files', '--error-unmatch', name)
    changed = git('status', '--porcelain', '--untracked-files=no')
    return git('rev-parse', '--short=12', 'HEAD') + ('+' if changed else '')
  except (OSError, subprocess.CalledProcessError):
    return ''  # No git, or no checkout.
