"""Readers of config.json, which turn a family's entries into a `BertConfig`.

`families.parse_config` adds the name of the family, so that families of one
layout share a reader. A reader raises errors.UserError for an entry that is
missing or not supported. Absent entries have the defaults of transformers'
classes.
"""

from adapters_jax.downloads import json_files
from adapters_jax import errors
from adapters_jax.model import bert_config
from adapters_jax.model import config_entries

Entries = config_entries.Entries

# {Hugging Face's name: name in layers.activations}
_ACTIVATIONS = {
    'gelu': 'gelu', 'gelu_new': 'gelu_tanh', 'gelu_pytorch_tanh': 'gelu_tanh',
    'relu': 'relu', 'leaky_relu': 'leaky_relu', 'silu': 'swish',
    'swish': 'swish', 'tanh': 'tanh', 'linear': 'identity'}

# {field of BertConfig: largest value}, far above those of any model. Without a
# bound, a damaged number would take hours or all memory before it shows.
_LARGEST = {
    'vocab_size': 10**7, 'dim': 10**5, 'layers': 1000, 'heads': 1000,
    'ffn_dim': 10**6, 'positions': 10**6, 'segments': 1000,
    'embedding_dim': 10**5, 'distance_buckets': 10**6}
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


def bert(entries: Entries) -> bert_config.BertConfig:
  """Returns the shape of a BERT."""
  return bert_config.BertConfig(
      **_sizes(entries, _SIZES), segments=_segments(entries),
      **_common(entries))


def roberta(entries: Entries) -> bert_config.BertConfig:
  """Returns the shape of a RoBERTa, XLM-R or CamemBERT."""
  return bert_config.BertConfig(
      **_sizes(entries, _SIZES),
      # The class's default is 2; published files state 1.
      segments=_segments(entries),
      first_position=_first_position(entries), **_common(entries))


def mpnet(entries: Entries) -> bert_config.BertConfig:
  """Returns the shape of an MPNet."""
  entries.demand('relative_attention_num_buckets', 32)
  return bert_config.BertConfig(
      **_sizes(entries, _SIZES), segments=0,
      # Its class in transformers does not read `pad_token_id` for positions.
      first_position=2, relative_bias=True, **_common(entries))


def distilbert(entries: Entries) -> bert_config.BertConfig:
  """Returns the shape of a DistilBERT."""
  # 'sinusoidal_pos_embds' is not read: files hold the table in any case.
  return bert_config.BertConfig(
      **_sizes(entries, _DISTILBERT_SIZES), segments=0,
      norm_epsilon=1e-12, activation=_activation(entries, 'activation'),
      dropout=entries.rate('dropout'),
      attention_dropout=entries.rate('attention_dropout'))


def electra(entries: Entries) -> bert_config.BertConfig:
  """Returns the shape of an ELECTRA."""
  return bert_config.BertConfig(
      **_sizes(entries, _SIZES | {'embedding_dim': 'embedding_size'}),
      segments=_segments(entries), **_common(entries))


