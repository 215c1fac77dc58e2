"""Tuned layer norms beside AdapterHub's files, which hold none.

The file is an extension, with this package's paths as names.
"""

import os

import numpy as np

from adapters_jax import trees
from adapters_jax.adapters.formats import weights

NAME = 'layer_norms.safetensors'


def read(folder: str) -> trees.Tree:
  """Returns the partial tree of the norms, {} where the folder has none."""
  if not os.path.isfile(os.path.join(folder, NAME)):
    return {}
  return trees.unflatten(weights.read(folder, NAME))


def write(folder: str, tuned: trees.Tree) -> list[str]:
  """Writes the norms of a tree, or removes those of an earlier export.

  Args:
    folder: Existing folder.
    tuned: Tuned tree, with or without norms.

  Returns:
    Notes for the user.
  """
  norms, _ = trees.split(tuned, lambda path: trees.role(path) == 'norm')
  if not norms:
    weights.remove(folder, NAME)
    return []
  weights.write(os.path.join(folder, NAME), {
      path: np.asarray(leaf, np.float32)
      for path, leaf in trees.flatten(norms).items()})
  return [f'tuned layer norms are in {NAME}, which `adapters` does not load; '
          'train with `tune_norms=false` for equal outputs there']
