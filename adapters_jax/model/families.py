"""Families of encoders: config.json and names of tensors, a row for each.

The imports and exports of all formats read the rows. A family with layers
unlike those of `layer` also needs a class, such as `modernbert.PreNormLayer`.
"""

from collections.abc import Callable, Mapping
import dataclasses
import re
from typing import Any

import numpy as np

from adapters_jax import errors
from adapters_jax.model import bert_config
from adapters_jax.model import family_configs
from adapters_jax.model import family_names
from adapters_jax import trees

# {site of methods.base.LINEARS: linear layer at the site}
LINEARS = {
    'query': 'encoder/layer_{}/attention/query',
    'key': 'encoder/layer_{}/attention/key',
    'value': 'encoder/layer_{}/attention/value',
    'attention_output': 'encoder/layer_{}/attention/output',
    'intermediate': 'encoder/layer_{}/ffn_intermediate',
    'gate': 'encoder/layer_{}/ffn_gate',  # Of gated families alone.
    'ffn_output': 'encoder/layer_{}/ffn_output',
}
_POSITIONS = r'embeddings\.position_ids$'
_OLD_LEAVES = {'gamma': 'weight', 'beta': 'bias'}  # Early layer norms.


@dataclasses.dataclass(frozen=True, eq=False)
class Family:
  """A kind of encoder, as Hugging Face's files describe it.

  Attributes:
    name: `model_type` in config.json.
    prefix: Prefix of the names of tensors in models of tasks; names in bare
      encoders lack it.
    parse_config: (entries of config.json) -> config of the encoder, of any
      family.
    modules: {module: Hugging Face's name}; {} is the index of the layer.
    leaves: {leaf outside of modules: Hugging Face's name}.
    ignored: Regular expressions of tensors that no model of this package reads:
      buffers and heads of pretraining.
    pooler: Whether encoders have a pooler.
    joined: {suffix of the name of a linear layer in files: names of its parts}.
      Each part is an equal share of the outputs, in order; in `modules` its
      name follows that of the layer.
    masked_lm: {leaf of the head of masked language modelling: Hugging Face's
      name}; {} if it is not read.
    masked_lm_activation: Activation of that head; '' for the encoder's.
    head_start: {leaf of the layers before a classifier: Hugging Face's name},
      of checkpoints that hold them.
    activation: Entry of config.json that names the activation.
  """
  name: str
  prefix: str
  parse_config: Callable[[family_configs.Entries], bert_config.BertConfig]
  modules: Mapping[str, str]
  ignored: tuple[str, ...]
  leaves: Mapping[str, str] = dataclasses.field(default_factory=dict)
  pooler: bool = True
  joined: Mapping[str, tuple[str, ...]] = dataclasses.field(
      default_factory=dict)
  masked_lm: Mapping[str, str] = dataclasses.field(default_factory=dict)
  masked_lm_activation: str = ''
  head_start: Mapping[str, str] = dataclasses.field(default_factory=dict)
  activation: str = 'hidden_act'


def _roberta(name: str) -> Family:
  """Returns a family with RoBERTa's layers and names."""
  return Family(
      name, 'roberta.', family_configs.roberta, family_names.BERT,
      (_POSITIONS, r'^lm_head\.'), masked_lm=family_names.LM_HEAD,
      masked_lm_activation='gelu')


# {model_type: family}
FAMILIES = {family.name: family for family in (
    Family(
        'bert', 'bert.', family_configs.bert, family_names.BERT,
        (_POSITIONS, r'^cls\.(predictions|seq_relationship)\.'),
        masked_lm=family_names.BERT_PREDICTIONS),
    _roberta('roberta'),
    _roberta('xlm-roberta'),
    _roberta('camembert'),
    Family(
        'mpnet', 'mpnet.', family_configs.mpnet, family_names.MPNET,
        (_POSITIONS, r'^lm_head\.'),
        leaves={'encoder/relative_bias':
                'encoder.relative_attention_bias.weight'},
        masked_lm=family_names.LM_HEAD, masked_lm_activation='gelu'),
    Family(
        'distilbert', 'distilbert.', family_configs.distilbert,
        family_names.DISTILBERT,
        (_POSITIONS, r'^vocab_(transform|layer_norm|projector)\.'),
        pooler=False, masked_lm=family_names.DISTILBERT_VOCABULARY,
        activation='activation'),
    Family(
        'electra', 'electra.', family_configs.electra, family_names.ELECTRA,
        (_POSITIONS, r'^(discriminator|generator)_predictions\.',
         r'^generator_lm_head\.'),
        pooler=False),
    Family(
        'deberta-v2', 'deberta.', family_configs.deberta, family_names.DEBERTA,
        (_POSITIONS,  # And tables that only the pretraining reads.
         r'^(cls\.|lm_|mask_)predictions\.',
         r'embeddings\.(word|position)_embeddings\._weight$',
         r'embeddings\.position_embeddings\.weight$'), pooler=False,
        leaves={'encoder/relative_embeddings':
                'encoder.rel_embeddings.weight'}),
    Family(
        'modernbert', 'model.', family_configs.modernbert,
        family_names.MODERNBERT, (r'^head\.', r'^decoder\.'), pooler=False,
        joined={'.attn.Wqkv': ('query', 'key', 'value'),
                '.mlp.Wi': ('activated', 'gate')},
        head_start={'head_first/kernel': 'head.dense.weight',
                    'head_norm/scale': 'head.norm.weight',
                    'head_norm/bias': 'head.norm.bias'},
        activation='hidden_activation'),
)}


