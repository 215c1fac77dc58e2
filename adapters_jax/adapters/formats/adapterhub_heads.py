"""Heads of the `adapters` library and of transformers, read and written."""

from collections.abc import Mapping
import re
from typing import Any

import numpy as np

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters.formats import transformers_heads
from adapters_jax.adapters.formats import weights
from adapters_jax.methods import values as values_lib
from adapters_jax.model import encoder
from adapters_jax.model import families


def head_tree(
    values: Mapping[str, Any] | None, tensors: Mapping[str, np.ndarray],
    family: str = 'bert',
) -> tuple[trees.Tree, str]:
  """Returns (partial tree of a head, head_input).

  Args:
    values: The 'config' of head_config.json; None for transformers' own head.
    tensors: Tensors of the head's file.
    family: Family of the base.

  Raises:
    errors.UserError: a head that `model.heads` does not compute.
  """
  def dense(number):
    return transformers_heads.linear_of(tensors, f'{stem}.{number}')

  if values is None:
    return transformers_heads.tree_of(tensors, family)
  layers, pooled = values.get('layers', 1), values.get('use_pooler', False)
  # A head is a torch Sequential: dropout 0, dense 1, tanh 2, dropout 3, dense
  # 4.
  stem = next((key.rpartition('.1.weight')[0] for key in tensors
               if re.match(r'heads\..+\.1\.weight$', key)), 'heads')
  if (values.get('head_type'), layers) == ('question_answering', 1):
    return {'head': dense(1)}, 'tokens'
  if values.get('head_type') != 'classification' or (layers, pooled) not in (
      (1, False), (1, True), (2, False)) or (
          layers == 2 and values.get('activation_function') != 'tanh'):
    raise errors.UserError(
        f'head: a {values.get("head_type")} head of {layers} layers '
        f'({values.get("activation_function")}, use_pooler={pooled}) is not '
        'supported; for classification one linear layer is, or two with tanh '
        'without the pooler, and for question answering one; give `head=false` '
        'to leave it out')
  if layers == 1:
    return {'head': dense(1)}, 'pooler' if pooled else 'cls'
  # Two layers with tanh between them are a pooler of the task's own.
  return {'pooler': dense(1), 'head': dense(4)}, 'pooler'


def read(
    values: Mapping[str, Any], tensors: Mapping[str, np.ndarray],
    shape: encoder.BertConfig,
) -> tuple[trees.Tree, str, tuple[str, ...]]:
  """Returns (partial tree, head_input, labels) of a head's files.

  Args:
    values: JSON of head_config.json.
    tensors: Tensors of the head's file.
    shape: Shape of the base.

  Raises:
    errors.UserError: a damaged head, or one of an unsupported kind.
  """
  tree, head_input = head_tree(
      values_lib.needed(values, 'config'), tensors, shape.family)
  if 'pooler' not in tree:  # Then the head reads that of the base.
    families.check_head_input(shape, head_input)
  outputs = tree['head']['bias'].size
  check_outputs(head_input, outputs)
  # `config` is null for a head of transformers.
  numbered = ((values['config'] or {}).get('label2id')
              or values.get('label2id') or {})
  # Spans and scores have no classes, whatever label2id holds.
  named = head_input != 'tokens' and outputs > 1
  labels = tuple(sorted(numbered, key=numbered.get)) if named else ()
  return tree, head_input, labels


def check_outputs(head_input: str, outputs: int) -> None:
  """Raises UserError for a head on every position unless it finds spans.

  Args:
    head_input: Input of the head, 'tokens' for every position.
    outputs: Number of the head's outputs.
  """
  if head_input == 'tokens' and outputs != 2:
    raise errors.UserError(
        f'head: {outputs} outputs for each position, not one for the start '
        'and one for the end of an answer')


def config_and_tensors(
    name: str, adapter: adapter_lib.Adapter, base: trees.Tree
) -> tuple[dict[str, Any], weights.Tensors]:
  """Returns (config, tensors) of a head, with the pooler that it reads.

  Args:
    name: Name of the adapter in the files.
    adapter: Adapter with a head.
    base: Pretrained tree, for the pooler where the adapter has none.
  """
  stem = f'heads.{name}'

  def tensors(number, dense):
    return {f'{stem}.{number}.weight': np.asarray(dense['kernel']).T,
            f'{stem}.{number}.bias': np.asarray(dense['bias'])}

  head, pooled = adapter.tuned['head'], adapter.head_input == 'pooler'
  answers = adapter.head_input == 'tokens'
  found = tensors(4 if pooled else 1, head)
  # As the first layer of the head: only there can a tuned pooler be saved.
  if pooled:
    found |= tensors(1, adapter.tuned.get('pooler') or base['pooler'])
  labels = adapter.labels or tuple(
      f'LABEL_{n}' for n in range(adapter.outputs))
  kind = ({'head_type': 'question_answering'} if answers else
          {'head_type': 'classification', 'bias': True, 'use_pooler': False})
  return {
      **kind, 'num_labels': adapter.outputs, 'layers': 2 if pooled else 1,
      'activation_function': 'tanh', 'dropout_prob': None,
      'label2id': {label: n for n, label in enumerate(labels)}}, found