def deberta(entries: Entries) -> bert_config.BertConfig:
  """Returns the shape of a DeBERTa-v3, whose model_type is 'deberta-v2'.

  DeBERTa-v2 itself has a convolution or other tables, and is refused.
  """
  sizes = _sizes(entries, _SIZES | {'distance_buckets': 'position_buckets'})
  for name, wanted in (
      ('relative_attention', True), ('share_att_key', True),
      ('norm_rel_ebd', 'layer_norm'), ('position_biased_input', False)):
    entries.require(name, wanted)
  terms = entries.values.get('pos_att_type')
  named = terms.split('|') if isinstance(terms, str) else terms
  if not isinstance(named, list) or sorted(map(str, named)) != ['c2p', 'p2c']:
    raise entries.error(f"pos_att_type {terms!r}; only 'p2c|c2p' is supported")
  entries.demand('conv_kernel_size', 0)
  entries.demand('embedding_size', sizes['dim'])
  entries.demand('attention_head_size', sizes['dim'] // sizes['heads'])
  if entries.values.get('max_relative_positions', -1) not in (
      -1, sizes['positions']):
    raise entries.error('max_relative_positions other than -1')
  if not 2 <= sizes['distance_buckets'] < 2 * (sizes['positions'] - 1):
    raise entries.error(
        f'position_buckets {sizes["distance_buckets"]} for '
        f'{sizes["positions"]} positions; they should be from 2 to less than '
        'twice as many')
  return bert_config.BertConfig(
      **sizes,
      segments=entries.whole('type_vocab_size', 0, _LARGEST['segments'], 0),
      classifier_activation=entries.text('pooler_hidden_act', 'gelu'),
      **_common(entries, 1e-7))


def modernbert(entries: Entries) -> bert_config.BertConfig:
  """Returns the shape of a ModernBERT, mmBERT or Ettin.

  Entries of transformers 4 and of 5 are read.
  """
  sizes = _sizes(entries, _SIZES)
  if sizes['dim'] // sizes['heads'] % 2:
    raise entries.error(
        'heads of odd width, which rotary positions cannot turn')
  span = entries.whole('local_attention', 2, _LARGEST['positions'], 128)
  return bert_config.BertConfig(
      **sizes, segments=0, pre_norm=True,
      activation=_activation(entries, 'hidden_activation'),
      # Published models have no dropout.
      dropout=entries.rate('mlp_dropout', 0.0),
      attention_dropout=entries.rate('attention_dropout', 0.0),
      norm_epsilon=entries.number('norm_eps', 0, 1, 1e-5),
      attention_bias=entries.switch('attention_bias'),
      ffn_bias=entries.switch('mlp_bias'),
      norm_bias=entries.switch('norm_bias'),
      rotary=_rotary(entries), window=span // 2,
      classifier_pooling=_classifier_pooling(entries),
      local_layers=_local_layers(entries, sizes['layers']))


def _classifier_pooling(entries):
  """Returns the input of ModernBERT's classifier, '' if it is not supported."""
  plain = (entries.values.get('classifier_activation', 'gelu') == 'gelu'
           and not entries.values.get('classifier_bias'))
  found = entries.values.get('classifier_pooling', 'cls')
  return found if plain and found in ('cls', 'mean') else ''


def _local_layers(entries, layers):
  """Returns the indices of ModernBERT's local layers."""
  if entries.values.get('layer_types') is None:
    every = entries.whole(
        'global_attn_every_n_layers', 1, _LARGEST['layers'], 3)
    return tuple(index for index in range(layers) if index % every)
  kinds = json_files.strings(entries.values, 'layer_types', entries.where)
  if len(kinds) != layers or not set(kinds) <= {*_LAYER_TYPES}:
    raise entries.error(
        f'layer_types that are not one of {" and ".join(_LAYER_TYPES)} for '
        f'each of {layers} layers')
  return tuple(
      index for index, kind in enumerate(kinds) if kind == _LAYER_TYPES[1])


def _rotary(entries):
  """Returns the bases of rotary positions in global and in local layers."""
  entries.demand('rope_scaling', None)
  if entries.values.get('rope_parameters') is None:
    found = [(entries, 'global_rope_theta'), (entries, 'local_rope_theta')]
  else:
    both = entries.inner('rope_parameters')
    if unknown := sorted({*both.values} - {*_LAYER_TYPES}):
      raise entries.error(
          f'rope_parameters with {", ".join(unknown)}; only '
          f'{" and ".join(_LAYER_TYPES)} are supported')
    found = [(both.inner(kind), 'rope_theta') for kind in _LAYER_TYPES]
    for parameters, _ in found:
      parameters.demand('rope_type', 'default')
  # An absent local base is the class's default; null means the global one.
  (parameters, name), (local, local_name) = found
  base = _base(parameters, name, 160000.0)
  default = 10000.0 if local_name not in local.values else base
  return base, _base(local, local_name, default)


def _base(entries, name, default):
  return float(entries.number(name, 1, 1e12, default))


def _sizes(entries, names):
  """Returns {field: value} of the entries that a file must have."""
  missing = [
      name for name in names.values() if entries.values.get(name) is None]
  if missing:
    raise errors.UserError(f'{entries.where} has no {", ".join(missing)}')
  sizes = {field: entries.whole(name, 1, _LARGEST[field])
           for field, name in names.items()}
  if sizes['dim'] % sizes['heads']:
    raise entries.error(
        f'{names["dim"]} {sizes["dim"]}, which is not a multiple of '
        f'{names["heads"]} {sizes["heads"]}')
  return sizes


def _segments(entries):
  return entries.whole('type_vocab_size', 1, _LARGEST['segments'], 2)


def _first_position(entries):
  return 1 + entries.whole('pad_token_id', 0, _LARGEST['positions'], 1)


def _common(entries, norm_epsilon=1e-12):
  """Returns {field: value} of the entries that most families share."""
  entries.demand('position_embedding_type', 'absolute')
  if entries.values.get('is_decoder'):  # Its tokens see only those before.
    raise entries.error(
        'is_decoder true, which masks later tokens; only encoders are '
        'supported')
  return {
      'activation': _activation(entries),
      'dropout': entries.rate('hidden_dropout_prob'),
      'attention_dropout': entries.rate('attention_probs_dropout_prob'),
      'norm_epsilon': entries.number(
          'layer_norm_eps', 0, 1, norm_epsilon)}


def activation_entry(name: str, activation: str) -> dict[str, str]:
  """Returns {entry of config.json: Hugging Face's name} of an activation.

  Args:
    name: Name of the entry, as in `families.Family`.
    activation: A name in layers.activations.
  """
  names = {ours: theirs for theirs, ours in reversed(_ACTIVATIONS.items())}
  return {name: names[activation]}


def _activation(entries, name='hidden_act'):
  activation = entries.text(name, 'gelu')
  if activation not in _ACTIVATIONS:
    raise errors.unknown(
        f'{entries.where}, {name}', activation, _ACTIVATIONS)
  return _ACTIVATIONS[activation]
