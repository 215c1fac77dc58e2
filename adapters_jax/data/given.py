"""Advice on data that callers give in another form than Examples."""

from collections.abc import Collection, Mapping
import os
import typing
from typing import Any

from adapters_jax import errors
from adapters_jax.data import memory
from adapters_jax.data import rows
from adapters_jax.data import tasks

_FILES = (*rows.FORMATS, '.arrow', '.conll', '.conllu', '.gz', '.json', '.npz',
          '.txt', '.xlsx', '.zip')
_PATHS = 'hf://', '/', './', '../', '~'  # Beginnings of paths.
# Columns of datasets with labelled texts.
_TEXTS = (('text',), ('texts',), ('sentence',), ('sentences',), ('content',),
          ('review',), ('sentence1', 'sentence2'), ('premise', 'hypothesis'),
          ('question1', 'question2'), ('question', 'sentence'))
_LABELS = 'label', 'labels', 'target', 'class'


def check(name: str, value: Any, kinds: Any, wanted: str) -> None:
  """Checks the type of data that a caller gives.

  Args:
    name: Name of the argument.
    value: Its value.
    kinds: Union of types that it may have.
    wanted: Description of the allowed values, to follow the word 'give'.

  Raises:
    errors.UserError: a value of another type, or the path of a file; if
      Examples are allowed, shows how to make them.
  """
  if is_file(value):
    raise errors.UserError(
        f'`{name}={os.fspath(value)!r}`: files are for `train_file` of the '
        f'command `adapters-jax train`; in Python give {wanted}')
  if not isinstance(value, kinds):
    example = _example(name, value) if memory.Examples in (
        typing.get_args(kinds)) else ''
    raise errors.UserError(
        f'`{name}`: give {wanted}, not {type(value).__name__}{example}')


def is_file(value: Any) -> bool:
  """Returns whether a value names a file in place of a task.

  Args:
    value: Value of any type.
  """
  if not isinstance(value, str):
    return isinstance(value, os.PathLike)
  # A name of a task remains one where a file has it, too. Datasets of the hub
  # have a slash in their names, as in 'glue/sst2'.
  return value not in tasks.TASKS and (
      value.lower().endswith(_FILES) or value.startswith(_PATHS)
      or '\\' in value or os.path.isfile(value))


def _example(name: str, value: Any) -> str:
  """Returns the end of a message, which makes Examples of data; '' if unknown.

  Args:
    name: Name of the argument.
    value: Rows, or columns as a dict, a DataFrame or a dataset has them.
  """
  if isinstance(value, list | tuple):
    return _of_rows(name, value[0]) if value else ''
  names = _names_of(value)
  if 'train' in names:
    return f'; make Examples of one split, such as {name}[{"train"!r}]'
  texts, label = _columns(names)
  if not texts or not label:
    return ''
  cells = [f'{name}[{text!r}]' for text in texts]
  inputs = cells[0] if len(cells) == 1 else f'[*zip({", ".join(cells)})]'
  return f'; as in Examples(texts={inputs}, labels={name}[{label!r}])'


def _names_of(value: Any) -> Collection[Any]:
  """Returns the names of columns or splits, () for data without them.

  Args:
    value: Columns as a dict, a DataFrame, a dataset or a table has them.
  """
  # Of `datasets`, which may not know them, and of pandas; the `columns` of a
  # table of PyArrow are arrays.
  found = [getattr(value, one, None) for one in ('column_names', 'columns')]
  return next(filter(_are_names, found),
              value if isinstance(value, Mapping) else ())


def _are_names(value: Any) -> bool:
  """Returns whether a value is a collection of strings."""
  return isinstance(value, Collection) and not isinstance(
      value, str | bytes) and all(isinstance(one, str) for one in value)


def _of_rows(name: str, row: Any) -> str:
  """Returns the end of a message on a list of rows; '' for unknown ones.

  Args:
    name: Name of the argument.
    row: The first row.
  """
  if isinstance(row, list | tuple) and len(row) == 2:
    return (f'; as in Examples(texts=[text for text, _ in {name}], '
            f'labels=[label for _, label in {name}])')
  texts, label = _columns(row) if isinstance(row, Mapping) else ((), '')
  if not texts or not label:
    return ''
  cells = ', '.join(f'row[{text!r}]' for text in texts)
  inputs = cells if len(texts) == 1 else f'({cells})'
  return (f'; as in Examples(texts=[{inputs} for row in {name}], '
          f'labels=[row[{label!r}] for row in {name}])')


def _columns(names: Collection[Any]) -> tuple[tuple[str, ...], str]:
  """Returns (columns of the texts, column of the label); () and '' if unknown.

  Args:
    names: Names of columns.
  """
  texts = next((some for some in _TEXTS if all(
      one in names for one in some)), ())
  return texts, next((one for one in _LABELS if one in names), '')
