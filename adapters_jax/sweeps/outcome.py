"""Results of many runs, and look-up of earlier results. No JAX here."""

from collections.abc import Iterable, Iterator
import collections
import dataclasses
import logging
import os
import tempfile
from typing import Any

from adapters_jax import errors
from adapters_jax.runs import at_hand as at_hand_lib
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import identity
from adapters_jax.runs import records as records_lib
from adapters_jax.runs import workdirs
from adapters_jax.sweeps import grid
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


def check_folder(folder: str) -> None:
  """Creates a folder of records, and checks that it can be written.

  Args:
    folder: Folder of records; '' for none.

  Raises:
    errors.UserError: it cannot be made or written.
  """
  if not folder:
    return
  try:
    os.makedirs(folder, exist_ok=True)
    # Not os.access, which lets root write anywhere, even in /proc.
    with tempfile.TemporaryFile(dir=folder):
      pass
  except (OSError, ValueError) as error:  # ValueError: a NUL in the name.
    raise errors.UserError(
        f'`records`: {folder} cannot be written ({error}); give another folder'
    ) from error


def finished_run(
    config: config_lib.Config, experiment: str, folder: str = '',
    at_hand: at_hand_lib.AtHand | None = None,
) -> records_lib.Record | None:
  """Returns the record of a run, None if it has not finished.

  Args:
    config: Settings.
    experiment: Name of the experiment.
    folder: Folder of records, looked up after the workdir.
    at_hand: Data and bases at hand, with which the record must agree; None
      skips the comparison.

  Raises:
    errors.UserError: a damaged record, or one of other data or another base.
  """
  places = {'workdir': os.path.join(
      workdirs.path_of(config, experiment), records_lib.RECORD)}
  if folder:
    places['records'] = record_path(folder, experiment, config)
  found = None
  for place, path in places.items():
    if os.path.exists(path):
      try:
        record = records_lib.read(path)
      except ValueError as error:
        if found is not None:
          continue  # `keep` replaces it.
        raise errors.UserError(
            f'the record is damaged: {error}; delete it to make the run again'
        ) from error
      # A named workdir may hold a run of other settings.
      if identity.completed(record.config) == identity.portable(config):
        # Checks both places: `keep` must not replace a record of other data.
        if at_hand:
          at_hand.demand_same(record, config, path, place)
        found = found or record
  return found


def record_path(
    folder: str, experiment: str, config: config_lib.Config
) -> str:
  """Returns the path of a run's record in a folder of records.

  Args:
    folder: Folder of records.
    experiment: Name of the experiment.
    config: Settings.
  """
  return os.path.join(
      folder, experiment, config.task_name, f'{grid.run_name(config)}.json')


def keep(
    folder: str, experiment: str, config: config_lib.Config,
    record: records_lib.Record,
) -> None:
  """Writes a run's record into a folder of records.

  Args:
    folder: Folder of records.
    experiment: Name of the experiment.
    config: Settings.
    record: Record of the run. Its own settings name the file: the data may
      have changed since they were read.
  """
  records_lib.write(os.path.join(
      folder, experiment, config.task_name,
      f'{identity.digest(identity.completed(record.config))}.json'), record)


def keep_new(
    folder: str, experiment: str, config: config_lib.Config,
    record: records_lib.Record,
) -> None:
  """Writes the record of a run that has just trained; the first host writes.

  The others have records too, with times and a machine of their own; that of
  the first one is in the workdir.

  Args:
    folder: Folder of records.
    experiment: Name of the experiment.
    config: Settings.
    record: Record of the run.
  """
  if not config.coordinator:
    keep(folder, experiment, config, record)
    return
  from adapters_jax.training import hosts  # Imports JAX.
  hosts.by_first(lambda: keep(folder, experiment, config, record))


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
