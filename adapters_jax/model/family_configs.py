"""Readers of config.json: from a family's own words to `BertConfig`."""

from collections.abc import Mapping
from typing import Any

from adapters_jax.downloads import json_files
from adapters_jax import errors
from adapters_jax.model import layer

# {Hugging Face's name: name in layers.activations}
_ACTIVATIONS = {
    'gelu': 'gelu', 'gelu_new': 'gelu_tanh', 'gelu_pytorch_tanh': 'gelu_tanh',
    'relu': 'relu', 'silu': 'swish', 'swish': 'swish', 'tanh': 'tanh'}

# {field of BertConfig: largest value}. Far above those of any model: a damaged
# number would otherwise take hours or all memory before it shows.
_LARGEST = {
    'vocab_size': 10**7, 'dim': 10**5, 'layers': 1000, 'heads': 1000,
    'ffn_dim': 10**6, 'positions': 10**6, 'segments': 1000,
    'embedding_dim': 10**5}
# {field of BertConfig: name in config.json}
_SIZES = {
    'vocab_size': 'vocab_size', 'dim': 'hidden_size',
    'layers': 'num_hidden_layers', 'heads': 'num_attention_heads',
    'ffn_dim': 'intermediate_size', 'positions': 'max_position_embeddings'}
_DISTILBERT_SIZES = {
    'vocab_size': 'vocab_size', 'dim': 'dim', 'layers': 'n_layers',
    'heads': 'n_heads', 'ffn_dim': 'hidden_dim',
    'positions': 'max_position_embeddings'}

_LAYER_TYPES = 'full_attention', 'sliding_attention'  # Global, local.


def bert(values: Mapping[str, Any], path: str) -> layer.BertConfig:
  """Returns the shape of a BERT.

  Args:
    values: JSON of the file.
    path: Its path, for messages.

  Raises:
    errors.UserError: an entry is missing or not supported.
  """
  # Absent entries have the defaults of transformers' classes, in all families.
  return layer.BertConfig(
      **_sizes(values, path, _SIZES),
      segments=_segments(values, path), **_common(values, path))


def roberta(values: Mapping[str, Any], path: str) -> layer.BertConfig:
  """Returns the shape of a RoBERTa, XLM-R or CamemBERT.

  Args:
    values: JSON of the file.
    path: Its path, for messages.

  Raises:
    errors.UserError: an entry is missing or not supported.
  """
  return layer.BertConfig(
      **_sizes(values, path, _SIZES),
      # The class's default is 2, but real files state their 1.
      segments=_segments(values, path),
      family=values['model_type'],
      first_position=_first_position(values, path),
      **_common(values, path))


def mpnet(values: Mapping[str, Any], path: str) -> layer.BertConfig:
  """Returns the shape of an MPNet.

  Args:
    values: JSON of the file.
    path: Its path, for messages.

  Raises:
    errors.UserError: an entry is missing or not supported.
  """
  _demand(values, path, 'relative_attention_num_buckets', 32)
  return layer.BertConfig(
      **_sizes(values, path, _SIZES), segments=0, family='mpnet',
      first_position=_first_position(values, path), relative_bias=True,
      **_common(values, path))


def distilbert(values: Mapping[str, Any], path: str) -> layer.BertConfig:
  """Returns the shape of a DistilBERT.

  Args:
    values: JSON of the file.
    path: Its path, for messages.

  Raises:
    errors.UserError: an entry is missing or not supported.
  """
  # 'sinusoidal_pos_embds' is not read: files hold the table in any case.
  return layer.BertConfig(
      **_sizes(values, path, _DISTILBERT_SIZES), segments=0,
      family='distilbert', norm_epsilon=1e-12,
      activation=_activation(values, path, 'activation'),
      dropout=_rate(values, path, 'dropout'),
      attention_dropout=_rate(values, path, 'attention_dropout'))


def electra(values: Mapping[str, Any], path: str) -> layer.BertConfig:
  """Returns the shape of an ELECTRA.

  Args:
    values: JSON of the file.
    path: Its path, for messages.

  Raises:
    errors.UserError: an entry is missing or not supported.
  """
  return layer.BertConfig(
      **_sizes(values, path, {**_SIZES, 'embedding_dim': 'embedding_size'}),
      segments=_segments(values, path), family='electra',
      **_common(values, path))


def modernbert(values: Mapping[str, Any], path: str) -> layer.BertConfig:
  """Returns the shape of a ModernBERT, mmBERT or Ettin.

  Entries of transformers 4 and of 5 are read.

  Args:
    values: JSON of the file.
    path: Its path, for messages.

  Raises:
    errors.UserError: an entry is missing or not supported.
  """
  sizes = _sizes(values, path, _SIZES)
  if sizes['dim'] // sizes['heads'] % 2:
    raise errors.UserError(
        f'{_where(path)} has heads of odd width, which rotary positions '
        'cannot turn')
  span = json_files.whole(
      values, 'local_attention', _where(path), 2, _LARGEST['positions'], 128)
  return layer.BertConfig(
      **sizes, segments=0, family='modernbert', pre_norm=True,
      activation=_activation(values, path, 'hidden_activation'),
      # A published model drops nothing.
      dropout=_rate(values, path, 'mlp_dropout', 0.0),
      attention_dropout=_rate(values, path, 'attention_dropout', 0.0),
      norm_epsilon=json_files.number(
          values, 'norm_eps', _where(path), 0, 1, 1e-5),
      attention_bias=_switch(values, path, 'attention_bias'),
      ffn_bias=_switch(values, path, 'mlp_bias'),
      norm_bias=_switch(values, path, 'norm_bias'),
      rotary=_rotary(values, path), window=span // 2,
      local_layers=_local_layers(values, path, sizes['layers']))


