"""Tuned layer norms in an extra file, as AdapterHub's files hold none.

Its names are this package's paths. It records the hash of its adapter, because
`adapters` may later save another one, trained without these norms, into the
same folder, and leaves this file in place.
"""

from collections.abc import Mapping
import hashlib
import logging
import os

import numpy as np

from adapters_jax import trees
from adapters_jax.adapters.formats import weights
from adapters_jax.model import tensor_files

NAME = 'layer_norms.safetensors'
_HASH = 'adapter_sha256'

_log = logging.getLogger(__name__)


def read(folder: str, tensors: Mapping[str, np.ndarray]) -> trees.Tree:
  """Returns the partial tree of the norms, {} where the folder has none.

  Norms of another adapter are left out, with a warning.

  Args:
    folder: Folder of the adapter.
    tensors: {name: tensor} of the adapter.
  """
  path = os.path.join(folder, NAME)
  if not os.path.isfile(path):
    return {}
  found = trees.unflatten(weights.read(folder, NAME))
  # Files of earlier versions have no hash.
  wanted = tensor_files.metadata(path).get(_HASH)
  if wanted is None or wanted == _digest(tensors):
    return found
  _log.warning(
      '%s is not read: the adapter next to it has been saved again, without '
      'these layer norms', path)
  return {}


def write(
    folder: str, tuned: trees.Tree, tensors: Mapping[str, np.ndarray]
) -> list[str]:
  """Writes the norms of a tree, or removes those of an earlier export.

  Args:
    folder: Existing folder.
    tuned: Tuned tree, with or without norms.
    tensors: {name: tensor} of the adapter.

  Returns:
    Notes for the user.
  """
  norms, _ = trees.split(tuned, lambda path: trees.role(path) == 'norm')
  if not norms:
    weights.remove(folder, NAME)
    return []
  weights.write(os.path.join(folder, NAME), {
      path: np.asarray(leaf, np.float32)
      for path, leaf in trees.flatten(norms).items()},
                metadata={_HASH: _digest(tensors)})
  return [f'tuned layer norms are in {NAME}, which `adapters` does not load; '
          'train with `tune_norms=False` for equal outputs there']


def _digest(tensors: Mapping[str, np.ndarray]) -> str:
  """Returns a hash of names and values."""
  found = hashlib.sha256()
  for name in sorted(tensors):
    found.update(f'{name}\0'.encode())
    found.update(np.ascontiguousarray(tensors[name], np.float32).tobytes())
  return found.hexdigest()
