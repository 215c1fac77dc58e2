"""Results of many runs. No JAX here."""

from collections.abc import Iterable, Iterator
import collections
import dataclasses
import logging
from typing import Any

from adapters_jax.runs import config as config_lib
from adapters_jax.runs import identity
from adapters_jax.runs import records as records_lib
from adapters_jax.sweeps import rivals

_log = logging.getLogger(__name__)

# (record, workdir, settings) of a finished run.
Run = tuple[records_lib.Record, str, config_lib.Config]


@dataclasses.dataclass(frozen=True)
class Outcome:
  """Results of many runs.

  Attributes:
    records: Records of the finished ones, in the order of the runs.
    folders: Workdirs of the finished ones.
    failures: (description, message) of the failed ones.
    trials: Records of the runs that picked settings; `records` lacks them.
    configs: Settings of the finished ones, with the values from the grid.
  """
  records: tuple[records_lib.Record, ...] = ()
  folders: tuple[str, ...] = ()
  failures: tuple[tuple[str, str], ...] = ()
  trials: tuple[records_lib.Record, ...] = ()
  configs: tuple[config_lib.Config, ...] = ()

  def runs(self) -> Iterator[Run]:
    """Returns the finished runs."""
    return zip(self.records, self.folders, self.configs, strict=True)


def best_of_tasks(runs: Iterable[Run]) -> list[tuple[str, Run]]:
  """Returns (task, the run with the highest dev score, the first of equals).

  A task whose runs differ in the metric has one run for each of them.

  Args:
    runs: Finished runs.
  """
  best: dict[Any, Run] = {}
  for run in runs:
    task = config_lib.task_of(run[0].config), rivals.measure_of(run[2])
    if task not in best or (
        records_lib.primary(run[0]) > records_lib.primary(best[task][0])):
      best[task] = run
  return [(task, run) for (task, _), run in best.items()]


def warn_of_machines(records: Iterable[records_lib.Record]) -> None:
  """Warns if runs of one `precision` were computed in different arithmetic."""
  found: dict[str, collections.Counter[str]] = {}
  for record in records:
    asked = str(identity.completed(record.config)['precision'])
    found.setdefault(asked, collections.Counter())[record.arithmetic] += 1
  for counts in found.values():
    if len(counts) > 1:
      said = ' and '.join(f'{count} in {name}' for name, count in
                          sorted(counts.items()))
      # A device other than a CPU is named after a comma.
      way = ('runs on one kind of device compute alike'
             if any(',' in name for name in counts)
             else '`precision=float32` computes alike on all')
      _log.warning(
          'the processors computed %s: tables keep these apart; %s', said, way)
