"""Bases that the files of other libraries name."""

from collections.abc import Mapping
import logging
import os
from typing import Any

from adapters_jax import errors
from adapters_jax.adapters.formats import models
from adapters_jax.downloads import assets
from adapters_jax.downloads import json_files
from adapters_jax.model import encoder

_log = logging.getLogger(__name__)


def check(
    values: Mapping[str, Any], shape: encoder.BertConfig, path: str
) -> None:
  """Checks the family and the width of the base in a file of AdapterHub.

  Args:
    values: JSON of the file. An entry may be absent, or null.
    shape: Shape of the given base.
    path: Path of the file.

  Raises:
    errors.UserError: another family or width.
  """
  own = {'model_type': shape.family, 'hidden_size': shape.dim}
  for name, wanted in own.items():
    found = values.get(name)
    if found not in (None, '', wanted):
      raise errors.UserError(
          f'`path`: {path} is of an adapter for a base with {name}={found}, '
          f'and the given base has {name}={wanted}; give another base')


def named(stated: Mapping[str, Any]) -> str:
  """Returns the base that files name, '' if none of them names any.

  Args:
    stated: {path of a file: name of the base in it}.

  Returns:
    The first name that is one on the hub, or of an embedded checkpoint.

  Raises:
    errors.UserError: the files name folders alone.
  """
  found = [name for name in stated.values() if _is_name(name)]
  if found:
    return models.own_name(found[0])
  for path, name in stated.items():
    if name:  # Folders may be of another machine, or of another directory.
      raise errors.UserError(
          f'`checkpoint`: {path} names the base {name}, which is no name on '
          'the hub; give the name or folder of the base')
  return ''


def warn(stated: Mapping[str, Any], checkpoint: str) -> None:
  """Logs that files name another base than the given one, in one message.

  Args:
    stated: {path of a file: name of the base in it}. Absent names, and folders
      of another machine, are ignored.
    checkpoint: Name or folder of the given base, '' if unknown.
  """
  own = _names(checkpoint)
  other = {path: name for path, name in stated.items()
           if _is_name(name) and _last(name) not in own}
  if own and other:
    path, name = next(iter(other.items()))
    _log.warning(
        '%s names %s as the base of the adapter, and the given base is %s; '
        'with other weights its results are wrong', path, name, checkpoint)


def _names(checkpoint: str) -> set[str]:
  """Returns the names that a base is known by, without their owners."""
  if not checkpoint:
    return set()
  if not assets.is_folder(checkpoint):
    return {_last(checkpoint), _last(models.hub_name(checkpoint))}
  # Caches of the hub have a folder models--OWNER--NAME above one of a hash.
  found = {part.lower() for name in os.path.abspath(checkpoint).split(os.sep)
           for part in name.split('--')}
  try:
    values = json_files.read(os.path.join(checkpoint, 'config.json'))
  except errors.UserError:  # In a folder of sentence-transformers.
    values = {}
  return found | {_last(str(values.get('_name_or_path', '')))}


def _last(name: str) -> str:
  """Returns the last component of a name or path."""
  return name.rstrip('/').rpartition('/')[2].lower()


def _is_name(value: Any) -> bool:
  """Returns whether a value is a name on the hub, and no folder."""
  return (isinstance(value, str) and bool(value.strip('/'))
          and value[0] not in './~' and '\\' not in value
          and value.count('/') <= 1 and not os.path.isdir(value))
