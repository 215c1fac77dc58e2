"""Store of the records of an experiment's runs. No JAX here."""

import dataclasses
import os
import tempfile

from adapters_jax import errors
from adapters_jax.runs import at_hand as at_hand_lib
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import identity
from adapters_jax.runs import records as records_lib
from adapters_jax.runs import workdirs
from adapters_jax.sweeps import grid


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


@dataclasses.dataclass(frozen=True)
class Store:
  """Finds and keeps the records of an experiment's runs.

  Attributes:
    experiment: Name of the experiment, part of folders and records.
    folder: Folder of records, looked up after the workdirs; '' for none.
    at_hand: Data and bases at hand, with which records must agree; None skips
      the comparison.
  """
  experiment: str
  folder: str = ''
  at_hand: at_hand_lib.AtHand | None = None

  def find(self, config: config_lib.Config) -> records_lib.Record | None:
    """Returns the record of a run, None if it has not finished.

    Raises:
      errors.UserError: a damaged record, or one of other data or another base.
    """
    places = {'workdir': workdirs.record_of(
        workdirs.path_of(config, self.experiment))}
    if self.folder:
      places['records'] = self.path_of(config)
    found = None
    for place, path in places.items():
      if os.path.exists(path):
        try:
          record = records_lib.read(path)
        except ValueError as error:
          if found is not None:
            continue  # `keep` replaces it.
          raise errors.UserError(
              f'the record is damaged: {error}; delete it to make the run '
              'again') from error
        # A named workdir may hold a run of other settings.
        if identity.completed(record.config) == identity.portable(config):
          # Checks both places: `keep` must not replace a record of other data.
          if self.at_hand:
            self.at_hand.demand_same(record, config, path, place)
          found = found or record
    return found

  def path_of(self, config: config_lib.Config) -> str:
    """Returns the path of a run's record in the folder."""
    return self._path(config, grid.run_name(config))

  def _path(self, config: config_lib.Config, name: str) -> str:
    return os.path.join(
        self.folder, self.experiment, config.task_name, f'{name}.json')

  def keep(
      self, config: config_lib.Config, record: records_lib.Record
  ) -> None:
    """Writes a run's record into the folder, if there is one.

    Args:
      config: Settings.
      record: Record of the run. Its own settings name the file: the data may
        have changed since they were read.
    """
    if self.folder:
      records_lib.write(self._path(config, identity.digest(
          identity.completed(record.config))), record)

  def keep_new(
      self, config: config_lib.Config, record: records_lib.Record
  ) -> None:
    """Keeps the record of a run that has just trained; the first host writes.

    The others have records too, with times and a machine of their own; that of
    the first one is in the workdir.

    Args:
      config: Settings.
      record: Record of the run.
    """
    if not (self.folder and config.coordinator):
      self.keep(config, record)
      return
    from adapters_jax.training import hosts  # Imports JAX.
    hosts.by_first(lambda: self.keep(config, record))
