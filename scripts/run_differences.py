"""Differences of finished runs: bytes of adapters, and records."""

from collections.abc import Iterator
import filecmp
import json
import math
import os
import sys

import numpy as np
from safetensors import numpy as safetensors_numpy

ADAPTER = os.path.join('adapter', 'tuned.safetensors')
RECORD = 'record.json'
# Fields of a record that the settings determine, unlike times and versions.
EXACT = ('experiment', 'config', 'metrics', 'history', 'trained_params',
         'total_params', 'roles', 'steps', 'best_step', 'padded_tokens',
         'real_tokens')
TOLERANCE = 1e-6


def runs_below(folder: str) -> Iterator[str]:
  """Yields the paths, relative to a folder, of the finished runs below it."""
  for parent, folders, names in os.walk(folder):
    folders.sort()
    if RECORD in names:
      yield os.path.relpath(parent, folder)


def distance(old: str, new: str) -> float:
  """Returns the largest difference of two adapters' values.

  Args:
    old: Path of a .safetensors file.
    new: Path of another.

  Returns:
    0 if the files are equal byte by byte, infinity if their tensors differ in
    name, shape or type.
  """
  if filecmp.cmp(old, new, shallow=False):
    return 0.0
  a, b = (safetensors_numpy.load_file(path) for path in (old, new))
  if {k: (v.shape, v.dtype) for k, v in a.items()} != {
      k: (v.shape, v.dtype) for k, v in b.items()}:
    return math.inf
  # Equal values in another order of bytes are a change of the file too.
  return max([sys.float_info.min, *(
      # float64, so that the difference itself is not rounded.
      float(np.max(np.abs(a[k].astype(np.float64) - b[k]))) for k in a
      if a[k].size)])


def differences(old: str, new: str, close: bool) -> list[str]:
  """Returns a line for each difference of the runs below two folders.

  Args:
    old: Folder of runs before the change.
    new: Folder of the same runs after it.
    close: Whether values within TOLERANCE of each other count as equal.
  """
  tolerance = TOLERANCE if close else 0.0
  found = [list(runs_below(folder)) for folder in (old, new)]
  # Both lists are sorted, as `runs_below` sorts folders.
  if found[0] != found[1]:
    only = sorted(set(found[0]) ^ set(found[1]))
    return [f'run folders differ: {", ".join(only)}']
  if not found[0]:
    return ['no finished run']
  lines = []
  for run in found[0]:
    a, b = (os.path.join(folder, run) for folder in (old, new))
    apart = distance(os.path.join(a, ADAPTER), os.path.join(b, ADAPTER))
    if apart > tolerance:
      lines.append(f'{run}: {ADAPTER} differs, by at most {apart:.3g}')
    with open(os.path.join(a, RECORD)) as file, open(
        os.path.join(b, RECORD)) as other:
      a, b = json.load(file), json.load(other)
    lines += [f'{run}: {RECORD}: {name} is {a.get(name)}, then {b.get(name)}'
              for name in EXACT
              if not _equal(a.get(name), b.get(name), tolerance)]
  return lines


def _equal(a, b, tolerance):
  """Returns whether two JSON values are equal, floats within a tolerance."""
  if isinstance(a, dict) and isinstance(b, dict):
    return a.keys() == b.keys() and all(
        _equal(a[key], b[key], tolerance) for key in a)
  if isinstance(a, list) and isinstance(b, list):
    return len(a) == len(b) and all(
        _equal(x, y, tolerance) for x, y in zip(a, b))
  if isinstance(a, float) and isinstance(b, float):
    return a == b or abs(a - b) <= tolerance
  return a == b
