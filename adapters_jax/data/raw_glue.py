"""GLUE's TFDS datasets from raw files, for machines without a network.

The `glue` builder of TFDS itself writes the datasets, with the raw folder in
place of its downloads, so any reader of TFDS can use them. Two tasks exist in
other layouts too and are converted first: MRPC as Microsoft's two files, STS-B
as the benchmark's sts-*.csv.
"""

from collections.abc import Callable
import csv
import dataclasses
import hashlib
import logging
import os
import tempfile

import tensorflow_datasets as tfds
from tensorflow_datasets.text import glue

from adapters_jax.data import prepared
from adapters_jax.data import rows as rows_lib
from adapters_jax.downloads import atomic
from adapters_jax.downloads import pinned
from adapters_jax import errors

_log = logging.getLogger(__name__)

# {config of the builder: raw folder}, named as in GLUE's own archive.
FOLDERS = {
    'cola': 'CoLA', 'sst2': 'SST-2', 'mrpc': 'MRPC', 'qqp': 'QQP',
    'stsb': 'STS-B', 'mnli': 'MNLI', 'qnli': 'QNLI', 'rte': 'RTE',
    'wnli': 'WNLI'}

_MRPC_TRAIN = 'msr_paraphrase_train.txt'
_MRPC_TEST = 'msr_paraphrase_test.txt'
_MRPC_IDS = ('dev_ids.tsv', 'mrpc_dev_ids.tsv')
_MRPC_DEV_PAIRS = 408  # Size of GLUE's dev set.


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


def _read(path: str) -> list[list[str]]:
  """Returns the rows of a tab-separated file without quoting, as cells."""
  try:
    with open(path, 'rb') as file:
      return [line.rstrip('\r\n').split('\t')
              for line in rows_lib.lines_of(file, path) if line.strip()]
  except OSError as error:
    raise errors.UserError(f'{path}: cannot be read ({error})') from error


def _write(path: str, rows: list[list[str]], encoding: str = 'utf-8') -> None:
  """Writes rows of cells, separated by tabs."""
  with open(path, 'w', encoding=encoding, newline='\n') as file:
    for row in rows:
      file.write('\t'.join(row) + '\n')


