"""The user's own files as tasks. No JAX here."""

from collections.abc import Hashable, Iterator
import contextlib
import logging
import os

from adapters_jax.data import choices
from adapters_jax.data import files
from adapters_jax.data import label_sets
from adapters_jax.data import tasks
from adapters_jax.runs import config as config_lib

Data = tuple[tasks.Task, dict[str, tasks.Split]]

_LARGEST = 50 * 2**20  # Bytes that take about a second to read.
# {files and columns: (data, messages of the reading)} of `read_ahead`, if any.
_ahead: dict[Hashable, tuple[Data, list[logging.LogRecord]]] = {}


def read_ahead(config: config_lib.Config) -> None:
  """Reads small files for a later `read`, so that their faults show at once.

  It runs before JAX is imported, which takes longer. `read` logs the messages.

  Args:
    config: Settings; without own files nothing is read.

  Raises:
    errors.UserError: a fault of a file.
  """
  _ahead.clear()
  if not config.files or config.file_task in ('pairs', 'text') or sum(
      map(os.path.getsize, config.files.values())) > _LARGEST:
    return
  with _kept_messages() as messages:
    _ahead[_key(config)] = _read(config), messages


@contextlib.contextmanager
def _kept_messages() -> Iterator[list[logging.LogRecord]]:
  """Collects the messages of the package instead of handling them."""
  messages: list[logging.LogRecord] = []
  handler = logging.Handler()
  handler.emit = messages.append  # type: ignore[method-assign]
  logger = logging.getLogger('adapters_jax')
  handlers, level, propagate = logger.handlers, logger.level, logger.propagate
  logger.handlers, logger.propagate = [handler], False
  logger.setLevel(logging.INFO)
  try:
    yield messages
  finally:
    logger.handlers, logger.propagate = handlers, propagate
    logger.setLevel(level)


def _key(config: config_lib.Config) -> Hashable:
  """Returns everything that the result of `_read` depends on."""
  files = []
  for split, path in config.files.items():
    found = os.stat(path)
    files.append((split, path, found.st_size, found.st_mtime_ns))
  return (*files, *(getattr(config, name) for name in (
      'file_task', 'columns', 'label_columns', 'label_separator', 'choices',
      'label_column', 'dev_fraction', 'test_fraction')))


def read(config: config_lib.Config) -> Data:
  """Returns (task, splits) of the user's own files."""
  try:
    found, messages = _ahead.pop(_key(config))
  except (KeyError, OSError):  # `_read` reports an absent file with a remedy.
    return _read(config)
  for message in messages:
    logging.getLogger(message.name).handle(message)
  return found


def _read(config: config_lib.Config) -> Data:
  """Reads the files."""
  if config.file_task == 'multilabel':
    return label_sets.load(
        config.files, config.columns, config.label_columns,
        config.label_separator, config.dev_fraction, config.test_fraction)
  if config.file_task == 'multiple_choice':
    columns = config.choices
    # The default of `label_column` leaves the column to a known layout.
    own_answer = columns or config.label_column != type(config).label_column
    return choices.load(
        config.files, config.columns if columns else (), columns,
        config.label_column if own_answer else '', config.dev_fraction,
        config.test_fraction)
  return files.load(
      config.files, config.columns, config.label_column,
      config.file_task == 'regression', config.dev_fraction,
      config.test_fraction)
