"""Trains on folders of train, dev and test files, one task each.

  python -m experiments.text_classification --folder=DIR --adapter_size=64

A folder has train.tsv and dev.tsv, and test.tsv if there is one (.csv and
.jsonl will do too), with the columns that `--text_columns` and
`--label_column` name. It gives the task its name. Several folders go with
commas between them.
"""

import dataclasses
import os

from adapters_jax import errors
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import options
from adapters_jax.sweeps import grid
from experiments import flags

_FORMATS = ('.tsv', '.csv', '.jsonl')


@dataclasses.dataclass(frozen=True)
class Folders:
  """Where the data is."""
  folder: str = options.option(
      '', 'Folder with train, dev and test files, or several with commas.')


def in_folder(config: config_lib.Config, folder: str) -> config_lib.Config:
  """Returns the settings with a folder's files, and its name as the task.

  Raises:
    options.UserError: it has no train or dev file, or two of one split.
  """
  found = {}
  for split in ('train', 'dev', 'test'):
    paths = [os.path.join(folder, split + form) for form in _FORMATS]
    paths = [path for path in paths if os.path.isfile(path)]
    if len(paths) > 1 or (not paths and split != 'test'):
      there = ' and '.join(paths) if paths else 'none'
      raise errors.UserError(
          f'--folder: one {split} file ({", ".join(_FORMATS)}) is needed in '
          f'{folder}, there is {there}')
    found[f'{split}_file'] = paths[0] if paths else ''
  name = os.path.basename(os.path.abspath(folder))
  return dataclasses.replace(config, task=name, **found)


def expand_folders(
    config: config_lib.Config, folders: Folders
) -> list[config_lib.Config]:
  """Returns the settings of each folder that `--folder` names."""
  names = [name.strip() for name in folders.folder.split(',') if name.strip()]
  if not names:
    raise errors.UserError('--folder: name a folder with train.tsv, dev.tsv')
  return [in_folder(config, name) for name in names]


def main(
    config: config_lib.Config, many: grid.Options, folders: Folders
) -> None:
  """Makes the runs of every folder."""
  configs = expand_folders(config, folders)
  if flags.launch(configs, 'text_classification', many).failures:
    raise SystemExit(1)


if __name__ == '__main__':
  for flag_class in (config_lib.Config, grid.Options, Folders):
    flags.define(flag_class)
  flags.start(config_lib.Config, main, grid.Options, Folders)
