"""Datasets of TensorFlow Datasets, prepared once and read without TensorFlow.

They are stored as array_record, which TFDS reads as plain Python sequences.
"""

from collections.abc import Iterator
import contextlib
import importlib
import io
import logging
import os
from typing import Any

from adapters_jax.downloads import paths
from adapters_jax import errors
from adapters_jax.downloads import pinned

# JSON list of remarks in the folder of a dataset from raw files.
NOTES = 'adapters_jax_notes.json'

# {builder: module that registers it when it is imported}
_BUILDERS = {
    'glue': 'tensorflow_datasets.text.glue',
    'squad': 'tensorflow_datasets',
    'vader_sentiment': 'adapters_jax.data.vader',
}
# {builder: way to have its data without a network}, for the end of a message.
_OTHERWISE = {
    'glue': 'make it from raw files with `python -m scripts.prepare_glue '
            '--raw=DIR --data_dir=DIR` in a clone, and pass that `data_dir`',
    'squad': 'give questions of your own'}


def default_data_dir() -> str:
  """Returns the folder of TFDS datasets where `data_dir` is not set."""
  return os.path.join(pinned.cache_dir(), 'tfds')


def _folder(data_dir: str) -> str:
  """Returns the folder of a value of `data_dir`, the default one for ''."""
  return paths.expanded(data_dir, 'data_dir') or default_data_dir()


class _Unreachable(OSError):
  """A file that a dataset is made of, and that cannot be downloaded."""


@contextlib.contextmanager
def _probed_downloads() -> Iterator[None]:
  """Ends downloads of TFDS in the context that get no answer.

  TFDS itself retries for minutes, and waits for each connection without limit.

  Raises:
    _Unreachable: a URL that cannot be reached.
  """
  from tensorflow_datasets.core.download import downloader
  # Private, so another version may lack it; TFDS has no setting for this.
  open_url = getattr(downloader, '_open_url', None)

  def probed(url, **keywords):
    if url.startswith('http') and pinned.status(url) != 200:
      raise _Unreachable(f'{url} cannot be reached')
    return open_url(url, **keywords)

  if open_url:
    downloader._open_url = probed
  try:
    yield
  finally:
    if open_url:
      downloader._open_url = open_url


def dataset(source: str, data_dir: str = '') -> Any:
  """Prepares a dataset unless it exists.

  Args:
    source: 'builder' or 'builder/config'.
    data_dir: Folder of TFDS datasets; the cache folder when empty.

  Returns:
    TFDS builder of the prepared dataset.

  Raises:
    errors.UserError: the data cannot be downloaded, or is stored in another
      format; names the way out.
  """
  data_dir = _folder(data_dir)
  _import_builder(source)
  builder = _builder(source, data_dir)
  if _is_prepared(builder):  # No lock, as the folder may be read-only.
    return builder
  # Lock, as runs that start together would write the same folder.
  with pinned.locked(os.path.join(data_dir, source.replace('/', '-'))):
    # A builder reads the splits when it is constructed; the one from before the
    # lock would miss those that another process has prepared since.
    builder = _builder(source, data_dir)
    if _is_prepared(builder):
      return builder
    _prepare(builder, source, data_dir)
  return builder


def _prepare(builder: Any, source: str, data_dir: str) -> None:
  """Downloads and writes a dataset.

  Args:
    builder: TFDS builder of the dataset.
    source: 'builder' or 'builder/config'.
    data_dir: Folder of TFDS datasets.

  Raises:
    errors.UserError: the data cannot be downloaded.
  """
  import tensorflow_datasets as tfds
  try:
    with contextlib.redirect_stdout(io.StringIO()), _probed_downloads():
      builder.download_and_prepare(
          file_format='array_record',
          # Google's copies are in another format.
          download_config=tfds.download.DownloadConfig(try_download_gcs=False))
  except errors.UserError:  # Of `pinned.fetch`, which names the way out.
    raise
  except Exception as error:  # TFDS raises errors of many types.
    theirs = any('tensorflow_datasets' in type(one).__module__
                 for one in (error, builder))
    if not theirs and not isinstance(error, OSError):
      raise  # A fault in the code of a builder of ours needs its traceback.
    reason = (str(error) if isinstance(error, _Unreachable) else
              f'preparing it failed: {errors.first_line(error)[:200]}')
    raise _absent(source, data_dir, reason) from error


def is_pinned(source: str) -> bool:
  """Returns whether the texts of a dataset are pinned by their hash.

  Args:
    source: 'builder' or 'builder/config'.
  """
  return source.split('/')[0] == 'vader_sentiment'


