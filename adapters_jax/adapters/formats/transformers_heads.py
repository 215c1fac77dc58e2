"""Heads of transformers' models of tasks, by family."""

from collections.abc import Callable, Mapping

import numpy as np

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters.formats import head_layers
from adapters_jax.adapters.formats import models
from adapters_jax.adapters.formats import weights
from adapters_jax.methods import values as values_lib
from adapters_jax.model import families
from adapters_jax.model import heads

_SHARED = [row for row in heads.HEADS.values() if row.transformers]
# Outermost modules of heads, also of kinds that are not supported.
_MODULES = ('classifier', 'head', 'pre_classifier', 'qa_outputs', 'score',
            'sequence_summary')
# {activation between the layers of a classifier: name in heads.HEADS}
_OF_TEXTS = {'tanh': 'pooler', 'relu': 'cls_relu', 'gelu': 'cls_gelu'}


def activation_of(head_input: str) -> str:
  """Returns the activation between a head's two layers, '' for other heads."""
  return next((kind for kind, name in _OF_TEXTS.items()
               if name == head_input.removeprefix('multilabel_')), '')


def class_of(family: str, head_input: str) -> str:
  """Returns the class of transformers that has a head.

  Args:
    family: Key of models.FOREIGN.
    head_input: Key of heads.HEADS, one that transformers has.
  """
  row = heads.HEADS[head_input]
  return f'{models.FOREIGN[family].class_start}For{row.transformers}'


def is_head(key: str, family: str) -> bool:
  """Returns whether a tensor, without the family's prefix, belongs to a head.

  Args:
    key: Name of the tensor.
    family: Key of models.FOREIGN.
  """
  stem = key.rpartition('.')[0]
  return (key.partition('.')[0] in _MODULES
          or stem in _classifier(family).values())


def tree_of(
    tensors: Mapping[str, np.ndarray], family: str, task: str = '',
    pooling: str = 'cls', base: Callable[[], trees.Tree] | None = None,
    activation: str = '',
) -> tuple[trees.Tree, str]:
  """Returns (partial tree of a head, head_input).

  Args:
    tensors: {name: tensor} of the head.
    family: Key of models.FOREIGN.
    task: PEFT's `task_type`, or the name of transformers' class; '' if unknown.
    pooling: The base's `classifier_pooling`.
    base: Makes the pretrained tree, for layers that files of PEFT leave out.
    activation: The base's `classifier_activation`.

  Raises:
    errors.UserError: a tensor is missing, or the head is of another kind than
      those of `model.heads`.
  """
  row = _row_of(tensors, family, task, pooling, activation)
  layers = _layers(row, family)
  for key in tensors:
    if key.rpartition('.')[0] not in layers.values():
      raise errors.UserError(
          f'head: {key} has no place in it; give `head=False` to leave the '
          'head out')
  if 'head_norm' in layers:
    return _normed(tensors, layers, base), row.name
  return {part: linear_of(tensors, name)
          for part, name in layers.items()}, row.name


def _normed(
    tensors: Mapping[str, np.ndarray], layers: Mapping[str, str],
    base: Callable[[], trees.Tree] | None,
) -> trees.Tree:
  """Returns the leaves of a head with a norm; see `tree_of`.

  Args:
    tensors: {name: tensor} of the head.
    layers: {part of the tree: name of the layer}.
    base: Makes the pretrained tree.
  """
  first, norm = layers['head_first'], layers['head_norm']
  found = {'head': linear_of(tensors, layers['head'])}
  if f'{first}.weight' in tensors:
    if f'{first}.bias' in tensors:
      raise errors.UserError(
          f'head: {first} has a bias, as in no head of this package; give '
          '`head=False` to leave the head out')
    leaves = {name: np.asarray(tensors[f'{norm}.{theirs}'], np.float32)
              for name, theirs in {'scale': 'weight', 'bias': 'bias'}.items()
              if f'{norm}.{theirs}' in tensors}
    kernel = linear_of(tensors, first)['kernel']
    return {**found, 'head_first': {'kernel': kernel}, 'head_norm': leaves}
  start = base() if base else {}
  if 'head_first' not in start:
    raise errors.UserError(
        f'head: {first} and {norm} are neither in the file nor in the base; '
        "save them with modules_to_save=['classifier', 'head'], or give "
        '`head=False` to leave the head out')
  return {**found, **{
      part: {name: np.asarray(leaf, np.float32)
             for name, leaf in start[part].items()}
      for part in ('head_first', 'head_norm')}}


def _row_of(
    tensors: Mapping[str, np.ndarray], family: str, task: str, pooling: str,
    activation: str,
) -> heads.Head:
  """Returns the head of some tensors; see `tree_of`."""
  for row in _SHARED:
    if task and (task == row.peft_task
                 or task.endswith(f'For{row.transformers}')):
      if row.layer and models.FOREIGN[family].classifier_norm:
        raise _other_layers(class_of(family, row.name))
      return row if row.layer else _of_texts(family, pooling, activation)
  # Refuse by task, as many classes name their layer 'classifier'.
  if task.isupper() or 'For' in task:
    known = ', '.join(dict.fromkeys(row.transformers for row in _SHARED))
    raise errors.UserError(
        f'head: {task} has a kind of head that is not read; those of {known} '
        'are; give `head=False` to leave it out')
  for row in _SHARED:  # A layer with a unique name identifies the head.
    if row.layer and f'{row.layer}.weight' in tensors and (
        row.layer not in _classifier(family).values()):
      return row
  return _of_texts(family, pooling, activation)


