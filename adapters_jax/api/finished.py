"""Finds the adapters of finished runs in a folder."""

import glob
import os

from adapters_jax.adapters import folders
from adapters_jax.downloads import json_files

_MOST = 6  # Adapters to show.


def newest(root: str) -> str:
  """Returns the newest adapter of each task, as text for `folders.parse`.

  Args:
    root: Folder that contains workdirs, up to four levels deep.

  Returns:
    name=DIR,name=DIR of at most 6 adapters that predict, on the base of the
    newest, named after their tasks; '' without any.
  """
  paths = [path for depth in range(1, 5) for path in glob.glob(os.path.join(
      glob.escape(root), *['*'] * depth, 'adapter', folders.WEIGHTS))]
  found: dict[str, str] = {}
  chosen = None
  if paths:
    from adapters_jax.model import heads  # Imports JAX.
  for path in sorted(paths, key=os.path.getmtime, reverse=True):
    folder = os.path.dirname(os.path.dirname(path))
    try:
      saved = json_files.read(
          os.path.join(folder, 'adapter', folders.SETTINGS))
      task, own = saved['task'], saved['adapter']
      base, head = own['base'], heads.HEADS[own['head_input']]
    except Exception:  # pylint: disable=broad-except  Not one of ours.
      continue
    # Embeddings have no parameters of a head, language models no labels.
    predicts = head.dense and not head.pretrained
    if ',' in folder or '=' in folder or not predicts or task in found:
      continue
    chosen = chosen or base
    if base == chosen and len(found) < _MOST:
      found[task] = folder
  return ','.join(f'{name}={folder}' for name, folder in found.items())
