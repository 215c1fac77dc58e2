"""`Base`: a pretrained encoder, loaded once for any number of adapters."""

from collections.abc import Mapping
import dataclasses
import hashlib
import os
import re
from typing import Any

import jax
import numpy as np

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.downloads import assets
from adapters_jax.downloads import file_hash
from adapters_jax.downloads import paths
from adapters_jax.downloads import weight_files
from adapters_jax.model import encoder
from adapters_jax.model import precision as precision_lib
from adapters_jax.model import pretrained
from adapters_jax.model import tensor_files

# Files beside the weights of an encoder that change results.
_FILES = ('config.json', 'tokenizer.json', 'tokenizer_config.json',
          'special_tokens_map.json', 'vocab.txt', 'vocab.json', 'merges.txt',
          'added_tokens.json', weight_files.LENGTHS, *weight_files.OLD_LENGTHS)
_HASH = re.compile('[@#](?=[0-9a-f]{16}$)')  # Before the hash of an identity.
_OF_FOLDER = re.compile('[^#]*@[0-9a-f]{16}$')
# As of a folder, whose name has no '/', so that no name loads such a base.
_FOLDED = re.compile('[^#]*/folded@[0-9a-f]{16}$')


@dataclasses.dataclass(frozen=True, eq=False)
class Base:
  """A pretrained encoder in memory, never modified.

  Attributes:
    checkpoint: Name of the checkpoint, or absolute path of its folder.
    identity: Result of `identity`, or of `folded_identity`; adapters record it.
    folder: Folder of the checkpoint's files, absolute.
    config: Shape of the encoder.
    params: Pretrained tree on the device, with the pooler if present.
    precision: One of precision.PRECISIONS, for all computations with the base.
    loaded: Config and leaves as `load` has read them, by path; None for a base
      of other origin.
  """
  checkpoint: str
  identity: str
  folder: str
  config: encoder.BertConfig
  params: trees.Tree = dataclasses.field(repr=False)
  precision: str = 'float32'
  loaded: tuple[encoder.BertConfig, Mapping[str, Any]] | None = (
      dataclasses.field(default=None, repr=False))

  @property
  def total_params(self) -> int:
    """Parameters of the encoder and its pooler."""
    return trees.count(self.params)

  def check_unchanged(self, reader: str) -> None:
    """Raises UserError unless the checkpoint's files hold this base.

    Args:
      reader: Function that reads the files instead of `params`.
    """
    config, leaves = self.loaded or (None, {})
    own = trees.flatten(self.params)
    # Identity first: comparing copies costs a transfer from the device.
    if own.keys() != leaves.keys() or not all(
        leaf is leaves[path] or np.array_equal(leaf, leaves[path])
        for path, leaf in own.items()):
      raise errors.UserError(
          f'`base`: its `params` are not those of {self.checkpoint}, whose '
          f'files {reader} reads; give the base as load_base returned it. An '
          "adapter folded into it goes into files by export(adapter, DIR, "
          "format='sentence_transformers'), which load_base reads; in training "
          '`under` keeps any adapter below the new one')
    if self.config != config:
      raise errors.UserError(
          f'`base`: its `config` is not that of {self.checkpoint}, whose files '
          f'{reader} reads; give the base as load_base returned it, and in '
          'training settings such as `dropout` and `hidden_activation`')


def load(checkpoint: paths.Path, precision: str = 'float32') -> Base:
  """Loads a pretrained encoder.

  Args:
    checkpoint: Name of an embedded checkpoint, a folder with config.json and
      weights (model.safetensors or pytorch_model.bin, in shards or not), or a
      name on the Hugging Face hub.
    precision: One of precision.PRECISIONS; the last two also cast parameters.

  Returns:
    The base, with its parameters on the first device.

  Raises:
    errors.UserError: an unknown checkpoint or precision, or files that do not
      make an encoder.
  """
  checkpoint = paths.text(checkpoint, 'checkpoint')
  if precision not in precision_lib.PRECISIONS:
    raise errors.unknown('`precision`', precision, precision_lib.PRECISIONS)
  # Before `resolve`, which may download weights.
  config = pretrained.config_of(checkpoint)
  folder = pretrained.resolve(checkpoint)
  params: Any = pretrained.load_base(
      folder, pooler=pretrained.has_pooler(folder))
  params = precision_lib.cast(precision, params)
  params = jax.device_put(params)
  name = identity(checkpoint)
  if assets.is_folder(checkpoint):  # The process may change its folder.
    checkpoint = os.path.abspath(checkpoint)
  return Base(checkpoint, name, os.path.abspath(folder), config, params,
              precision, (config, trees.flatten(params)))


