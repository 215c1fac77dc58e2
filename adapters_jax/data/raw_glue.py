"""GLUE's TFDS datasets from raw files, for machines without a network.

TFDS' own `glue` builder does the work: it is handed the raw folder in place of
its downloads, so that what it writes is what it would have written, and any
TFDS reader reads it. Two tasks come in other layouts too and are brought into
the one the builder knows: MRPC as Microsoft's two files, STS-B as the task's
own sts-*.csv.
"""

from collections.abc import Callable
import csv
import dataclasses
import hashlib
import os
import tempfile

import tensorflow_datasets as tfds
from tensorflow_datasets.text import glue

from adapters_jax.data import tasks
from adapters_jax.downloads import atomic
from adapters_jax.downloads import pinned
from adapters_jax import errors

# The raw folder of each builder config, named as in GLUE's own archive.
FOLDERS = {
    'cola': 'CoLA', 'sst2': 'SST-2', 'mrpc': 'MRPC', 'qqp': 'QQP',
    'stsb': 'STS-B', 'mnli': 'MNLI', 'qnli': 'QNLI', 'rte': 'RTE',
    'wnli': 'WNLI'}

_MRPC_TRAIN = 'msr_paraphrase_train.txt'
_MRPC_TEST = 'msr_paraphrase_test.txt'
_MRPC_IDS = ('dev_ids.tsv', 'mrpc_dev_ids.tsv')
_MRPC_DEV_PAIRS = 408  # As many as GLUE's.


@dataclasses.dataclass(frozen=True)
class _Files:
  """A download manager that has the files already."""
  paths: object

  def download(self, _):
    return self.paths

  download_and_extract = download


class LocalGlue(glue.Glue, skip_registration=True):
  """The `glue` builder over a raw folder; absent splits are left out."""
  name = 'glue'

  def __init__(self, *, files: object, **kwargs):
    super().__init__(**kwargs)
    self._files = _Files(files)

  def _split_generators(self, dl_manager):
    del dl_manager
    return [generator for generator in self.all_split_generators()
            if _rows(_source(generator))]

  def all_split_generators(self):
    """Returns the generators of the task's splits, absent ones too."""
    return super()._split_generators(self._files)


def _source(generator) -> str:
  """Returns the file that a split is read from."""
  kwargs = generator.gen_kwargs
  if kwargs['mrpc_files']:
    return kwargs['mrpc_files'][
        'test' if kwargs['split'] == 'test' else 'train']
  return kwargs['data_file']


def _rows(path: str, header: bool = True) -> int:
  """Returns the rows of a file, 0 if there is none."""
  if not os.path.exists(path):
    return 0
  with open(path, encoding='utf-8') as file:
    return sum(1 for line in file if line.strip()) - header


def _read(path: str) -> list[list[str]]:
  """Returns the cells of a tab-separated file, which has no quoting."""
  try:
    with open(path, encoding='utf-8-sig') as file:
      return list(csv.reader(file, delimiter='\t', quoting=csv.QUOTE_NONE))
  except (OSError, UnicodeDecodeError, csv.Error) as error:
    raise errors.UserError(f'{path}: cannot be read ({error})') from error


def _write(path: str, rows: list[list[str]], encoding: str = 'utf-8') -> None:
  with open(path, 'w', encoding=encoding, newline='\n') as file:
    for row in rows:
      file.write('\t'.join(row) + '\n')


def hash_split(ids: list[tuple[str, str]]) -> set[tuple[str, str]]:
  """Returns the pairs of ids that are for validation: those of lowest hash.

  It stands in for GLUE's own list where that is not at hand: as many pairs (a
  fifth where there are few), whatever their order in the file.
  """
  pairs = max(1, min(_MRPC_DEV_PAIRS, len(ids) // 5))
  return set(sorted(ids, key=lambda pair: hashlib.sha256(
      '\t'.join(pair).encode()).digest())[:pairs])


def _mrpc(folder: str, scratch: str) -> tuple[dict[str, str], list[str]]:
  """Returns (the builder's three files, notes) of a raw MRPC folder."""
  notes = []
  files = {name: os.path.join(scratch, f'{name}.txt')
           for name in ('train', 'dev_ids')}
  files['test'] = os.path.join(folder, _MRPC_TEST)
  train = os.path.join(folder, _MRPC_TRAIN)
  if not os.path.exists(train):
    return files, notes
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
  """Returns (a folder with STS-B's TSV files, notes) of a raw folder."""
  notes = []
  for split in ('train', 'dev', 'test'):
    own = os.path.join(folder, f'sts-{split}.csv')
    target = os.path.join(scratch, f'{split}.tsv')
    if os.path.exists(os.path.join(folder, f'{split}.tsv')):
      os.symlink(os.path.abspath(
          os.path.join(folder, f'{split}.tsv')), target)
    elif os.path.exists(own):
      # Columns: genre, file, year, id, score, two sentences, and perhaps more.
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
  """Returns (what the builder's download would give, notes)."""
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
  """Says of every split how many rows it has, or that it is absent."""
  for generator in builder.all_split_generators():
    name, path = str(generator.name), _source(generator)
    if name not in builder.info.splits:
      say(f'{config}: no {name} split, {os.path.basename(path)} is absent or '
          'empty')
      continue
    headless = config == 'cola' and generator.gen_kwargs['split'] != 'test'
    there, kept = _rows(path, not headless), builder.info.splits[
        name].num_examples
    if config == 'mrpc' and name != 'test':
      there = kept  # Train and validation share a file.
    dropped = f', {there - kept} incomplete rows dropped' * (there > kept)
    say(f'{config}: {name} {kept:,}{dropped}')


def prepare(
    config: str, raw: str, data_dir: str, say: Callable[[str], None] = print
) -> bool:
  """Writes one GLUE task from raw files; returns whether there were any.

  Args:
    config: Of FOLDERS.
    raw: The folder of the raw folders.
    data_dir: Where TFDS keeps its files.
    say: Told what was written and what was absent.

  Raises:
    options.UserError: a file is not in GLUE's layout.
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
    except (KeyError, IndexError, TypeError, ValueError) as error:
      raise errors.UserError(
          f'{os.path.join(raw, FOLDERS[config])}: not in GLUE\'s layout '
          f'({type(error).__name__}: {str(error).splitlines()[0]})') from error
    _check_counts(builder, config, say)
    for note in notes:
      say(f'{config}: {note}')
    if notes:
      atomic.write_json(
          os.path.join(builder.data_dir, tasks.NOTES), notes)
  return True


def prepare_all(
    raw: str, data_dir: str, say: Callable[[str], None] = print
) -> list[str]:
  """Writes every task whose raw folder is there; returns their names.

  Raises:
    options.UserError: there is none, or a file is not in GLUE's layout.
  """
  if not os.path.isdir(raw):
    raise errors.UserError(f'--raw: {raw} is not a folder')
  tfds.disable_progress_bar()
  done = [name for name in FOLDERS if prepare(name, raw, data_dir, say)]
  if not done:
    raise errors.UserError(
        f'--raw: {raw} has none of the folders {", ".join(FOLDERS.values())}')
  return done
