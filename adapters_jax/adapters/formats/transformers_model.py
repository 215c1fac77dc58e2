"""Folders of transformers: a model of a task with an adapter folded in."""

from typing import Any

import numpy as np

from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters.formats import folded
from adapters_jax.adapters.formats import head_layers
from adapters_jax.adapters.formats import models
from adapters_jax.adapters.formats import transformers_heads
from adapters_jax.adapters.formats import weights
from adapters_jax.downloads import weight_files
from adapters_jax.model import families
from adapters_jax.model import heads

# Entries of config.json about a head, of the base's own task or of ours.
_OF_HEADS = ('id2label', 'label2id', 'num_labels', '_num_labels',
             'problem_type')
_NAMELESS = ('LABEL_0',)  # In place of a score's name, as transformers has it.


def write(
    folder: str, adapter: adapter_lib.Adapter, checkpoint: str
) -> list[str]:
  """Writes a folder for `from_pretrained` of transformers' Auto classes.

  Args:
    folder: Folder, created if absent.
    adapter: Adapter whose methods are changes of weights, or fine-tuned leaves.
      Without a head, the folder holds the encoder alone.
    checkpoint: Name or folder of its base.

  Returns:
    Notes for the user.

  Raises:
    errors.UserError: an adapter that cannot be folded into its base, or a head
      that transformers does not have for the family.
  """
  encoder = folded.fold(folder, adapter, checkpoint)
  family = encoder.shape.family
  values = {name: value for name, value in encoder.values.items()
            if name not in _OF_HEADS}
  if adapter.outputs is None:
    tensors = _named(encoder, '')
    values['architectures'] = [f'{models.FOREIGN[family].class_start}Model']
  else:
    tensors = {**_named(encoder, models.prefix_of(family)),
               **_above(encoder, adapter)}
    values |= _entries(adapter, family)
  folded.write(folder, encoder, tensors, values)
  # With these of an earlier export, it would be one for embeddings.
  weights.remove(folder, weight_files.MODULES, weight_files.LENGTHS,
                 weight_files.PROMPTS)
  return _notes(adapter, encoder.shape.longest)


def auto_class(adapter: adapter_lib.Adapter) -> str:
  """Returns the class of transformers that loads the folder of an adapter."""
  row = adapter.head
  kind = '' if adapter.outputs is None else row.transformers
  return f'AutoModelFor{kind}' if kind else 'AutoModel'


def _named(encoder: folded.Encoder, prefix: str) -> weights.Tensors:
  """Returns the tensors of an encoder by the names of today's models.

  Args:
    encoder: Encoder.
    prefix: Start of the names; '' for a bare encoder. With one, the pooler is
      left out, which few models of tasks have.
  """
  family = encoder.shape.family
  own = models.prefix_of(family)
  return {
      prefix + families.modern_name(name).removeprefix(own): value
      for name, value in encoder.tensors.items()
      if not families.is_ignored(name, family) and not (
          prefix and _is_pooler(name, family))}


def _is_pooler(name: str, family: str) -> bool:
  return families.our_name(name, family).startswith('pooler/')


def _above(
    encoder: folded.Encoder, adapter: adapter_lib.Adapter
) -> weights.Tensors:
  """Returns the tensors of the head, and of the pooler if it reads one.

  Args:
    encoder: Encoder.
    adapter: Adapter with a head.

  Raises:
    errors.UserError: transformers has no such head for the family, or neither
      adapter nor base has a leaf of the pooler.
  """
  family = encoder.shape.family
  base = {'pooler': {
      families.our_name(name, family).partition('/')[2]: value.T
      for name, value in encoder.tensors.items() if _is_pooler(name, family)}}
  found = transformers_heads.tensors_of(
      adapter, base, family,
      _pooling_of(adapter) or encoder.shape.classifier_pooling,
      _activation_of(adapter, family))
  if adapter.head.pooled and not transformers_heads.holds_pooler(
      family, adapter.head_input):
    pooler = head_layers.leaves_of('pooler', adapter, base)
    for leaf, value in pooler.items():
      name = families.their_name(f'pooler/{leaf}', family)
      found[models.prefix_of(family) + name] = np.asarray(value, np.float32).T
  return found


def _pooling_of(adapter: adapter_lib.Adapter) -> str:
  """Returns the `classifier_pooling` of a head with a norm, '' for others."""
  for name in heads.classification.NORMED:
    if adapter.head_input.endswith(name):
      return name.partition('_')[0]
  return ''


def _activation_of(adapter: adapter_lib.Adapter, family: str) -> str:
  """Returns the activation of a classifier, '' if its family has one only."""
  several = 'pooler_hidden_act' in models.FOREIGN[family].classifier_entries
  return (transformers_heads.activation_of(adapter.head_input) if several
          else '')


def _entries(adapter: adapter_lib.Adapter, family: str) -> dict[str, Any]:
  """Returns the entries of config.json about a head.

  Args:
    adapter: Adapter with a head.
    family: Key of models.FOREIGN.
  """
  row = adapter.head
  values: dict[str, Any] = {
      'architectures': [transformers_heads.class_of(family, row.name)]}
  if row.least_classes is None:  # Ends of a span, or choices.
    return values
  # The number of names is that of the outputs, also for a score.
  labels = adapter.classes or _NAMELESS
  values['id2label'] = {str(n): label for n, label in enumerate(labels)}
  values['label2id'] = {label: n for n, label in enumerate(labels)}
  if row.layer:  # On every position.
    return values
  values['problem_type'] = (
      'multi_label_classification' if row.multilabel else
      'single_label_classification' if adapter.classes else 'regression')
  values |= models.FOREIGN[family].classifier_entries
  if activation := _activation_of(adapter, family):
    values['pooler_hidden_act'] = activation
  if pooling := _pooling_of(adapter):
    values['classifier_pooling'] = pooling
  return values


def _notes(adapter: adapter_lib.Adapter, longest: int) -> list[str]:
  """Returns notes for users who load a folder with transformers.

  Args:
    adapter: Adapter, as it is written.
    longest: Longest input of the base in tokens.
  """
  row = adapter.head
  notes = [f'load it with {auto_class(adapter)}.from_pretrained(folder)']
  if not row.dense:
    notes.append("the pooling of the embeddings is left out; the format "
                 "'sentence_transformers' holds it")
  elif adapter.max_length < longest:
    notes.append(
        f'the files do not state `max_length={adapter.max_length}`: give it '
        'to the tokenizer, with truncation=True')
  if adapter.outputs is not None and adapter.threshold is not None:
    notes.append(
        f'the files do not state `threshold={adapter.threshold}`: compare the '
        'probabilities with it')
  return notes
