"""Models of other libraries, one row per family of encoders."""

from collections.abc import Mapping
import dataclasses
from typing import Any

from adapters_jax import errors
from adapters_jax.downloads import assets
from adapters_jax.methods import base
from adapters_jax.model import encoder
from adapters_jax.model import families


@dataclasses.dataclass(frozen=True, eq=False)
class Foreign:
  """A family in transformers, PEFT and `adapters` 1.3.0.

  Attributes:
    class_start: Prefix of the names of its classes, such as 'Bert'.
    classifier: Linear layers of transformers' classification head and the
      activation between them: (first, activation, second).
    classifier_norm: Layer norm after the activation, '' for none. If there is
      one, heads on every position also have the first layer and the norm.
    classifier_entries: Entries of config.json on which the classifier depends.
    in_adapterhub: Whether `adapters` has the family.
    takes_keys: Whether transformers' model takes keys and values from outside,
      as PEFT's prefix tuning needs.
    prefix_pool: Name in `adapters` of the attention in the pool of prefixes.
    sublayers: {end of a sublayer: name in `adapters` of its adapters' module
      below the layer}; an absent one is named like the linear layer, without
      '.dense'.
  """
  class_start: str
  classifier: tuple[str, str, str]
  classifier_norm: str = ''
  classifier_entries: Mapping[str, Any] = dataclasses.field(
      default_factory=dict)
  in_adapterhub: bool = True
  takes_keys: bool = True
  prefix_pool: str = 'self_prefix'
  sublayers: Mapping[str, str] = dataclasses.field(default_factory=dict)


_TANH = ('classifier.dense', 'tanh', 'classifier.out_proj')
# {family of families.FAMILIES: its row}; PEFT's files can hold all of them.
FOREIGN = {
    'bert': Foreign('Bert', ('bert.pooler.dense', 'tanh', 'classifier')),
    'roberta': Foreign('Roberta', _TANH),
    'xlm-roberta': Foreign('XLMRoberta', _TANH),
    'camembert': Foreign('Camembert', _TANH, in_adapterhub=False),
    'mpnet': Foreign('MPNet', _TANH, in_adapterhub=False, takes_keys=False),
    'distilbert': Foreign(
        'DistilBert', ('pre_classifier', 'relu', 'classifier'),
        takes_keys=False, prefix_pool='self',
        sublayers={'attention_output': 'attention_adapters',
                   'ffn_output': 'output_adapters'}),
    'modernbert': Foreign(
        'ModernBert', ('head.dense', 'gelu', 'classifier'), 'head.norm',
        {'classifier_bias': False, 'classifier_activation': 'gelu'},
        in_adapterhub=False, takes_keys=False),
    'deberta-v2': Foreign(
        'DebertaV2', ('pooler.dense', 'gelu', 'classifier'),
        classifier_entries={'pooler_hidden_act': 'gelu'}, takes_keys=False),
    'electra': Foreign(
        'Electra', ('classifier.dense', 'gelu', 'classifier.out_proj')),
}
# {embedded checkpoint: name on the Hugging Face hub}
_HUB = {'minilm-l6': 'sentence-transformers/all-MiniLM-L6-v2',
        'mpnet-base': 'sentence-transformers/all-mpnet-base-v2'}


def check_family(family: str, form: str) -> None:
  """Checks that a format has a family of encoders.

  Args:
    family: Key of families.FAMILIES.
    form: 'adapterhub', 'peft', 'adapter_bert' or 'transformers'.

  Raises:
    errors.UserError: the format lacks the family.
  """
  row = FOREIGN.get(family)
  if form == 'adapter_bert':
    known = family == 'bert'
  else:
    known = row is not None and (
        form != 'adapterhub' or row.in_adapterhub)
  if known:
    return
  reason = ''
  if family == 'modernbert' and form == 'adapterhub':
    # LoRAMergedLinear.wrap keeps torch's random bias where there was none.
    reason = (' (`adapters` 1.3.0 adds random biases to it, so that a file '
              'has other outputs in each process)')
  ways = "'peft' and 'own' hold" if row else "'own' holds"
  raise errors.UserError(
      f'`format={form}`: adapters of {family} cannot be exchanged in it'
      f'{reason}; {ways} them')


def check_adapterhub(
    configs: tuple[base.Method, ...], shape: encoder.BertConfig
) -> None:
  """Raises UserError for methods that `adapters` applies at another place.

  Args:
    configs: Methods of an adapter.
    shape: Shape of the base.
  """
  narrow = shape.embedding_dim not in (None, shape.dim)
  for config in configs:
    if narrow and config.kind == 'embedding':
      raise errors.UserError(
          f'{type(config).__name__}: the adapters library has it before the '
          f'linear layer that widens the embeddings of this {shape.family} '
          f'from {shape.embedding_dim} to {shape.dim}, and not after it')


def adapterhub_notes(
    configs: tuple[base.Method, ...], family: str
) -> list[str]:
  """Returns warnings for users who load a file with `adapters`.

  Args:
    configs: Methods of the adapter.
    family: Key of FOREIGN.
  """
  # prefix_tuning(invert_mask=False) puts ones into a mask that is added.
  if family == 'distilbert' and any(
      config.kind == 'key_value' for config in configs):
    return ["give attn_implementation='eager' to DistilBERT in `adapters` "
            '1.3.0: its other attention adds 1 to the scores of a prefix in '
            'padded batches']
  return []


def check_peft(
    configs: tuple[base.Method, ...], shape: encoder.BertConfig
) -> None:
  """Raises UserError for methods that PEFT lacks for a family.

  Args:
    configs: Methods of an adapter.
    shape: Shape of the base.
  """
  if not FOREIGN[shape.family].takes_keys and any(
      config.kind == 'key_value' for config in configs):
    raise errors.UserError(
        f'PEFT has no prefix tuning for {shape.family}, whose model in '
        'transformers takes no keys and values from outside')


def adapterhub_class(family: str) -> str:
  """Returns the class of a family's model in `adapters`."""
  return f'{FOREIGN[family].class_start}AdapterModel'


def adapterhub_key(key: str, family: str) -> str:
  """Translates a tensor's name in `adapters` from BERT to another family.

  Args:
    key: Name for BERT, without the family's prefix.
    family: Key of FOREIGN.
  """
  return key.replace('.self_prefix.', f'.{FOREIGN[family].prefix_pool}.')


def prefix_of(family: str) -> str:
  """Returns the prefix of all names in models of tasks, such as 'bert.'."""
  return families.FAMILIES[family].prefix


def hub_name(checkpoint: str) -> str:
  """Returns the name of a checkpoint's repository, '' for a folder.

  Args:
    checkpoint: Name or folder of a checkpoint, '' if unknown.
  """
  # Folders of this machine do not exist on others.
  return ('' if assets.is_folder(checkpoint)
          else _HUB.get(checkpoint, checkpoint.partition('@')[0]))


def own_name(name: str) -> str:
  """Returns the checkpoint of a repository; the inverse of `hub_name`.

  Args:
    name: Name on the Hugging Face hub.
  """
  return next((own for own, theirs in _HUB.items() if theirs == name), name)
