"""Names of classes and their form in an extra file, as PEFT's files hold none.

It has the entries 'id2label' and 'problem_type', as in a model's config.json of
transformers.
"""

import dataclasses
import logging
import os
from typing import Any

from adapters_jax import errors
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.downloads import atomic
from adapters_jax.downloads import json_files
from adapters_jax.model import heads

NAME = 'labels.json'
NOTE = (f'PEFT does not read the names of the classes, in {NAME}; give them to '
        'the model as id2label')
_SEVERAL = 'multi_label_classification'

_log = logging.getLogger(__name__)


def write(folder: str, adapter: adapter_lib.Adapter) -> None:
  """Writes the names of the classes, and whether a text may have several.

  Without either, there is no file.

  Args:
    folder: Existing folder.
    adapter: Adapter whose head is in the other files, if it has one.
  """
  if adapter.outputs is None or adapter.head.choices:
    return
  values: dict[str, Any] = (
      {'problem_type': _SEVERAL} if adapter.head.multilabel else {})
  if adapter.labels:
    values['id2label'] = {
        str(n): label for n, label in enumerate(adapter.labels)}
  if values:
    atomic.write_json(os.path.join(folder, NAME), values)


def read(folder: str, adapter: adapter_lib.Adapter) -> adapter_lib.Adapter:
  """Returns an adapter with the names and the form of its classes.

  A file of this name that another program wrote is left out, with a warning.

  Args:
    folder: Folder of PEFT.
    adapter: Adapter read from its other files.
  """
  path = os.path.join(folder, NAME)
  if adapter.outputs is None or not os.path.isfile(path):
    return adapter
  try:
    values = json_files.read(path)
    if values.get('problem_type') == _SEVERAL and not adapter.head.layer:
      adapter = dataclasses.replace(adapter, head_input=heads.of_form(
          'multilabel', adapter.head_input).name)
    return dataclasses.replace(adapter, labels=labels_of(values, path, adapter))
  except errors.UserError as error:
    _log.warning('%s; the classes get no names', error)
    return adapter


def labels_of(
    values: dict[str, Any], path: str, adapter: adapter_lib.Adapter
) -> tuple[str, ...]:
  """Returns the names of the classes, () for outputs that are none.

  Args:
    values: JSON of the file.
    path: Path of the file.
    adapter: Adapter with a head.

  Raises:
    errors.UserError: the file does not name every class.
  """
  outputs = adapter.outputs or 0
  nameless = adapter.head.multilabel and 'id2label' not in values
  if nameless or not adapter.head.has_classes(outputs):
    return ()
  named = json_files.inner(values, 'id2label', path)
  if set(named) != {str(n) for n in range(outputs)}:
    raise errors.UserError(f'{path} should name the classes 0 to {outputs - 1}')
  return tuple(json_files.string(named, str(n), path) for n in range(outputs))
