"""Strict loading of pretrained checkpoints."""

from collections.abc import Mapping
import difflib
import json
import os
import re

import numpy as np
from safetensors import numpy as safetensors_numpy

from adapters_jax.downloads import hub
from adapters_jax.downloads import pinned
from adapters_jax import errors
from adapters_jax.model import encoder
from adapters_jax.model import heads
from adapters_jax import trees

# {pinned asset: shape}. The shape is here too, so that flags can be checked
# before any download.
CHECKPOINTS = {
    'minilm-l6': encoder.BertConfig(dim=384, layers=6, heads=12, ffn_dim=1536),
}

# {Hugging Face's name: name in layers.activations}
_ACTIVATIONS = {
    'gelu': 'gelu', 'gelu_new': 'gelu_tanh', 'gelu_pytorch_tanh': 'gelu_tanh',
    'relu': 'relu', 'silu': 'swish', 'swish': 'swish', 'tanh': 'tanh'}

# {module: its name in Hugging Face's BERT}; {} is the index of the layer. All
# imports and exports, in every format, read this table.
MODULES = {
    'embeddings/words': 'embeddings.word_embeddings',
    'embeddings/positions': 'embeddings.position_embeddings',
    'embeddings/segments': 'embeddings.token_type_embeddings',
    'embeddings/norm': 'embeddings.LayerNorm',
    'encoder/layer_{}/attention/query': 'encoder.layer.{}.attention.self.query',
    'encoder/layer_{}/attention/key': 'encoder.layer.{}.attention.self.key',
    'encoder/layer_{}/attention/value': 'encoder.layer.{}.attention.self.value',
    'encoder/layer_{}/attention/output':
        'encoder.layer.{}.attention.output.dense',
    'encoder/layer_{}/attention_norm':
        'encoder.layer.{}.attention.output.LayerNorm',
    'encoder/layer_{}/ffn_intermediate': 'encoder.layer.{}.intermediate.dense',
    'encoder/layer_{}/ffn_output': 'encoder.layer.{}.output.dense',
    'encoder/layer_{}/ffn_norm': 'encoder.layer.{}.output.LayerNorm',
    'pooler': 'pooler.dense',
}
# {site of methods.base.LINEARS: linear layer at the site}
LINEARS = {
    'query': 'encoder/layer_{}/attention/query',
    'key': 'encoder/layer_{}/attention/key',
    'value': 'encoder/layer_{}/attention/value',
    'attention_output': 'encoder/layer_{}/attention/output',
    'intermediate': 'encoder/layer_{}/ffn_intermediate',
    'ffn_output': 'encoder/layer_{}/ffn_output',
}
_FROM_MODULES = {name: module for module, name in MODULES.items()}
_OLD_LEAVES = {'gamma': 'weight', 'beta': 'bias'}  # Early layer norms.
# Buffers and pretraining heads, which no model of this package reads.
_IGNORED = re.compile(
    r'embeddings\.position_ids$|^cls\.(predictions|seq_relationship)\.')


def read_config(folder: str) -> encoder.BertConfig:
  """Returns the shape in the config.json of a Hugging Face folder.

  Raises:
    errors.UserError: the file is missing or describes an unsupported model.
  """
  path = os.path.join(folder, 'config.json')
  try:
    with open(path, encoding='utf-8') as file:
      values = json.load(file)
  except (OSError, ValueError) as error:
    raise errors.UserError(
        f'`checkpoint`: cannot read {path} ({error}); give a folder with '
        'config.json and model.safetensors') from error
  for field, wanted in (
      ('model_type', 'bert'), ('position_embedding_type', 'absolute')):
    # Old configs lack the fields; no entry means a plain BERT.
    if values.get(field, wanted) != wanted:
      raise errors.UserError(
          f'`checkpoint`: {path} has {field} {values[field]!r}; only '
          f'{wanted!r} is supported')
  activation = values.get('hidden_act', 'gelu')
  if activation not in _ACTIVATIONS:
    raise errors.unknown(f'`checkpoint`: hidden_act in {path}', activation,
                          _ACTIVATIONS)
  try:
    return encoder.BertConfig(
        vocab_size=values['vocab_size'],
        dim=values['hidden_size'],
        layers=values['num_hidden_layers'],
        heads=values['num_attention_heads'],
        ffn_dim=values['intermediate_size'],
        positions=values['max_position_embeddings'],
        # Absent entries have the defaults of transformers' BertConfig.
        segments=values.get('type_vocab_size', 2),
        activation=_ACTIVATIONS[activation],
        dropout=values.get('hidden_dropout_prob', 0.1),
        attention_dropout=values.get('attention_probs_dropout_prob', 0.1),
        norm_epsilon=values.get('layer_norm_eps', 1e-12))
  except KeyError as error:
    raise errors.UserError(f'`checkpoint`: {path} has no {error}') from error