def parse_config(
    values: Mapping[str, Any], path: str
) -> bert_config.BertConfig:
  """Returns the shape that a config.json describes.

  Args:
    values: JSON of the file.
    path: Its path, for messages.

  Raises:
    errors.UserError: an unsupported family or value.
  """
  entries = family_configs.Entries(values, f'`checkpoint`: {path}')
  name = entries.text('model_type', 'bert')  # Files of early BERTs lack it.
  if name not in FAMILIES:
    raise errors.UserError(
        f'{entries.where} has model_type {name!r}; supported are '
        f'{", ".join(FAMILIES)}')
  return dataclasses.replace(FAMILIES[name].parse_config(entries), family=name)


def check_head_input(shape: bert_config.BertConfig, head_input: str) -> None:
  """Checks that a family has the input of a head.

  Args:
    shape: Config of the base.
    head_input: Key of heads.HEADS; only 'pooler' may be refused.

  Raises:
    errors.UserError: the head reads a pooler that the family lacks.
  """
  if head_input == 'pooler' and not FAMILIES[shape.family].pooler:
    raise errors.UserError(
        f'`head_input=pooler`: {shape.family} has no pooler; give '
        '`head_input=cls`')


def is_ignored(name: str, family: str = 'bert') -> bool:
  """Returns whether a tensor of a checkpoint is not read.

  Args:
    name: Hugging Face's name.
    family: Key of FAMILIES.
  """
  return any(re.search(pattern, name) for pattern in FAMILIES[family].ignored)


def modern_name(name: str) -> str:
  """Returns the present name of a tensor; files of early BERTs have others."""
  stem, dot, leaf = name.rpartition('.')
  return stem + dot + _OLD_LEAVES.get(leaf, leaf)


def our_name(name: str, family: str = 'bert') -> str:
  """Returns the path of a tensor.

  Unknown names become paths too, so that the check of the whole tree can list
  them.

  Args:
    name: Hugging Face's name, with or without the prefix of the family.
    family: Key of FAMILIES.
  """
  table = FAMILIES[family]
  name = name.removeprefix(table.prefix)
  for path, known in table.leaves.items():
    if name == known:
      return path
  name, _, leaf = modern_name(name).rpartition('.')
  layer_index = re.search(r'\.(\d+)\.', name)
  if layer_index:
    name = name.replace(layer_index[0], '.{}.', 1)
  known_modules = {known: module for module, known in table.modules.items()}
  module = known_modules.get(
      name, name.replace('layer.{}', 'layer_{}').replace('.', '/'))
  if leaf == 'weight':
    leaf = _weight_of(module)
  path = f'{module}/{leaf}' if module else leaf
  return path.replace('{}', layer_index[1], 1) if layer_index else path


def part_tensors(
    name: str, value: np.ndarray, family: str = 'bert'
) -> dict[str, np.ndarray]:
  """Returns the tensors of a layer's parts, or the tensor where it has none.

  Args:
    name: Hugging Face's name.
    value: [out, in] or [out] tensor, as files have it.
    family: Key of FAMILIES.

  Returns:
    {name for `our_name`: tensor}; a tensor that cannot be cut into equal parts
    stays whole, so that the check of the whole tree lists it.
  """
  stem, _, leaf = name.rpartition('.')
  for end, names in FAMILIES[family].joined.items():
    if stem.endswith(end) and value.ndim and len(value) % len(names) == 0:
      return {f'{stem}.{part}.{leaf}': share for part, share in zip(
          names, np.split(value, len(names)), strict=True)}
  return {name: value}


def whole(name: str, family: str) -> str:
  """Returns a layer's name in files; a part has that of its joined layer.

  Args:
    name: Hugging Face's name of a module, as in `Family.modules`.
    family: Key of FAMILIES.
  """
  stem, _, part = name.rpartition('.')
  joined = any(stem.endswith(end) and part in names
               for end, names in FAMILIES[family].joined.items())
  return stem if joined else name


def their_name(path: str, family: str = 'bert') -> str:
  """Returns Hugging Face's name of a leaf, without the family's prefix.

  Args:
    path: Path of the leaf.
    family: Key of FAMILIES.

  Raises:
    KeyError: the family has no such leaf.
  """
  table = FAMILIES[family]
  if path in table.leaves:
    return table.leaves[path]
  module, _, leaf = path.rpartition('/')
  module = re.sub(r'layer_\d+', 'layer_{}', module, count=1)
  name = table.modules[module]
  if leaf == _weight_of(module):
    leaf = 'weight'
  return f'{name}.{leaf}'.replace('{}', str(trees.layer_of(path)))


def their_site(site: str, layer_index: int, family: str = 'bert') -> str:
  """Returns Hugging Face's name of a site's module.

  Args:
    site: One of `methods.base.LINEARS`, 'key_value' for the attention, or
      'layer_output'.
    layer_index: Index of the layer.
    family: Key of FAMILIES.
  """
  table = FAMILIES[family]
  if site == 'key_value':
    name = table.modules[LINEARS['query']].rpartition('.')[0]
  elif site == 'layer_output':
    name = table.modules[LINEARS['query']].partition('{}')[0] + '{}'
  else:
    name = table.modules[LINEARS[site]]
  return name.replace('{}', str(layer_index))


def linears(family: str) -> dict[str, str]:
  """Returns {site: linear layer} of a family."""
  return {site: module for site, module in LINEARS.items()
          if module in FAMILIES[family].modules}


def _weight_of(module):
  """Returns this package's name for the leaf 'weight' of a module."""
  last = module.rpartition('/')[2]
  if last in ('words', 'positions', 'segments'):
    return 'embedding'
  return 'scale' if last.endswith('norm') else 'kernel'
