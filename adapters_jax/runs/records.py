"""Records of runs as JSON, and the store that finds them. No JAX here."""

from collections.abc import Iterable, Iterator
import dataclasses
import json
import math
import os
import platform
import subprocess
from typing import Any

from adapters_jax.downloads import atomic

RECORD = 'record.json'


@dataclasses.dataclass(frozen=True)
class Record:
  """What a finished run was and gave.

  Attributes:
    experiment: The script's name.
    config: The settings, without paths.
    metrics: {'dev' and 'test': {metric: value}} of the best step.
    trained_params: Parameters in the tuned tree.
    total_params: Parameters of the whole model.
    roles: {role: trained parameters}.
    seconds: Wall time of the training loop and its evaluations.
    cpu_seconds: Processor time of the same, over all threads.
    steps: Optimizer steps.
    best_step: The step whose tuned tree was kept.
    padded_tokens: Tokens computed in training, padding included.
    real_tokens: Tokens of the training examples seen.
    history: One entry an evaluation: step, loss, dev metrics.
    notes: What a reader should know, e.g. a collapse to one class.
    device: Kind of the device and how many.
    versions: {package: version}.
    commit: Of the code, with '+' if it was changed since; '' if unknown.
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


def write_measured(config: Any, **found: Any) -> None:
  """Writes what a script measured to the file `config.out`, unless ''.

  Args:
    config: The script's settings, a dataclass.
    **found: The numbers; cores, machine and commit are written beside them.
  """
  settings = dataclasses.asdict(config)
  path = settings.pop('out')
  if path:
    atomic.write_json(path, {
        **settings, **found, 'cores': len(os.sched_getaffinity(0)),
        'machine': platform.machine(),
        'commit': commit_of(os.path.dirname(os.path.abspath(__file__)))})


def write(path: str, record: Record) -> None:
  """Writes a record."""
  atomic.write_json(path, dataclasses.asdict(record))


def read(path: str) -> Record:
  """Reads a record; ValueError names the file if it is not one."""
  try:
    with open(path, encoding='utf-8') as file:
      return Record(**json.load(file))
  except (TypeError, ValueError) as error:
    raise ValueError(f'{path} is not a record ({error})') from error


def read_all(folder: str) -> Iterator[Record]:
  """Yields every record below a folder, in the order of their paths."""
  for parent, folders, names in os.walk(folder):
    folders.sort()
    for name in sorted(names):
      if name.endswith('.json') and not name.startswith('.'):
        path = os.path.join(parent, name)
        try:
          yield read(path)
        except ValueError:
          continue  # Other JSON may stand beside the records.


def primary(record: Record, split: str = 'dev') -> float:
  """Returns the task's first metric on a split."""
  return next(iter(record.metrics[split].values()))


def best(records: Iterable[Record]) -> Record:
  """Returns the record with the highest dev score."""
  return max(records, key=primary)


def mean_sem(values: Iterable[float]) -> tuple[float, float]:
  """Returns (mean, standard error of the mean); the error of one is nan."""
  values = list(values)
  mean = math.fsum(values) / len(values)
  if len(values) < 2:
    return mean, math.nan
  variance = math.fsum((v - mean)**2 for v in values) / (len(values) - 1)
  return mean, math.sqrt(variance / len(values))


def commit_of(folder: str) -> str:
  """Returns the commit of a checkout, with '+' if it has changes; or ''."""
  def git(*arguments: str) -> str:
    return subprocess.run(
        ['git', '-C', folder, *arguments], capture_output=True, text=True,
        check=True).stdout.strip()

  try:
    changed = git('status', '--porcelain', '--untracked-files=no')
    return git('rev-parse', '--short=12', 'HEAD') + ('+' if changed else '')
  except (OSError, subprocess.CalledProcessError):
    return ''
