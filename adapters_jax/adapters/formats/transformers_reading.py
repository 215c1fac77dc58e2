"""Reads the head of a task from a whole model of transformers."""

from collections.abc import Mapping
import dataclasses
import os
from typing import Any

from adapters_jax import errors
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters.formats import adapterhub_heads
from adapters_jax.adapters.formats import peft_labels
from adapters_jax.adapters.formats import transformers_heads
from adapters_jax.adapters.formats import weights
from adapters_jax.downloads import json_files
from adapters_jax.model import base as base_lib
from adapters_jax.model import families
from adapters_jax.model import heads
from adapters_jax.model import pretrained
from adapters_jax.model import tensor_files

_SEVERAL = 'multi_label_classification'
# Other messages about heads name this way out, which leaves nothing here.
_WAY = '; give `head=False`'


def read(folder: str) -> adapter_lib.Adapter:
  """Returns the head of a model, as an adapter without methods.

  On the model's own encoder it predicts as the model does.

  Args:
    folder: Folder with config.json and weights.

  Returns:
    The adapter, with the identity of the model as its base. Its `max_length` is
    the longest that the model reads, in spans that of a window.

  Raises:
    errors.UserError: no head, or one that `model.heads` cannot express.
  """
  path = os.path.join(folder, 'config.json')
  values = json_files.read(path)
  shape = pretrained.read_config(folder)
  task = str((values.get('architectures') or [''])[0])
  tensors = _tensors_of(folder, shape.family)
  if not tensors and 'For' not in task:
    raise errors.UserError(
        'it is an encoder without the head of a task; load_base reads it')
  try:
    tree, head_input = transformers_heads.tree_of(
        tensors, shape.family, task, shape.classifier_pooling,
        activation=shape.classifier_activation)
  except errors.UserError as error:
    raise errors.UserError(str(error).partition(_WAY)[0]) from error
  outputs = tree['head']['kernel'].shape[1]
  adapterhub_heads.check_outputs(head_input, outputs)
  row = _row_of(heads.HEADS[head_input], outputs, values)
  adapter = adapter_lib.Adapter(
      (), tree, row.name, family=shape.family, task=row.task, texts=row.texts,
      base=base_lib.identity(folder), max_length=(
          shape.longest if row.outputs != 2 else
          min(row.max_length, shape.longest)))
  if 'id2label' not in values:
    return adapter
  return dataclasses.replace(
      adapter, labels=peft_labels.labels_of(values, path, adapter))


def _tensors_of(folder: str, family: str) -> weights.Tensors:
  """Returns {name: tensor} of all that is in no encoder, nor in pretraining.

  Args:
    folder: Folder with weights.
    family: Key of families.FAMILIES.
  """
  inside = pretrained.names_of_encoder(folder, family)
  # Unknown tensors too: they may change the outputs.
  found = tensor_files.read_folder(folder, lambda name: name not in inside and (
      transformers_heads.is_head(name, family)
      or not families.is_ignored(name, family)))
  return {name: tensor_files.as_float32(name, value)
          for name, value in found.items()}


def _row_of(
    row: heads.Head, outputs: int, values: Mapping[str, Any]
) -> heads.Head:
  """Returns the head for the problem that a config.json states.

  Args:
    row: Head of the tensors.
    outputs: Number of its outputs.
    values: Entries of config.json. Without a problem, one output is a score.

  Raises:
    errors.UserError: several scores, or one class.
  """
  problem = values.get('problem_type')
  if row.layer or not problem:  # On every position, or on choices.
    return row
  if problem == _SEVERAL:
    return heads.of_form('multilabel', row.name)
  if row.has_classes(outputs) != (problem != 'regression'):
    raise errors.UserError(
        f'head: {outputs} outputs and `problem_type={problem}`, as in no head '
        'of this package')
  return row
