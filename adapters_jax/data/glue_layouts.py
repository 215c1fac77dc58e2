"""Raw folders of GLUE's tasks, in the layouts of their publishers.

Two tasks exist in other layouts than GLUE's and are converted: MRPC as
Microsoft's two files, STS-B as the benchmark's sts-*.csv.
"""

import hashlib
import os

from adapters_jax.data import rows as rows_lib
from adapters_jax import errors

# {config of the builder: raw folder}, named as in GLUE's own archive.
FOLDERS = {
    'cola': 'CoLA', 'sst2': 'SST-2', 'mrpc': 'MRPC', 'qqp': 'QQP',
    'stsb': 'STS-B', 'mnli': 'MNLI', 'qnli': 'QNLI', 'rte': 'RTE',
    'wnli': 'WNLI'}

_MRPC_TRAIN = 'msr_paraphrase_train.txt'
_MRPC_TEST = 'msr_paraphrase_test.txt'
_MRPC_IDS = ('dev_ids.tsv', 'mrpc_dev_ids.tsv')
_MRPC_DEV_PAIRS = 408  # Size of GLUE's dev set.


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


def files_of(
    config: str, raw: str, scratch: str
) -> tuple[object, list[str]]:
  """Returns local files in place of the builder's downloads.

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
