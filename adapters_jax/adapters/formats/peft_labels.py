"""Names of classes in an extra file, as PEFT's files hold none.

It has the entry 'id2label', as in a model's config.json of transformers.
"""

from collections.abc import Sequence
import os

from adapters_jax import errors
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.downloads import atomic
from adapters_jax.downloads import json_files

NAME = 'labels.json'
NOTE = (f'PEFT does not read the names of the classes, in {NAME}; give them to '
        'the model as id2label')


def write(folder: str, labels: Sequence[str]) -> None:
  """Writes names of classes.

  Args:
    folder: Existing folder.
    labels: Names in the order of the head's outputs.
  """
  atomic.write_json(os.path.join(folder, NAME), {
      'id2label': {str(n): label for n, label in enumerate(labels)}})


def read(folder: str, adapter: adapter_lib.Adapter) -> tuple[str, ...]:
  """Returns the names of the classes, () where the folder has none.

  Args:
    folder: Folder of PEFT.
    adapter: Adapter read from its other files.

  Raises:
    errors.UserError: the file is damaged, or does not name every class.
  """
  path, outputs = os.path.join(folder, NAME), adapter.outputs or 0
  if not adapter.head.has_classes(outputs) or not os.path.isfile(path):
    return ()
  named = json_files.inner(json_files.read(path), 'id2label', path)
  if set(named) != {str(n) for n in range(outputs)}:
    raise errors.UserError(f'{path} should name the classes 0 to {outputs - 1}')
  return tuple(json_files.string(named, str(n), path) for n in range(outputs))
