"""Names of the files with a checkpoint's weights, and indexes of shards."""

import os

from adapters_jax.downloads import json_files
from adapters_jax import errors

# Files with weights or an index of their shards, the preferred one first.
FILES = ('model.safetensors', 'model.safetensors.index.json',
         'pytorch_model.bin', 'pytorch_model.bin.index.json')


def read_index(path: str) -> dict[str, str]:
  """Returns {name of a tensor: name of its file} of an index.

  Args:
    path: Path of the index, one of FILES in any folder.

  Raises:
    errors.UserError: the index is damaged, or a file is outside of its folder.
  """
  index = json_files.read(path).get('weight_map')
  if not isinstance(index, dict) or not index:
    raise errors.UserError(f'{path} has no weight_map')
  ending = os.path.splitext(path.removesuffix('.index.json'))[1]
  for name in index.values():
    # A path could read any file of the user.
    if not isinstance(name, str) or os.path.basename(name) != name or (
        not name.endswith(ending)):
      raise errors.UserError(
          f'{path}: {name!r} is no name of a {ending} file in its folder')
  return index
