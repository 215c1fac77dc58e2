"""Heads of the `adapters` library and of transformers, read and written."""

from collections.abc import Callable, Mapping
import re
from typing import Any

import numpy as np

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters.formats import head_layers
from adapters_jax.adapters.formats import masked_lm_heads
from adapters_jax.adapters.formats import transformers_heads
from adapters_jax.adapters.formats import weights
from adapters_jax.methods import values as values_lib
from adapters_jax.model import encoder
from adapters_jax.model import families
from adapters_jax.model import heads


def head_tree(
    values: Mapping[str, Any] | None, tensors: Mapping[str, np.ndarray],
    family: str = 'bert', model: str = '', activation: str = '',
) -> tuple[trees.Tree, str]:
  """Returns (partial tree of a head, head_input).

  Args:
    values: The 'config' of head_config.json; None for transformers' own head.
    tensors: Tensors of the head's file.
    family: Family of the base.
    model: Name of the model class, if the head is transformers' own.
    activation: The base's `classifier_activation`.

  Raises:
    errors.UserError: a head that `model.heads` does not compute.
  """
  if values is None:
    return transformers_heads.tree_of(
        tensors, family, model, activation=activation)
  # A head is a torch Sequential: dropout 0, dense 1, tanh 2, dropout 3, dense
  # 4.
  stem = next((key.rpartition('.1.weight')[0] for key in tensors
               if re.match(r'heads\..+\.1\.weight$', key)), 'heads')
  for row in heads.HEADS.values():
    for layout in row.adapterhub:
      if layout.matches(values):
        return {part: transformers_heads.linear_of(tensors, f'{stem}.{number}')
                for part, number in layout.layers.items()}, row.name
  raise _unsupported(values)


def _unsupported(values: Mapping[str, Any]) -> errors.UserError:
  """Returns the error for an unknown head; it lists known ones of its type."""
  kind = values.get('head_type')
  layouts = [layout for row in heads.HEADS.values()
             for layout in row.adapterhub]
  known = [_entries(layout.values) for layout in layouts if layout.kind == kind]
  if known:
    wanted = 'one with ' + ' or '.join(known)
  else:
    wanted = 'one of ' + ', '.join(
        dict.fromkeys(layout.kind for layout in layouts))
  own = {name: values.get(name) for name in (
      'layers', 'activation_function', 'use_pooler')}
  return errors.UserError(
      f'head: a {kind} head ({_entries(own)}) is not supported; give {wanted}, '
      'or leave it out with `head=False`')


def _entries(values: Mapping[str, Any]) -> str:
  return ' '.join(f'{name}={value}' for name, value in values.items())


def read(
    values: Mapping[str, Any], tensors: Mapping[str, np.ndarray],
    shape: encoder.BertConfig, base: Callable[[], trees.Tree] | None = None,
) -> tuple[trees.Tree, str, tuple[str, ...]]:
  """Returns (partial tree, head_input, labels) of a head's files.

  Args:
    values: JSON of head_config.json.
    tensors: Tensors of the head's file.
    shape: Shape of the base.
    base: Makes the pretrained tree, to check the decoder of a masked_lm head.

  Raises:
    errors.UserError: a damaged head, or one of an unsupported kind.
  """
  if masked_lm_heads.is_one(values):
    tree = masked_lm_heads.read(values, tensors, shape, base)
    return tree, masked_lm_heads.ROW.name, ()
  tree, head_input = head_tree(
      values_lib.needed(values, 'config'), tensors, shape.family,
      values.get('model_class') or '', shape.classifier_activation)
  if 'pooler' not in tree:  # Then the head reads the pooler of the base.
    families.check_head_input(
        shape, 'pooler' if heads.HEADS[head_input].pooled else head_input)
  outputs = tree['head']['bias'].size
  check_outputs(head_input, outputs)
  # `config` is null for a head of transformers.
  numbered = ((values['config'] or {}).get('label2id')
              or values.get('label2id') or {})
  row = heads.HEADS[head_input]
  if row.choices:
    count = (values['config'] or {}).get('num_choices')
    return tree, head_input, tuple(map(str, range(count or 0)))
  # Spans and scores have no classes, whatever label2id holds.
  named = row.has_classes(outputs)
  labels = tuple(sorted(numbered, key=numbered.get)) if named else ()
  return tree, head_input, labels


def check_outputs(head_input: str, outputs: int) -> None:
  """Raises UserError for a head of spans or choices with wrong outputs.

  Args:
    head_input: Key of heads.HEADS.
    outputs: Number of the head's outputs.
  """
  wanted = heads.HEADS[head_input].outputs
  if heads.HEADS[head_input].choices and outputs != 1:
    raise errors.UserError(
        f'head: {outputs} outputs for each choice, not one')
  if wanted is not None and outputs != wanted:
    raise errors.UserError(
        f'head: {outputs} outputs for each position, not one for the start '
        'and one for the end of an answer')


def config_and_tensors(
    name: str, adapter: adapter_lib.Adapter, base: trees.Tree,
    shape: encoder.BertConfig,
) -> tuple[dict[str, Any], weights.Tensors]:
  """Returns (config, tensors) of a head, with the pooler that it reads.

  Args:
    name: Name of the adapter in the files.
    adapter: Adapter with a head.
    base: Pretrained tree, for leaves of the pooler that the adapter lacks.
    shape: Shape of the base.

  Raises:
    errors.UserError: the library has no such head, or a leaf is in neither.
  """
  if adapter.head is masked_lm_heads.ROW:
    return masked_lm_heads.write(name, adapter, shape)
  if not adapter.head.adapterhub:
    raise errors.UserError(
        f'head: the adapters library has no head {adapter.head.name!r}; give '
        '`head=False` to leave it out')
  stem = f'heads.{name}'

  def tensors(number, dense):
    return {f'{stem}.{number}.weight': np.asarray(dense['kernel']).T,
            f'{stem}.{number}.bias': np.asarray(dense['bias'])}

  layout, found = adapter.head.adapterhub[0], {}
  for part, number in layout.layers.items():
    found |= tensors(number, head_layers.leaves_of(part, adapter, base))
  labels = adapter.labels or tuple(
      f'LABEL_{n}' for n in range(adapter.outputs))
  # The head of choices has one output, the score of each.
  count = len(adapter.labels) or 2 if adapter.head.choices else adapter.outputs
  return {
      'head_type': layout.kind, layout.count: count,
      'activation_function': 'tanh', 'dropout_prob': None,
      'label2id': {label: n for n, label in enumerate(labels)},
      **layout.values, **layout.written}, found
