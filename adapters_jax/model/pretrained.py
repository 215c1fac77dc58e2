"""Strict loading of pretrained checkpoints."""

from collections.abc import Mapping
import difflib
import functools
import logging
import os
import re

import numpy as np

from adapters_jax.downloads import assets
from adapters_jax.downloads import hub_checkpoints
from adapters_jax.downloads import json_files
from adapters_jax.downloads import pinned
from adapters_jax.downloads import weight_files
from adapters_jax import errors
from adapters_jax.model import encoder
from adapters_jax.model import families
from adapters_jax.model import heads
from adapters_jax.model import shapes as shapes_lib
from adapters_jax.model import tensor_files
from adapters_jax import trees

_log = logging.getLogger(__name__)

# {pinned asset: shape}. The shapes repeat config.json, so that flags can be
# checked before any download.
CHECKPOINTS = {
    'minilm-l6': encoder.BertConfig(dim=384, layers=6, heads=12, ffn_dim=1536),
    'mpnet-base': encoder.BertConfig(
        vocab_size=30527, positions=514, segments=0, norm_epsilon=1e-5,
        family='mpnet', first_position=2, relative_bias=True),
}
# Names of heads in files without the family's prefix.
_HEADS = re.compile(r'(classifier|head|pre_classifier|qa_outputs|score)\.')


def read_config(folder: str) -> encoder.BertConfig:
  """Returns the shape in the config.json of a Hugging Face folder.

  Raises:
    errors.UserError: the file is missing or describes an unsupported model.
  """
  path = os.path.join(folder, 'config.json')
  values = json_files.read(path, what='`checkpoint`: ')
  return families.parse_config(values, path)


def config_of(checkpoint: str) -> encoder.BertConfig:
  """Returns the shape of a checkpoint by name or folder, without its weights.

  For a name on the Hugging Face hub, only config.json is downloaded.

  Raises:
    errors.UserError: unknown name, or an unsupported model.
  """
  if checkpoint in CHECKPOINTS:
    return CHECKPOINTS[checkpoint]
  if assets.is_folder(checkpoint):
    _check_no_adapter(checkpoint)
    with errors.within('`checkpoint`'):
      folder = tensor_files.model_folder(checkpoint)
    return read_config(folder)
  if os.path.isfile(checkpoint):
    raise errors.UserError(
        f'`checkpoint={checkpoint}`: it is a file; give its folder, '
        f'{os.path.dirname(checkpoint) or "."}')
  # A typo of an embedded name must not become a request to the hub. Names with
  # owners are no typos: embedded ones have no slash.
  if '/' not in checkpoint and difflib.get_close_matches(
      checkpoint, CHECKPOINTS, cutoff=0.7):
    raise errors.unknown('`checkpoint`', checkpoint, CHECKPOINTS)
  return read_config(os.path.dirname(hub_checkpoints.config(checkpoint)))


def _check_no_adapter(folder: str) -> None:
  """Raises UserError for an adapter, or a run's folder with one in it."""
  inside = {*os.listdir(folder)}
  if not inside.intersection(weight_files.FILES) and (
      inside.intersection(weight_files.OF_ADAPTERS) or os.path.isfile(
          os.path.join(folder, 'adapter', weight_files.OF_ADAPTERS[0]))):
    raise errors.UserError(
        f'`checkpoint={folder}`: it is an adapter, which load_adapter reads; '
        'give its base')


def resolve(checkpoint: str, *, tokenizer: bool = True) -> str:
  """Returns the folder of a checkpoint's encoder; downloads named ones.

  Args:
    checkpoint: Name or folder.
    tokenizer: Whether texts will be read, so that a repository of the hub is
      refused, before its weights are downloaded, if its tokenizer cannot be.

  Raises:
    errors.UserError: no such checkpoint, or a download that fails.
  """
  if checkpoint in CHECKPOINTS:
    if os.path.isdir(checkpoint):
      _warn_of_folder(os.path.abspath(checkpoint))
    return pinned.fetch(checkpoint)
  if assets.is_folder(checkpoint):
    with errors.within('`checkpoint`'):
      return tensor_files.model_folder(checkpoint)
  return hub_checkpoints.folder(checkpoint, tokenizer=tokenizer)


@functools.cache  # One line a process.
def _warn_of_folder(path: str) -> None:
  """Logs that a folder is passed over for the checkpoint of its name."""
  name = os.path.basename(path)
  _log.warning(
      '`checkpoint=%s`: the folder ./%s is not read; give ./%s for it',
      name, name, name)


def from_hugging_face(
    tensors: Mapping[str, np.ndarray], family: str = 'bert'
) -> trees.Tree:
  """Returns the tree of a checkpoint's tensors, with kernels [in, out].

  Args:
    tensors: {Hugging Face's name: tensor}.
    family: Key of families.FAMILIES.
  """
  flat = {}
  for name, value in tensors.items():
    if families.is_ignored(name, family):
      continue
    value = tensor_files.as_float32(name, value)
    for part, value in families.part_tensors(name, value, family).items():
      path = families.our_name(part, family)
      # torch keeps [out, in].
      value = value.T if path.endswith('/kernel') else value
      # A file may hold both LayerNorm.gamma and LayerNorm.weight.
      if path in flat and not np.array_equal(flat[path], value):
        raise errors.UserError(
            f'{name}: another tensor of the file is {path} too')
      flat[path] = value
  return trees.unflatten(flat)


