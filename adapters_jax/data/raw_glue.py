"""GLUE's TFDS datasets from raw files, for machines without a network.

The `glue` builder of TFDS itself writes the datasets, with the raw folder in
place of its downloads, so any reader of TFDS can use them. `glue_layouts`
converts other layouts first.
"""

from collections.abc import Callable
import csv
import dataclasses
import logging
import os
import tempfile

import tensorflow_datasets as tfds
from tensorflow_datasets.text import glue

from adapters_jax.data import glue_layouts
from adapters_jax.data import prepared
from adapters_jax.data import rows as rows_lib
from adapters_jax.downloads import atomic
from adapters_jax.downloads import pinned
from adapters_jax import errors

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class _Files:
  """A download manager that returns local files.

  Attributes:
    paths: Path or paths, in the form that the builder's own download has.
  """
  paths: object

  def download(self, _):
    return self.paths

  # The builder calls `download` for MRPC, this for all other tasks.
  download_and_extract = download


class LocalGlue(  # type: ignore[call-arg]  # TFDS has no types.
    glue.Glue, skip_registration=True):
  """The `glue` builder on a raw folder, without the splits that lack files."""
  name = 'glue'  # Part of the path: `tfds.builder('glue/...')` finds the data.

  def __init__(self, *, files: object, **kwargs):
    super().__init__(**kwargs)
    self._files = _Files(files)

  def _split_generators(self, dl_manager):
    del dl_manager
    return [generator for generator in self.all_split_generators()
            if _rows(_source(generator))]

  def all_split_generators(self):
    """Returns the generators of all splits, including those without files."""
    return super()._split_generators(self._files)


def _source(generator) -> str:
  """Returns the path of the file that a split is read from."""
  kwargs = generator.gen_kwargs
  # MRPC's dev set is a part of the training file.
  if kwargs['mrpc_files']:
    return kwargs['mrpc_files'][
        'test' if kwargs['split'] == 'test' else 'train']
  return kwargs['data_file']


def _rows(path: str, header: bool = True) -> int:
  """Counts the rows of a file.

  Args:
    path: Path of the file, which may be absent: that counts as 0.
    header: Whether the first line is not a row.
  """
  if not os.path.exists(path):
    return 0
  with open(path, 'rb') as file:
    # TFDS ends a row at a carriage return too.
    return sum(bool(part.strip()) for line in rows_lib.lines_of(file, path)
               for part in line.split('\r')) - header


def _check_counts(
    builder: LocalGlue, config: str, say: Callable[[str], None]
) -> None:
  """Reports written and dropped rows of every split, or that it is absent.

  Args:
    builder: Builder that has written its dataset.
    config: Key of glue_layouts.FOLDERS.
    say: Receives the lines of the report.
  """
  for generator in builder.all_split_generators():
    name, path = str(generator.name), _source(generator)
    if name not in builder.info.splits:
      say(f'{config}: no {name} split, {os.path.basename(path)} is absent or '
          'empty')
      continue
    # CoLA's files have no header, but for the test split.
    headless = config == 'cola' and generator.gen_kwargs['split'] != 'test'
    found, kept = _rows(path, not headless), builder.info.splits[
        name].num_examples
    if config == 'mrpc' and name != 'test':
      found = kept  # Train and validation share a file.
    dropped = f', {found - kept} incomplete rows dropped' * (found > kept)
    say(f'{config}: {name} {kept:,}{dropped}')


def prepare_task(
    config: str, raw: str, data_dir: str, say: Callable[[str], None] = _log.info
) -> bool:
  """Writes one GLUE task from its raw files.

  Args:
    config: Key of glue_layouts.FOLDERS.
    raw: Folder of the raw folders.
    data_dir: Folder of TFDS datasets to write to.
    say: Receives lines about written and absent splits; logs them by default.

  Returns:
    Whether the dataset exists now; False if all raw files are absent.

  Raises:
    errors.UserError: a file is not in GLUE's layout.
  """
  folder = os.path.join(raw, glue_layouts.FOLDERS[config])
  if not os.path.isdir(folder):
    say(f'{config}: skipped, there is no folder {folder}')
    return False
  with tempfile.TemporaryDirectory() as scratch, pinned.locked(
      os.path.join(data_dir, f'glue-{config}')):
    files, notes = glue_layouts.files_of(config, raw, scratch)
    builder = LocalGlue(files=files, config=config, data_dir=data_dir,
                        file_format='array_record')
    if os.path.exists(os.path.join(builder.data_dir, 'dataset_info.json')):
      say(f'{config}: is in {builder.data_dir} already')
      return True
    if not any(_rows(_source(g)) for g in builder.all_split_generators()):
      say(f'{config}: skipped, {folder} has none of its files')
      return False
    try:
      builder.download_and_prepare(file_format='array_record')
    except (
        KeyError, IndexError, TypeError, ValueError, csv.Error) as error:
      raise errors.UserError(
          f'{folder}: not in GLUE\'s layout ({errors.first_line(error)})'
      ) from error
    _check_counts(builder, config, say)
    for note in notes:
      say(f'{config}: {note}')
    if notes:
      atomic.write_json(
          os.path.join(builder.data_dir, prepared.NOTES), notes)
  return True


def prepare_all(
    raw: str, data_dir: str, say: Callable[[str], None] = _log.info
) -> list[str]:
  """Writes all GLUE tasks that have a raw folder.

  Args:
    raw: Folder of the raw folders.
    data_dir: Folder of TFDS datasets to write to.
    say: Receives the lines of the report, as for `prepare_task`.

  Returns:
    Names of the tasks whose datasets exist now.

  Raises:
    errors.UserError: no task has raw files, or a file is not in GLUE's layout.
  """
  if not os.path.isdir(raw):
    raise errors.UserError(f'`raw`: {raw} is not a folder')
  tfds.disable_progress_bar()
  folders = glue_layouts.FOLDERS
  done = [name for name in folders if prepare_task(name, raw, data_dir, say)]
  if not done:
    raise errors.UserError(
        f'`raw`: {raw} has none of the folders {", ".join(folders.values())}')
  return done
