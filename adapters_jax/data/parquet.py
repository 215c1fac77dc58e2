"""Rows of Parquet files, with the class names of Hugging Face's datasets."""

from collections.abc import Callable, Iterator, Mapping
import contextlib
import json
from typing import Any, IO

from adapters_jax import errors

# Key of the schema's metadata under which `datasets` describes the columns.
_FEATURES = b'huggingface'
_KEPT = (str, bool, int, float, bytes, type(None))


def rows_of(
    file: IO[bytes], path: str
) -> Iterator[tuple[int, Mapping[str, object]]]:
  """Yields (number of the row, from 1, {column: value}).

  Class numbers become class names if the file has them.

  Args:
    file: Seekable file open for reading bytes.
    path: Path of the file, for messages.

  Raises:
    errors.UserError: no Parquet, or a number without a name.
  """
  import pyarrow  # Takes half a second.
  from pyarrow import parquet
  number = 0
  try:
    table = parquet.ParquetFile(file)
    named = _names_of((table.schema_arrow.metadata or {}).get(_FEATURES))
    for batch in table.iter_batches():
      for row in batch.to_pylist():
        number += 1
        yield number, {
            name: _plain(value, named.get(name, _same), path, number)
            for name, value in row.items()}
  except pyarrow.ArrowException as error:
    raise errors.UserError(
        f'{path}: no Parquet file, or a damaged one '
        f'({errors.first_line(error)})') from error


def _same(value: Any) -> Any:
  return value


def _names_of(text: bytes | None) -> dict[str, Callable[[Any], Any]]:
  """Returns {column: number -> name} of the columns of classes.

  Args:
    text: JSON of `datasets`, None without.
  """
  try:
    features = json.loads(text or b'{}')['info']['features']
  except (ValueError, KeyError, TypeError):  # Of another program.
    return {}
  found: dict[str, Callable[[Any], Any]] = {}
  for column, feature in features.items():
    # Lists; older versions of `datasets` write [feature].
    while (isinstance(feature, dict) and 'feature' in feature
           or isinstance(feature, list) and len(feature) == 1):
      feature = feature['feature'] if isinstance(feature, dict) else feature[0]
    if isinstance(feature, dict) and isinstance(feature.get('names'), list):
      found[column] = _name_by_number(feature['names'])
  return found


def _name_by_number(names: list[str]) -> Callable[[Any], Any]:
  """Returns a function from a class number to its name; -1 stays as it is."""
  def name(number):
    if not isinstance(number, int) or number == -1:
      return number
    if not 0 <= number < len(names):
      raise ValueError(f'class {number} of {len(names)}')
    return names[number]

  return name


def _plain(
    value: Any, name: Callable[[Any], Any], path: str, row: int
) -> Any:
  """Returns a cell as JSON has it, with names of classes.

  Args:
    value: Cell.
    name: Number of a class -> its name.
    path: Path of the file, for messages.
    row: Number of the row, for messages.
  """
  if isinstance(value, list):
    return [_plain(one, name, path, row) for one in value]
  if isinstance(value, dict):
    return {key: _plain(one, name, path, row) for key, one in value.items()}
  if isinstance(value, bytes):  # Spark does not mark columns as text.
    with contextlib.suppress(UnicodeDecodeError):
      return value.decode()
  try:
    return name(value) if isinstance(value, _KEPT) else str(value)
  except ValueError as error:
    raise errors.UserError(f'{path}, line {row}: {error}') from error