def load_base(folder: str, *, pooler: bool = True) -> trees.Tree:
  """Returns the pretrained tree of a Hugging Face folder.

  Args:
    folder: Folder with config.json of any of families.FAMILIES, and weights in
      a format of `tensor_files`. If tensors have the family's prefix, those
      without it belong to heads and are left out.
    pooler: Whether the model reads the pooler, which is dropped otherwise.

  Returns:
    float32 numpy arrays at the paths of `heads.Classifier`, without a head.

  Raises:
    errors.UserError: damaged files, weights that are not finite, or no pooler
      for a model that reads it; lists missing, unknown and misshapen paths.
  """
  config = read_config(folder)
  families.check_head_input(config, 'pooler' if pooler else 'cls')
  if pooler and not has_pooler(folder):  # As of masked language models.
    raise errors.UserError(
        f'`head_input=pooler`: {folder} has no pooler; give `head_input=cls`')
  with errors.within('`checkpoint`'):
    path = tensor_files.find_weights(folder).path
    inside = names_of_encoder(folder, config.family)
    if left_out := sorted({*tensor_files.folder_names(folder)} - inside):
      _log.info('tensors of heads that are not read: %s', ', '.join(left_out))
    tree = from_hugging_face(
        tensor_files.read_folder(folder, inside.__contains__), config.family)
  if not pooler:
    tree.pop('pooler', None)
  model = heads.Classifier(config, 1, 'pooler' if pooler else 'cls')
  wanted = shapes_lib.of(model)
  wanted.pop('head')
  trees.check_same(tree, wanted, f'`checkpoint`: {path}')
  trees.check_finite(tree, f'`checkpoint`: {path}')
  return tree


def names_of_encoder(folder: str, family: str) -> set[str]:
  """Returns Hugging Face's names of an encoder's tensors, without heads.

  Args:
    folder: Folder with weights.
    family: Key of families.FAMILIES.
  """
  names = set(tensor_files.folder_names(folder))
  prefix = families.FAMILIES[family].prefix
  # All names of the encoder have the prefix, or none has.
  return {name for name in names if name.startswith(prefix)} or {
      name for name in names if not _HEADS.match(name)}


def has_pooler(folder: str) -> bool:
  """Returns whether a checkpoint's encoder has a pooler.

  DeBERTa's classifiers have a layer of that name, which is part of the head.
  """
  family = families.FAMILIES[read_config(folder).family]
  with errors.within('`checkpoint`'):
    return family.pooler and any(
        name.removeprefix(family.prefix).startswith('pooler.')
        for name in names_of_encoder(folder, family.name))


def load_head_start(folder: str) -> trees.Tree:
  """Returns the layers before a classifier that a checkpoint holds.

  ModernBERT's classifiers of texts start from the head of its pretraining.

  Args:
    folder: Folder with config.json and weights.

  Returns:
    {'head_first': leaves, 'head_norm': leaves} in float32, or {} where the
    checkpoint has none.
  """
  table = families.FAMILIES[read_config(folder).family].head_start
  with errors.within('`checkpoint`'):
    names = tensor_files.folder_names(folder) if table else ()
    table = {leaf: name for leaf, name in table.items() if name in names}
    if 'head_first/kernel' not in table:
      return {}
    tensors = tensor_files.read_folder(folder, {*table.values()}.__contains__)
  found = {leaf: tensor_files.as_float32(name, tensors[name])
           for leaf, name in table.items()}
  return trees.unflatten({
      leaf: value.T if leaf.endswith('/kernel') else value
      for leaf, value in found.items()})


def has_masked_lm(folder: str) -> bool:
  """Returns whether a checkpoint has a head of masked language modelling."""
  table = families.FAMILIES[read_config(folder).family].masked_lm
  with errors.within('`checkpoint`'):
    return bool(table) and {*table.values()} <= {
        families.modern_name(name)
        for name in tensor_files.folder_names(folder)}


def load_masked_lm(folder: str) -> trees.Tree:
  """Returns the head of masked language modelling of a checkpoint.

  Args:
    folder: Folder with config.json and weights.

  Returns:
    {'head': leaves} in float32, or {} where the checkpoint has no such head.

  Raises:
    errors.UserError: a decoder that is not the table of words.
  """
  if not has_masked_lm(folder):
    return {}
  config = read_config(folder)
  table = families.FAMILIES[config.family].masked_lm
  with errors.within('`checkpoint`'):
    present = {families.modern_name(name): name
               for name in tensor_files.folder_names(folder)}
    decoder = table['head/bias'].removesuffix('.bias')
    weights = {name for name in (
        f'{decoder}.weight', f'{decoder}.decoder.weight') if name in present}
    words = families.their_name('embeddings/words/embedding', config.family)
    wanted = {*(present[name] for name in table.values()), *weights, words,
              families.FAMILIES[config.family].prefix + words}
    tensors = tensor_files.read_folder(folder, wanted.__contains__)
  tensors = {families.modern_name(name): tensor_files.as_float32(name, value)
             for name, value in tensors.items()}
  for name in weights:
    for stem in ('', families.FAMILIES[config.family].prefix):
      if stem + words in tensors and not np.array_equal(
          tensors[name], tensors[stem + words]):
        raise errors.UserError(
            f'`checkpoint`: {name} differs from the embeddings of the words; '
            'decoders of their own are not supported')
  return trees.unflatten({
      path: tensors[name].T if path.endswith('/kernel') else tensors[name]
      for path, name in table.items()})
