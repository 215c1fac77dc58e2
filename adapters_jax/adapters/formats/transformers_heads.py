"""Heads of transformers' models of tasks, by family."""

from collections.abc import Collection, Mapping

import numpy as np

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters.formats import models
from adapters_jax.adapters.formats import weights
from adapters_jax.methods import values as values_lib
from adapters_jax.model import heads

_SHARED = [row for row in heads.HEADS.values() if row.transformers]
# Outermost modules of heads, of kinds that are not read too.
_MODULES = ('classifier', 'pre_classifier', 'qa_outputs', 'score',
            'sequence_summary')


def class_of(family: str, head_input: str) -> str:
  """Returns the class of transformers that has a head.

  Args:
    family: Key of models.FOREIGN.
    head_input: Key of heads.HEADS, one that transformers has.
  """
  row = heads.HEADS[head_input]
  return f'{models.FOREIGN[family].class_start}For{row.transformers}'


def is_head(key: str, family: str) -> bool:
  """Returns whether a tensor, without the family's prefix, is of a head.

  Args:
    key: Name of the tensor.
    family: Key of models.FOREIGN.
  """
  stem = key.rpartition('.')[0]
  return (key.partition('.')[0] in _MODULES
          or stem in _classifier(family).values())


def tree_of(
    tensors: Mapping[str, np.ndarray], family: str, task: str = ''
) -> tuple[trees.Tree, str]:
  """Returns (partial tree of a head, head_input).

  Args:
    tensors: {name: tensor} of the head.
    family: Key of models.FOREIGN.
    task: PEFT's `task_type`, or the name of transformers' class; '' if unknown.

  Raises:
    errors.UserError: a tensor is missing, or the head is of another kind than
      those of `model.heads`.
  """
  row = _row_of(tensors, family, task)
  if row.pooled:
    _check_activation(family)
  layers = _layers(row, family)
  for key in tensors:
    if key.rpartition('.')[0] not in layers.values():
      raise errors.UserError(
          f'head: {key} has no place in it; give `head=false` to leave the '
          'head out')
  return {part: linear_of(tensors, name)
          for part, name in layers.items()}, row.name


def _row_of(
    tensors: Mapping[str, np.ndarray], family: str, task: str
) -> heads.Head:
  """Returns the head of some tensors; see `tree_of`."""
  for row in _SHARED:
    if task and (task == row.peft_task
                 or task.endswith(f'For{row.transformers}')):
      return row
  # Tokens, choices and others: many classes name their layer 'classifier'.
  if task.isupper() or 'For' in task:
    known = ', '.join(row.transformers for row in _SHARED)
    raise errors.UserError(
        f'head: {task} has a kind of head that is not read; those of {known} '
        'are; give `head=false` to leave it out')
  for row in _SHARED:  # A layer of a name of its own shows the head.
    if row.layer and f'{row.layer}.weight' in tensors and (
        row.layer not in _classifier(family).values()):
      return row
  return heads.HEADS['pooler']


def linear_of(tensors: Mapping[str, np.ndarray], stem: str) -> trees.Tree:
  """Returns the leaves of a linear layer; an absent bias is zero.

  Args:
    tensors: {name: tensor}.
    stem: Name of the layer.
  """
  kernel = values_lib.needed(dict(tensors), f'{stem}.weight').T
  bias = tensors.get(f'{stem}.bias', np.zeros(kernel.shape[1]))
  return {'kernel': np.asarray(kernel, np.float32),
          'bias': np.asarray(bias, np.float32)}


def tensors_of(
    adapter: adapter_lib.Adapter, base: trees.Tree, family: str
) -> weights.Tensors:
  """Returns the tensors of an adapter's head.

  Args:
    adapter: Adapter with a head.
    base: Pretrained tree, for a first layer that the adapter does not have.
    family: Key of models.FOREIGN.

  Raises:
    errors.UserError: transformers has no such head for the family.
  """
  row = adapter.head
  if row.pooled or not row.transformers:
    _check_activation(family)
  if not row.transformers:
    raise errors.UserError(
        f'head: {class_of(family, "pooler")}\'s reads the pooler; train with '
        '`head_input=pooler` for PEFT, or give `head=false`')
  found = {}
  for part, name in _layers(row, family).items():
    leaves = adapter.tuned.get(part) or base[part]
    found[f'{name}.weight'] = np.asarray(leaves['kernel'], np.float32).T
    found[f'{name}.bias'] = np.asarray(leaves['bias'], np.float32)
  return found


def holds_pooler(family: str) -> bool:
  """Returns whether the tanh layer belongs to the head, not to the encoder."""
  return 'pooler' in _classifier(family)


def modules(keys: Collection[str]) -> list[str]:
  """Returns the modules of a head as PEFT saves them: the outermost ones."""
  return sorted({key.partition('.')[0] for key in keys})


def _layers(row: heads.Head, family: str) -> dict[str, str]:
  """Returns {part of our tree: name} of the layers of a head."""
  return {'head': row.layer} if row.layer else _classifier(family)


def _classifier(family: str) -> dict[str, str]:
  """Returns {part of our tree: name} of the layers of a classifier."""
  first, _, last = models.FOREIGN[family].classifier
  if first.startswith(models.prefix_of(family)):
    return {'head': last}  # The first layer is the encoder's own pooler.
  return {'pooler': first, 'head': last}


def _check_activation(family: str) -> None:
  """Raises UserError for a head with another activation than tanh."""
  _, activation, _ = models.FOREIGN[family].classifier
  if activation != 'tanh':
    raise errors.UserError(
        f'head: {class_of(family, "pooler")}\'s has two layers with '
        f'{activation} between them, which no head of this package has; give '
        '`head=false` to leave it out')