def _local_layers(values, path, layers):
  """Returns the indices of ModernBERT's local layers."""
  if values.get('layer_types') is None:
    every = json_files.whole(
        values, 'global_attn_every_n_layers', _where(path), 1,
        _LARGEST['layers'], 3)
    return tuple(index for index in range(layers) if index % every)
  kinds = json_files.texts(values, 'layer_types', _where(path))
  if len(kinds) != layers or not set(kinds) <= {*_LAYER_TYPES}:
    raise errors.UserError(
        f'{_where(path)} has layer_types that are not one of '
        f'{" and ".join(_LAYER_TYPES)} for each of {layers} layers')
  return tuple(
      index for index, kind in enumerate(kinds) if kind == _LAYER_TYPES[1])


def _rotary(values, path):
  """Returns the bases of rotary positions in global and in local layers."""
  _demand(values, path, 'rope_scaling', None)
  if values.get('rope_parameters') is None:
    found = [(values, 'global_rope_theta'), (values, 'local_rope_theta')]
  else:
    both = json_files.inner(values, 'rope_parameters', _where(path))
    if unknown := sorted({*both} - {*_LAYER_TYPES}):
      raise errors.UserError(
          f'{_where(path)} has rope_parameters with {", ".join(unknown)}; only '
          f'{" and ".join(_LAYER_TYPES)} are supported')
    found = [(json_files.inner(both, kind, _where(path)), 'rope_theta')
             for kind in _LAYER_TYPES]
    for entries, _ in found:
      _demand(entries, path, 'rope_type', 'default')
  # Absent entries have the defaults of the class, null is as in global layers.
  (entries, name), (local, local_name) = found
  base = _base(entries, path, name, 160000.0)
  default = 10000.0 if local_name not in local else base
  return base, _base(local, path, local_name, default)


def _base(values, path, name, default):
  return float(json_files.number(values, name, _where(path), 1, 1e12, default))


def _switch(values, path, name):
  """Returns an entry that is true or false; false where it is absent."""
  value = values.get(name, False)
  if not isinstance(value, bool):
    raise errors.UserError(
        f'{_where(path)} has {name} {value!r}; it should be true or false')
  return value


def _where(path):
  """Returns the start of messages about a file."""
  return f'`checkpoint`: {path}'


def _sizes(values, path, names):
  """Returns {field: value} of the entries that a file must have."""
  missing = [name for name in names.values() if values.get(name) is None]
  if missing:
    raise errors.UserError(f'{_where(path)} has no {", ".join(missing)}')
  sizes = {
      field: json_files.whole(values, name, _where(path), 1, _LARGEST[field])
      for field, name in names.items()}
  if sizes['dim'] % sizes['heads']:
    raise errors.UserError(
        f'{_where(path)} has {names["dim"]} {sizes["dim"]}, which is not a '
        f'multiple of {names["heads"]} {sizes["heads"]}')
  return sizes


def _segments(values, path):
  return json_files.whole(
      values, 'type_vocab_size', _where(path), 1, _LARGEST['segments'], 2)


def _first_position(values, path):
  return 1 + json_files.whole(
      values, 'pad_token_id', _where(path), 0, _LARGEST['positions'], 1)


def _rate(values, path, name, default=0.1):
  # A rate of 1 would drop everything.
  return json_files.number(values, name, _where(path), 0, 0.99, default)


def _common(values, path):
  """Returns {field: value} of the entries that most families share."""
  _demand(values, path, 'position_embedding_type', 'absolute')
  return {
      'activation': _activation(values, path, 'hidden_act'),
      'dropout': _rate(values, path, 'hidden_dropout_prob'),
      'attention_dropout': _rate(values, path, 'attention_probs_dropout_prob'),
      'norm_epsilon': json_files.number(
          values, 'layer_norm_eps', _where(path), 0, 1, 1e-12)}


def _activation(values, path, name):
  activation = json_files.text(values, name, _where(path), 'gelu')
  if activation not in _ACTIVATIONS:
    raise errors.unknown(
        f'`checkpoint`: {name} in {path}', activation, _ACTIVATIONS)
  return _ACTIVATIONS[activation]


def _demand(values, path, name, wanted):
  """Raises UserError for an entry with another value; it may be absent."""
  if values.get(name, wanted) != wanted:
    raise errors.UserError(
        f'`checkpoint`: {path} has {name} {values[name]!r}; only {wanted!r} is '
        'supported')