def _of_texts(family: str, pooling: str, activation: str) -> heads.Head:
  """Returns the head of this package that equals a family's classifier.

  Args:
    family: Key of models.FOREIGN.
    pooling: The base's `classifier_pooling`.
    activation: The base's `classifier_activation`.

  Raises:
    errors.UserError: no head does.
  """
  row = models.FOREIGN[family]
  activation = activation or row.classifier[1]
  if not row.classifier_norm and activation in _OF_TEXTS:
    return heads.HEADS[_OF_TEXTS[activation]]
  if not row.classifier_norm or not pooling:
    raise _other_layers(f'{row.class_start}ForSequenceClassification')
  return heads.HEADS[f'{pooling}_norm']


def _other_layers(name: str) -> errors.UserError:
  """Returns the error for a class of transformers with other layers."""
  return errors.UserError(
      f'head: {name} has layers that no head of this package has; give '
      '`head=False` to leave the head out')


def linear_of(tensors: Mapping[str, np.ndarray], stem: str) -> trees.Tree:
  """Returns the leaves of a linear layer; an absent bias is zero.

  Args:
    tensors: {name: tensor}.
    stem: Name of the layer.

  Raises:
    errors.UserError: there is no such layer, or its shapes do not fit.
  """
  kernel = values_lib.needed(dict(tensors), f'{stem}.weight').T
  bias = tensors.get(f'{stem}.bias', np.zeros(kernel.shape[-1:]))
  if kernel.ndim != 2 or bias.shape != kernel.shape[1:]:
    raise errors.UserError(
        f'head: {stem} has a weight {kernel.shape[::-1]} and a bias '
        f'{bias.shape}, which do not fit')
  return {'kernel': np.asarray(kernel, np.float32),
          'bias': np.asarray(bias, np.float32)}


def tensors_of(
    adapter: adapter_lib.Adapter, base: trees.Tree, family: str,
    pooling: str = 'cls', activation: str = '',
) -> weights.Tensors:
  """Returns the tensors of an adapter's head.

  Args:
    adapter: Adapter with a head.
    base: Pretrained tree, for leaves of a first layer that the adapter lacks.
    family: Key of models.FOREIGN.
    pooling: The base's `classifier_pooling`.
    activation: The base's `classifier_activation`.

  Raises:
    errors.UserError: transformers has no such head for the family, or a leaf
      is in neither.
  """
  row = adapter.head
  if row.layer and models.FOREIGN[family].classifier_norm:
    raise _other_layers(class_of(family, row.name))
  # The head of choices has a pooler, but not those of all families.
  if not row.layer or row.choices and not families.FAMILIES[family].pooler:
    _check_layers(row, family, _of_texts(family, pooling, activation))
  found = {}
  for part, name in _layers(row, family).items():
    for leaf, value in head_layers.leaves_of(part, adapter, base).items():
      end = 'bias' if leaf == 'bias' else 'weight'
      found[f'{name}.{end}'] = np.asarray(value, np.float32).T
  return found


def _check_layers(row: heads.Head, family: str, wanted: heads.Head) -> None:
  """Raises UserError for a head with other layers than transformers' has.

  Args:
    row: Head of an adapter.
    family: Key of models.FOREIGN.
    wanted: Head of one label that equals transformers' classifier.
  """
  if row.least_classes is None and not row.choices:
    raise errors.UserError(
        f'head: no class of transformers is known for the head {row.name!r}; '
        'give `head=False` to leave it out')
  pooler, foreign = families.FAMILIES[family].pooler, models.FOREIGN[family]
  name = class_of(
      family, 'multiple_choice_pooler' if row.choices else wanted.name)
  if row.choices and not pooler:
    raise _other_layers(name)
  form = 'multilabel' if row.multilabel else 'single'
  if row is heads.of_form(form, wanted.name):
    return
  between = activation_of(wanted.name) or foreign.classifier[1]
  kind = ('reads the pooler' if pooler else
          f'has two layers with {between} '
          f'{"and a norm " if foreign.classifier_norm else ""}between them')
  # Without a pooler, no run trains a head of one.
  way = ('' if wanted.pooled and not pooler else
         f'train with `head_input={wanted.name}`, or ')
  raise errors.UserError(
      f"head: {name}'s {kind}; {way}give `head=False`")


def holds_pooler(family: str, head_input: str = 'pooler') -> bool:
  """Returns whether the tanh layer belongs to the head, not to the encoder.

  Args:
    family: Key of models.FOREIGN.
    head_input: Key of heads.HEADS.
  """
  return 'pooler' in _layers(heads.HEADS[head_input], family)


def has_first(family: str) -> bool:
  """Returns whether the classifier of a family has a first layer of its own."""
  return len(_classifier(family)) > 1


def _layers(row: heads.Head, family: str) -> dict[str, str]:
  """Returns {part of our tree: name} of the layers of a head."""
  return ({'head': row.layer} if row.layer
          else _classifier(family, row.pooled))


def _classifier(family: str, pooled: bool = False) -> dict[str, str]:
  """Returns {part of our tree: name} of the layers of a classifier.

  Args:
    family: Key of models.FOREIGN.
    pooled: Whether its first layer is a pooler, with tanh after it.
  """
  first, _, last = models.FOREIGN[family].classifier
  if norm := models.FOREIGN[family].classifier_norm:
    return {'head_first': first, 'head_norm': norm, 'head': last}
  if first.startswith(models.prefix_of(family)):
    return {'head': last}  # The first layer is the encoder's own pooler.
  return {'pooler' if pooled else 'head_first': first, 'head': last}
