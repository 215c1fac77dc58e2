"""The Base: a pretrained encoder, loaded once for any number of adapters."""

import dataclasses
import functools
import hashlib
import os
from typing import Any

import jax
import safetensors

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.model import encoder
from adapters_jax.model import pretrained

PRECISIONS = ('float32', 'tensorfloat32', 'bfloat16')


@dataclasses.dataclass(frozen=True, eq=False)
class Base:
  """A pretrained encoder in memory; nothing changes it.

  Attributes:
    checkpoint: Name or folder that it was loaded from.
    identity: Name, or 'folder@hash' of the weights, which adapters carry.
    folder: Folder of the checkpoint's files.
    config: Shape of the encoder.
    params: Pretrained tree on the device, with the pooler if there is one.
    precision: One of PRECISIONS, for whatever is computed with it.
  """
  checkpoint: str
  identity: str
  folder: str
  config: encoder.BertConfig
  params: trees.Tree = dataclasses.field(repr=False)
  precision: str = 'float32'

  @property
  def total_params(self) -> int:
    """Parameters of the encoder and its pooler."""
    return trees.count(self.params)


def load(checkpoint: str, precision: str = 'float32') -> Base:
  """Loads a pretrained encoder.

  Args:
    checkpoint: Name of an embedded checkpoint, a folder with config.json and
      model.safetensors, or a name on the Hugging Face hub.
    precision: 'float32', 'tensorfloat32' or 'bfloat16', which casts the
      parameters too.

  Returns:
    The base, its parameters on the first device.

  Raises:
    errors.UserError: an unknown checkpoint or precision, or files that do not
      make a BERT.
  """
  if precision not in PRECISIONS:
    raise errors.unknown('`precision`', precision, PRECISIONS)
  config = pretrained.config_of(checkpoint)
  folder = pretrained.resolve(checkpoint)
  params: Any = pretrained.load_base(folder, pooler=_has_pooler(folder))
  if precision == 'bfloat16':
    params = jax.tree.map(lambda leaf: leaf.astype('bfloat16'), params)
  return Base(checkpoint, identity(checkpoint), folder, config,
              jax.device_put(params), precision)


def _has_pooler(folder: str) -> bool:
  """Returns whether a checkpoint has a pooler; some encoders come without."""
  try:
    with safetensors.safe_open(
        os.path.join(folder, 'model.safetensors'), 'numpy') as file:
      return any('pooler.' in name for name in file.keys())
  except Exception:  # The library raises its own and OSErrors.
    return False  # `pretrained.load_base` reports an unreadable file.


def identity(checkpoint: str) -> str:
  """Returns the identity of a checkpoint, equal wherever a folder lies.

  Args:
    checkpoint: Name or folder.

  Returns:
    The name, or 'folder@hash' with 16 hexadecimal digits of the SHA-256 of a
    folder's weights.
  """
  if not os.path.isdir(checkpoint):
    return checkpoint
  folder = os.path.abspath(checkpoint)
  path = os.path.join(folder, 'model.safetensors')
  stat = os.stat(path)
  digest = _hash_of(path, stat.st_size, stat.st_mtime_ns)
  return f'{os.path.basename(folder)}@{digest}'


def same(one: str, other: str) -> bool:
  """Returns whether two identities are of equal weights, in any folders."""
  return one.split('@')[-1] == other.split('@')[-1]


@functools.cache
def _hash_of(path: str, size: int, changed: int) -> str:
  del size, changed  # Part of the cache's key: a changed file is read again.
  with open(path, 'rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()[:16]
