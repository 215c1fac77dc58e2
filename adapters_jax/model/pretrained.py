"""Pretrained checkpoints in, strictly."""

from collections.abc import Mapping
import difflib
import json
import os
import re
from typing import Any

import jax
import numpy as np
from safetensors import numpy as safetensors_numpy

from adapters_jax.downloads import hub
from adapters_jax.downloads import pinned
from adapters_jax import errors
from adapters_jax.model import encoder
from adapters_jax.model import heads
from adapters_jax import trees

# Checkpoints that come with the project: the asset that holds each, and its
# shape, so that flags can be checked before anything is downloaded.
CHECKPOINTS = {
    'minilm-l6': encoder.BertConfig(dim=384, layers=6, heads=12, ffn_dim=1536),
}

_ACTIVATIONS = {
    'gelu': 'gelu', 'gelu_new': 'gelu_tanh', 'gelu_pytorch_tanh': 'gelu_tanh',
    'relu': 'relu', 'silu': 'swish', 'swish': 'swish', 'tanh': 'tanh'}

# Names of Hugging Face's BERT, each with its place here. Applied in order.
_NAMES = (
    (r'^bert\.', ''),
    (r'\bLayerNorm\.gamma$', 'LayerNorm.weight'),
    (r'\bLayerNorm\.beta$', 'LayerNorm.bias'),
    (r'^embeddings\.word_embeddings\.weight$', 'embeddings/words/embedding'),
    (r'^embeddings\.position_embeddings\.weight$',
     'embeddings/positions/embedding'),
    (r'^embeddings\.token_type_embeddings\.weight$',
     'embeddings/segments/embedding'),
    (r'^embeddings\.LayerNorm\.', 'embeddings/norm/'),
    (r'^encoder\.layer\.(\d+)\.', r'encoder/layer_\1/'),
    (r'/attention\.self\.(query|key|value)\.', r'/attention/\1/'),
    (r'/attention\.output\.dense\.', '/attention/output/'),
    (r'/attention\.output\.LayerNorm\.', '/attention_norm/'),
    (r'/intermediate\.dense\.', '/ffn_intermediate/'),
    (r'/output\.dense\.', '/ffn_output/'),
    (r'/output\.LayerNorm\.', '/ffn_norm/'),
    (r'^pooler\.dense\.', 'pooler/'),
    (r'norm[./]weight$', 'norm/scale'),
    (r'[./]weight$', '/kernel'),
    (r'\.', '/'),
)
# Buffers and pretraining heads, which no model here reads.
_IGNORED = re.compile(
    r'embeddings\.position_ids$|^cls\.(predictions|seq_relationship)\.')


def read_config(folder: str) -> encoder.BertConfig:
  """Returns the shape that a Hugging Face folder's config.json tells.

  Raises:
    options.UserError: no such file, or not a BERT this model computes.
  """
  path = os.path.join(folder, 'config.json')
  try:
    with open(path, encoding='utf-8') as file:
      values = json.load(file)
  except (OSError, ValueError) as error:
    raise errors.UserError(
        f'--checkpoint: cannot read {path} ({error}); give a folder with '
        'config.json and model.safetensors') from error
  for field, wanted in (
      ('model_type', 'bert'), ('position_embedding_type', 'absolute')):
    if values.get(field, wanted) != wanted:
      raise errors.UserError(
          f'--checkpoint: {path} has {field} {values[field]!r}; only '
          f'{wanted!r} is supported')
  activation = values.get('hidden_act', 'gelu')
  if activation not in _ACTIVATIONS:
    raise errors.unknown(f'--checkpoint: hidden_act in {path}', activation,
                          _ACTIVATIONS)
  try:
    return encoder.BertConfig(
        vocab_size=values['vocab_size'],
        dim=values['hidden_size'],
        layers=values['num_hidden_layers'],
        heads=values['num_attention_heads'],
        ffn_dim=values['intermediate_size'],
        positions=values['max_position_embeddings'],
        segments=values.get('type_vocab_size', 2),
        activation=_ACTIVATIONS[activation],
        dropout=values.get('hidden_dropout_prob', 0.1),
        attention_dropout=values.get('attention_probs_dropout_prob', 0.1),
        norm_epsilon=values.get('layer_norm_eps', 1e-12))
  except KeyError as error:
    raise errors.UserError(f'--checkpoint: {path} has no {error}') from error


def config_of(checkpoint: str) -> encoder.BertConfig:
  """Returns the shape of a checkpoint by name or folder, without its weights.

  Of a name on the Hugging Face hub, config.json alone is downloaded.

  Raises:
    options.UserError: unknown name, or not a BERT.
  """
  if checkpoint in CHECKPOINTS:
    return CHECKPOINTS[checkpoint]
  if os.path.isdir(checkpoint):
    return read_config(checkpoint)
  if difflib.get_close_matches(checkpoint, CHECKPOINTS, cutoff=0.7):
    raise errors.unknown('--checkpoint', checkpoint, CHECKPOINTS)
  return read_config(os.path.dirname(hub.config(checkpoint)))


def resolve(checkpoint: str) -> str:
  """Returns the folder of a checkpoint, downloading what has a name."""
  if checkpoint in CHECKPOINTS:
    return pinned.fetch(checkpoint)
  if os.path.isdir(checkpoint):
    return checkpoint
  return hub.folder(checkpoint)


def our_name(name: str) -> str:
  """Returns the path here of a tensor of Hugging Face's BERT."""
  for pattern, replacement in _NAMES:
    name = re.sub(pattern, replacement, name)
  return name


def from_hugging_face(tensors: Mapping[str, np.ndarray]) -> trees.Tree:
  """Returns the tree of a BERT's tensors, kernels transposed to [in, out]."""
  flat = {}
  for name, value in tensors.items():
    if not _IGNORED.search(name):
      path = our_name(name)
      value = np.asarray(value, np.float32)
      flat[path] = value.T if path.endswith('/kernel') else value
  return trees.unflatten(flat)


def load_base(folder: str, *, pooler: bool = True) -> trees.Tree:
  """Returns the pretrained tree of a Hugging Face folder.

  Args:
    folder: With config.json and model.safetensors of any BERT size, names with
      or without the 'bert.' prefix.
    pooler: Whether the model reads the pooler; else it is left out.

  Returns:
    float32 numpy arrays at the paths of `heads.Classifier`, without a head.

  Raises:
    options.UserError: lists the missing, unknown and misshapen names.
  """
  config = read_config(folder)
  path = os.path.join(folder, 'model.safetensors')
  try:
    tensors = safetensors_numpy.load_file(path)
  except Exception as error:  # The library raises its own and OSErrors.
    raise errors.UserError(
        f'--checkpoint: cannot read {path} ({error})') from error
  tree = from_hugging_face(tensors)
  if not pooler:
    tree.pop('pooler', None)
  model = heads.Classifier(config, 1, 'pooler' if pooler else 'cls')
  wanted: Any = jax.eval_shape(lambda: encoder.init(model, jax.random.key(0)))
  wanted.pop('head')
  try:
    trees.check_same(tree, wanted, f'--checkpoint: {path}')
  except ValueError as error:
    raise errors.UserError(str(error)) from error
  return tree