def hash_split(ids: list[tuple[str, str]]) -> set[tuple[str, str]]:
  """Selects a dev set of MRPC where GLUE's own list of ids is missing.

  Args:
    ids: (id, id) of all training pairs, in any order.

  Returns:
    The pairs with the lowest hashes: as many as GLUE's dev set has, but at most
    a fifth.
  """
  pairs = max(1, min(_MRPC_DEV_PAIRS, len(ids) // 5))
  return set(sorted(ids, key=lambda pair: hashlib.sha256(
      '\t'.join(pair).encode()).digest())[:pairs])


def _mrpc(folder: str, scratch: str) -> tuple[dict[str, str], list[str]]:
  """Converts a raw MRPC folder.

  Args:
    folder: Folder with Microsoft's two files, perhaps with GLUE's dev ids.
    scratch: Folder to write converted files to.

  Returns:
    ({file of the builder: path}, remarks for the user)

  Raises:
    errors.UserError: a file is not in its publisher's layout.
  """
  notes = []
  files = {name: os.path.join(scratch, f'{name}.txt')
           for name in ('train', 'dev_ids')}
  files['test'] = os.path.join(folder, _MRPC_TEST)
  train = os.path.join(folder, _MRPC_TRAIN)
  if not os.path.exists(train):
    return files, notes  # Splits whose file is absent are left out.
  rows = _read(train)
  if rows[0][:3] != ['Quality', '#1 ID', '#2 ID'] or len(rows) < 3:
    raise errors.UserError(
        f'{train}: not the Microsoft file, which begins with Quality, #1 ID, '
        '#2 ID')
  _write(files['train'], rows, 'utf-8-sig')  # The builder skips three bytes.
  ids = [(row[1], row[2]) for row in rows[1:]]
  lists = [os.path.join(folder, name) for name in _MRPC_IDS]
  given = next((path for path in lists if os.path.exists(path)), None)
  if given:
    dev = {tuple(row[:2]) for row in _read(given)} & set(ids)
    if not 0 < len(dev) < len(set(ids)):
      raise errors.UserError(
          f'{given}: {len(dev)} of the {len(ids)} pairs of {_MRPC_TRAIN} are '
          'in it; some must be, and not all')
  else:
    dev = hash_split(ids)
    notes.append(
        f'dev is {len(dev)} training pairs by a hash of their ids: the raw '
        f'data had no {_MRPC_IDS[0]}, so it is not GLUE\'s dev set')
  _write(files['dev_ids'], [list(pair) for pair in sorted(dev)])
  return files, notes


def _stsb(folder: str, scratch: str) -> tuple[str, list[str]]:
  """Converts a raw STS-B folder.

  Args:
    folder: Folder with GLUE's TSV files or the benchmark's CSV files.
    scratch: Folder to link or write the TSV files to.

  Returns:
    (scratch, remarks for the user)

  Raises:
    errors.UserError: a file is not in the benchmark's layout.
  """
  notes = []
  for split in ('train', 'dev', 'test'):
    own = os.path.join(folder, f'sts-{split}.csv')
    target = os.path.join(scratch, f'{split}.tsv')
    if os.path.exists(os.path.join(folder, f'{split}.tsv')):
      # Absolute, as the target of a link is relative to the link's folder.
      os.symlink(os.path.abspath(
          os.path.join(folder, f'{split}.tsv')), target)
    elif os.path.exists(own):
      # Columns: genre, file, year, id, score, two sentences; in some rows the
      # sources of the sentences too.
      rows = _read(own)
      if any(len(row) < 7 for row in rows):
        raise errors.UserError(
            f'{own}: a row has fewer than the 7 columns of the benchmark')
      _write(target, [['index', 'sentence1', 'sentence2', 'score']] + [
          [str(n), row[5], row[6], row[4]] for n, row in enumerate(rows)])
      if split == 'test':
        notes.append(f'{os.path.basename(own)} gives the test scores, which '
                     'GLUE withholds')
  return scratch, notes


def _files_of(
    config: str, raw: str, scratch: str
) -> tuple[object, list[str]]:
  """Returns local files in the form of the builder's downloads.

  Args:
    config: Key of FOLDERS.
    raw: Folder of the raw folders.
    scratch: Folder to write converted files to.

  Returns:
    (path or paths, remarks for the user)
  """
  folder = os.path.join(raw, FOLDERS[config])
  if config == 'mrpc':
    return _mrpc(folder, scratch)
  if config == 'stsb':
    os.mkdir(os.path.join(scratch, FOLDERS[config]))
    return scratch, _stsb(folder, os.path.join(scratch, FOLDERS[config]))[1]
  return os.path.abspath(raw), []


def _check_counts(
    builder: LocalGlue, config: str, say: Callable[[str], None]
) -> None:
  """Reports the rows of every split, dropped ones too, or its absence.

  Args:
    builder: Builder that has written its dataset.
    config: Key of FOLDERS.
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
    config: Key of FOLDERS.
    raw: Folder of the raw folders.
    data_dir: Folder of TFDS datasets to write to.
    say: Receives lines about written and absent splits; logs them by default.

  Returns:
    Whether the dataset exists now; False if all raw files are absent.

  Raises:
    errors.UserError: a file is not in GLUE's layout.
  """
  if not os.path.isdir(os.path.join(raw, FOLDERS[config])):
    say(f'{config}: skipped, there is no folder '
        f'{os.path.join(raw, FOLDERS[config])}')
    return False
  with tempfile.TemporaryDirectory() as scratch, pinned.locked(
      os.path.join(data_dir, f'glue-{config}')):
    files, notes = _files_of(config, raw, scratch)
    builder = LocalGlue(files=files, config=config, data_dir=data_dir,
                        file_format='array_record')
    if os.path.exists(os.path.join(builder.data_dir, 'dataset_info.json')):
      say(f'{config}: is in {builder.data_dir} already')
      return True
    if not any(_rows(_source(g)) for g in builder.all_split_generators()):
      say(f'{config}: skipped, {os.path.join(raw, FOLDERS[config])} has none '
          'of its files')
      return False
    try:
      builder.download_and_prepare(file_format='array_record')
    except (
        KeyError, IndexError, TypeError, ValueError, csv.Error) as error:
      raise errors.UserError(
          f'{os.path.join(raw, FOLDERS[config])}: not in GLUE\'s layout '
          f'({type(error).__name__}: {str(error).splitlines()[0]})') from error
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
  done = [name for name in FOLDERS if prepare_task(name, raw, data_dir, say)]
  if not done:
    raise errors.UserError(
        f'`raw`: {raw} has none of the folders {", ".join(FOLDERS.values())}')
  return done
