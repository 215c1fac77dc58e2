"""Models of other libraries, by family: classes, names and limits."""

from typing import Any

from adapters_jax import errors
from adapters_jax.methods import base
from adapters_jax.model import encoder
from adapters_jax.model import families

# {family: start of the names of transformers' classes}
_CLASSES = {
    'bert': 'Bert', 'roberta': 'Roberta', 'xlm-roberta': 'XLMRoberta',
    'camembert': 'Camembert', 'mpnet': 'MPNet', 'distilbert': 'DistilBert',
    'electra': 'Electra'}
# Families of `adapters` 1.3.0.
_ADAPTERHUB = ('bert', 'roberta', 'xlm-roberta', 'distilbert', 'electra')
# Families whose models in transformers take keys and values from outside.
_PREFIXED = ('bert', 'roberta', 'xlm-roberta', 'camembert', 'electra')
# {embedded checkpoint: name on the Hugging Face hub}
_HUB = {'minilm-l6': 'sentence-transformers/all-MiniLM-L6-v2',
        'mpnet-base': 'sentence-transformers/all-mpnet-base-v2'}


def check(family: str, form: str) -> None:
  """Checks that a format has a family of encoders.

  Args:
    family: Key of families.FAMILIES.
    form: 'adapterhub', 'peft' or 'adapter_bert'.

  Raises:
    errors.UserError: it has not.
  """
  known = {'adapterhub': _ADAPTERHUB, 'peft': tuple(_CLASSES)}.get(
      form, ('bert',))
  if family in known:
    return
  reason = ''
  if family == 'modernbert' and form == 'adapterhub':
    # LoRAMergedLinear.wrap keeps torch's random bias where there was none.
    reason = (' (`adapters` 1.3.0 adds random biases to it, so that a file '
              'has other outputs in each process)')
  ways = "'peft' and 'own' hold" if family in _CLASSES else "'own' holds"
  raise errors.UserError(
      f'`format={form}`: adapters of {family} cannot be exchanged in it'
      f'{reason}; {ways} them')


def check_adapterhub(
    configs: tuple[base.Method, ...], shape: encoder.BertConfig
) -> None:
  """Raises UserError for methods that `adapters` has in another place.

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
    family: Key of families.FAMILIES.
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
  if shape.family not in _PREFIXED and any(
      config.kind == 'key_value' for config in configs):
    raise errors.UserError(
        f'PEFT has no prefix tuning for {shape.family}, whose model in '
        'transformers takes no keys and values from outside')


def adapterhub_class(family: str) -> str:
  """Returns the class of a family's model in `adapters`."""
  return f'{_CLASSES[family]}AdapterModel'


def adapterhub_key(key: str, family: str) -> str:
  """Returns a tensor's name of BERT in `adapters` for another family.

  Args:
    key: Name, without the family's prefix.
    family: Key of families.FAMILIES.
  """
  # DistilBERT's attention is called 'self' there, and BERT's 'self_prefix'.
  return (key.replace('.self_prefix.', '.self.') if family == 'distilbert'
          else key)


def class_of(family: str, task: str) -> str:
  """Returns the class of a family's model in transformers.

  Args:
    family: Key of families.FAMILIES.
    task: 'SequenceClassification' or 'QuestionAnswering'.
  """
  return f'{_CLASSES[family]}For{task}'


def prefix_of(family: str) -> str:
  """Returns the start of all names in models of tasks, such as 'bert.'."""
  return families.FAMILIES[family].prefix


def hub_name(checkpoint: str) -> str:
  """Returns the name of a checkpoint on the hub, '' for a folder or none.

  Args:
    checkpoint: Name of a checkpoint, or the identity of a folder.
  """
  if checkpoint in _HUB:
    return _HUB[checkpoint]
  # Folders of this machine mean nothing elsewhere.
  return checkpoint


def common_entries(
    family: str, dim: int, name: str, model: str, version: str
) -> dict[str, Any]:
  """Returns the entries of AdapterHub's files that describe the base.

  Args:
    family: Key of families.FAMILIES.
    dim: Width of the encoder.
    name: Name of the adapter.
    model: Name of the base on the hub, '' if unknown.
    version: Version of the library.
  """
  return {'hidden_size': dim, 'model_class': adapterhub_class(family),
          'model_name': model, 'model_type': family, 'name': name,
          'version': version}