def config_of(checkpoint: str) -> encoder.BertConfig:
  """Returns the shape of a checkpoint by name or folder, without its weights.

  For a name on the Hugging Face hub, only config.json is downloaded.

  Raises:
    errors.UserError: unknown name, or not a BERT.
  """
  if checkpoint in CHECKPOINTS:
    return CHECKPOINTS[checkpoint]
  if os.path.isdir(checkpoint):
    return read_config(checkpoint)
  # A typo of an embedded name must not become a request to the hub.
  if difflib.get_close_matches(checkpoint, CHECKPOINTS, cutoff=0.7):
    raise errors.unknown('`checkpoint`', checkpoint, CHECKPOINTS)
  return read_config(os.path.dirname(hub.config(checkpoint)))


def resolve(checkpoint: str) -> str:
  """Returns the folder of a checkpoint; downloads named checkpoints."""
  if checkpoint in CHECKPOINTS:
    return pinned.fetch(checkpoint)
  if os.path.isdir(checkpoint):
    return checkpoint
  return hub.folder(checkpoint)


def our_name(name: str) -> str:
  """Returns the path of a tensor of Hugging Face's BERT.

  Unknown names become paths too, so that the check of the whole tree can list
  them.
  """
  name, _, leaf = name.removeprefix('bert.').rpartition('.')
  leaf = _OLD_LEAVES.get(leaf, leaf)
  layer = re.match(r'encoder\.layer\.(\d+)\.', name)
  if layer:
    name = name.replace(layer[0], 'encoder.layer.{}.', 1)
  module = _FROM_MODULES.get(
      name, name.replace('encoder.layer.', 'encoder/layer_').replace('.', '/'))
  if leaf == 'weight':
    leaf = _weight_of(name)
  path = f'{module}/{leaf}' if module else leaf
  return path.replace('{}', layer[1], 1) if layer else path


def their_name(path: str) -> str:
  """Returns the name of a leaf in Hugging Face's BERT, without 'bert.'.

  Raises:
    KeyError: Hugging Face's BERT has no such leaf.
  """
  module, _, leaf = path.rpartition('/')
  layer = trees.layer_of(path)
  name = MODULES[re.sub(r'layer_\d+', 'layer_{}', module, count=1)]
  if leaf == _weight_of(name):
    leaf = 'weight'
  return f'{name}.{leaf}'.replace('{}', str(layer))


def their_site(site: str, layer: int) -> str:
  """Returns the name of a site's module in Hugging Face's BERT.

  Args:
    site: One of LINEARS, 'key_value' for the attention, or 'layer_output'.
    layer: Index of the layer.
  """
  if site == 'key_value':
    name = MODULES[LINEARS['query']].removesuffix('.query')
  elif site == 'layer_output':
    name = 'encoder.layer.{}'
  else:
    name = MODULES[LINEARS[site]]
  return name.replace('{}', str(layer))


def _weight_of(name):
  """Returns our name of the leaf 'weight' in a module of Hugging Face's."""
  if name.endswith('_embeddings'):
    return 'embedding'
  return 'scale' if name.endswith('LayerNorm') else 'kernel'


def from_hugging_face(tensors: Mapping[str, np.ndarray]) -> trees.Tree:
  """Returns the tree of a BERT's tensors, with kernels [in, out]."""
  flat = {}
  for name, value in tensors.items():
    if not _IGNORED.search(name):
      path = our_name(name)
      value = np.asarray(value, np.float32)
      # torch keeps [out, in].
      flat[path] = value.T if path.endswith('/kernel') else value
  return trees.unflatten(flat)


def load_base(folder: str, *, pooler: bool = True) -> trees.Tree:
  """Returns the pretrained tree of a Hugging Face folder.

  Args:
    folder: Folder with config.json and model.safetensors of any BERT size,
      tensor names with or without the prefix 'bert.'.
    pooler: Whether the model reads the pooler, which is dropped otherwise.

  Returns:
    float32 numpy arrays at the paths of `heads.Classifier`, without a head.

  Raises:
    errors.UserError: lists the missing, unknown and misshapen paths.
  """
  config = read_config(folder)
  path = os.path.join(folder, 'model.safetensors')
  try:
    tensors = safetensors_numpy.load_file(path)
  except Exception as error:  # safetensors raises its own errors and OSErrors.
    raise errors.UserError(
        f'`checkpoint`: cannot read {path} ({error})') from error
  tree = from_hugging_face(tensors)
  if not pooler:
    tree.pop('pooler', None)
  model = heads.Classifier(config, 1, 'pooler' if pooler else 'cls')
  wanted = encoder.shapes(model)
  wanted.pop('head')
  trees.check_same(tree, wanted, f'`checkpoint`: {path}')
  return tree