def is_prepared(source: str, data_dir: str = '') -> bool:
  """Returns whether a dataset is on this machine, without preparing it.

  Args:
    source: 'builder' or 'builder/config'.
    data_dir: Folder of TFDS datasets; the cache folder when empty.

  Raises:
    errors.UserError: it is damaged, or stored in another format.
  """
  data_dir = _folder(data_dir)
  if not os.path.isdir(os.path.join(data_dir, source)):
    return False
  _import_builder(source)
  return _is_prepared(_builder(source, data_dir))


def _import_builder(source: str) -> None:
  """Imports TFDS, which is slow, and the module that registers a builder.

  Args:
    source: 'builder' or 'builder/config'.

  Raises:
    errors.UserError: a builder that _BUILDERS or its module lacks, or a config
      that the builder lacks.
  """
  logging.getLogger('absl').setLevel(logging.ERROR)  # TFDS logs at length.
  import tensorflow_datasets as tfds
  tfds.disable_progress_bar()
  name, _, config = source.partition('/')
  if name not in _BUILDERS:
    raise errors.UserError(
        f'`source={source}`: the module of its builder is not known; name it '
        'in _BUILDERS of adapters_jax.data.prepared, which has '
        f'{", ".join(_BUILDERS)}')
  importlib.import_module(_BUILDERS[name])
  try:
    known = tfds.builder_cls(name).builder_configs
  except tfds.core.DatasetNotFoundError as error:
    raise errors.UserError(
        f'`source={source}`: {_BUILDERS[name]} has no builder {name}; TFDS '
        'names builders after their class, as my_set after MySet') from error
  if config and not known:
    raise errors.UserError(
        f'`source={source}`: {name} has no configs; give `source={name}`')
  if config and config not in known:
    raise errors.unknown(f'`source={source}`', config, known)


def _builder(source: str, data_dir: str) -> Any:
  """Makes the TFDS builder; arguments and errors as for `dataset`."""
  import tensorflow_datasets as tfds
  try:
    return tfds.builder(source, data_dir=data_dir, file_format='array_record')
  except Exception as error:  # A ParseError of protobuf, for one.
    # A fault in the builder's code is raised without any data too.
    tfds.builder(source, data_dir=os.path.join(data_dir, 'none'))
    if 'file format' in str(error).lower():
      raise errors.UserError(
          f'`data_dir`: {source} in {data_dir} is not stored as array_record, '
          'which is read without TensorFlow; give another folder') from error
    raise _damaged(os.path.join(data_dir, source), error) from error


def _is_prepared(builder: Any) -> bool:
  """Returns whether a builder has read a complete dataset."""
  return bool(builder.info.splits) and os.path.exists(
      os.path.join(builder.data_dir, 'dataset_info.json'))


def _damaged(folder: str, error: Exception) -> errors.UserError:
  """Returns the error for a prepared dataset that cannot be read.

  Args:
    folder: Folder of the dataset.
    error: Error of TFDS.
  """
  reason = ' '.join(str(error).split()).rstrip('.')[-120:]
  return errors.UserError(
      f'`data_dir`: the dataset in {folder} is damaged or from other code '
      f'({reason}); delete the folder and prepare it again')


def read_split(builder: Any, split: str) -> list[dict[str, Any]]:
  """Returns the rows of a split of a prepared dataset.

  Args:
    builder: TFDS builder, from `dataset`.
    split: Name of the split in TFDS.

  Raises:
    errors.UserError: the files of the dataset are damaged.
  """
  try:
    source = builder.as_data_source(split)
    rows = [source[i] for i in range(len(source))]
    # TFDS reads a feature that the files lack as None.
    absent = [name for row in rows[:1] for name in row
              if all(row[name] is None for row in rows)]
    if absent:
      raise ValueError(f'without {", ".join(absent)}')
    return rows
  except Exception as error:  # array_record raises RuntimeError and others.
    raise _damaged(str(builder.data_dir), error) from error


def _absent(source: str, data_dir: str, reason: str) -> errors.UserError:
  """Returns the error for a dataset that cannot be prepared.

  Args:
    source: 'builder' or 'builder/config'.
    data_dir: Folder of TFDS datasets.
    reason: Why not, as a clause.
  """
  other = _OTHERWISE.get(
      source.split('/')[0], 'give a `data_dir` that has it')
  return errors.UserError(
      f'{source} is not in {data_dir} and {reason}; run once with a network, '
      f'or {other}')