def tree_of(base: Any) -> trees.Tree:
  """Returns the tree of a base, or a pretrained tree as it is.

  Args:
    base: Pretrained encoder, or its tree.

  Raises:
    errors.UserError: a value of another type.
  """
  if isinstance(base, Base):
    return base.params
  if not isinstance(base, Mapping):
    raise errors.UserError(
        f'`base`: give a Base or its params, not {type(base).__name__}')
  return dict(base)


def with_head_start(base: Base) -> trees.Tree:
  """Adds the checkpoint's layers before a classifier to the pretrained tree."""
  return {**base.params, **pretrained.load_head_start(base.folder)}


def identity(checkpoint: str) -> str:
  """Returns the identity of a checkpoint, independent of a folder's location.

  Args:
    checkpoint: Name or folder.

  Returns:
    The name of an embedded checkpoint, whose files are pinned; 'folder@hash'
    with the digest of a folder's weights; or 'name#hash' or
    'name@revision#hash' for a name on the Hugging Face hub, where the weights
    of a name can change.

  Raises:
    errors.UserError: a folder without weights, or a download that fails.
  """
  if checkpoint in pretrained.CHECKPOINTS:
    return checkpoint
  with errors.within('`checkpoint`'):
    if assets.is_folder(checkpoint):
      digest = tensor_files.folder_digest(checkpoint)
      return f'{os.path.basename(os.path.abspath(checkpoint))}@{digest}'
  folder = pretrained.resolve(checkpoint, tokenizer=False)
  with errors.within('`checkpoint`'):
    return f'{checkpoint}#{tensor_files.encoder_digest(folder)}'


def folded_identity(identity: str, adapter: str) -> str:
  """Returns the identity of a base with an adapter folded into it.

  Args:
    identity: Identity of the base before.
    adapter: Hash of the adapter.
  """
  weights = _HASH.split(identity)[-1]  # Of a folder that may be renamed.
  digest = hashlib.sha256(f'{weights} {adapter}'.encode()).hexdigest()[:16]
  return f'{title_of(identity)}/folded@{digest}'


def is_folded(identity: str) -> bool:
  """Returns whether an identity is a result of `folded_identity`."""
  return _FOLDED.match(identity) is not None


def name_of(identity: str) -> str:
  """Returns the name by which a base can be loaded; '' for one from a folder.

  Args:
    identity: Result of `identity`.
  """
  # 'folder@hash' identifies weights, but does not locate them.
  return '' if _OF_FOLDER.match(identity) else identity.split('#')[0]


def repository_of(identity: str) -> str:
  """Returns the name of a base without its revision; '' for one from a folder.

  Args:
    identity: Result of `identity`.
  """
  return name_of(identity).partition('@')[0]


def title_of(identity: str) -> str:
  """Returns the name of a base or its folder, for display."""
  return _HASH.split(identity)[0]


def same(one: str, other: str) -> bool:
  """Returns whether two identities stand for equal weights.

  Args:
    one: Result of `identity`.
    other: Result of `identity`.
  """
  (_, *hash_of_one), (_, *hash_of_other) = map(_HASH.split, (one, other))
  if hash_of_one and hash_of_other:  # A folder may be renamed, or be a copy.
    return hash_of_one == hash_of_other
  # Adapters of earlier versions name a base of the hub without its hash.
  return one == other or bool(
      repository_of(one)) and repository_of(one) == repository_of(other)


def file_hashes(checkpoint: str) -> dict[str, str]:
  """Returns {path in it: hash} of the small files in a folder; {} for a name.

  They are no part of the identity: they change results as weights do, but may
  also be rewritten without a change of meaning.

  Args:
    checkpoint: Name or folder.

  Raises:
    errors.UserError: a damaged list of modules.
  """
  if not assets.is_folder(checkpoint):
    return {}
  names = list(_FILES)
  modules = os.path.join(checkpoint, weight_files.MODULES)
  if os.path.isfile(modules):  # They decide the pooling of embeddings.
    with errors.within('`checkpoint`'):
      inner = weight_files.read_modules(modules)
    names += [os.path.join(inner, name) for name in _FILES]
    names += [weight_files.MODULES, *weight_files.files_of_modules(modules)]
  return {name: file_hash.sha256(path)[:16] for name in dict.fromkeys(names)
          if os.path.isfile(path := os.path.join(checkpoint, name))}
