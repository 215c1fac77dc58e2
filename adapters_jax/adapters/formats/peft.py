"""Adapter folders of PEFT, read and written."""

from collections.abc import Mapping
import os
from typing import Any

from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import folders
from adapters_jax.adapters.formats import models
from adapters_jax.adapters.formats import peft_labels
from adapters_jax.adapters.formats import peft_names
from adapters_jax.adapters.formats import peft_pooler
from adapters_jax.adapters.formats import peft_reading
from adapters_jax.adapters.formats import peft_writing
from adapters_jax.adapters.formats import transformers_heads
from adapters_jax.adapters.formats import weights
from adapters_jax.downloads import atomic
from adapters_jax.downloads import json_files
from adapters_jax.model import encoder

CONFIG = folders.ADAPTER_CONFIG
WEIGHTS = 'adapter_model.safetensors'


def read(
    folder: str, shape: encoder.BertConfig, head: bool = True,
    base: peft_pooler.Base | None = None,
) -> adapter_lib.Adapter:
  """Returns the adapter of a folder, with its head and saved modules.

  Args:
    folder: Folder with adapter_config.json and adapter_model.safetensors or
      .bin.
    shape: Shape of the base.
    head: Whether to read the head.
    base: Function that makes the base. It supplies the pooler, for a LoRA of
      it, and the layers before a classifier, for a file without them.

  Raises:
    errors.UserError: a file is missing, damaged or not supported.
  """
  adapter = peft_reading.from_tensors(
      json_files.read(os.path.join(folder, CONFIG)),
      weights.read(folder, WEIGHTS, 'adapter_model.bin'), shape, head, base)
  return peft_labels.read(folder, adapter)


def write(
    folder: str, adapter: adapter_lib.Adapter, shape: encoder.BertConfig,
    base: trees.Tree | None = None, model: str = '',
) -> list[str]:
  """Writes an adapter as a folder for `PeftModel.from_pretrained`.

  Args:
    folder: Folder, created if absent.
    adapter: Adapter; layer norms alone become LN_TUNING. A head must act on
      every position or read the pooler, as in transformers.
    shape: Shape of the base.
    base: Pretrained tree, for the first layer of a head with two layers.
    model: Name of the base on the Hugging Face hub, '' if unknown.

  Returns:
    Notes for the user.

  Raises:
    errors.UserError: PEFT has no such method, or no such head.
  """
  values, tensors = peft_writing.to_tensors(adapter, shape, base)
  values['base_model_name_or_path'] = model or None
  if not adapter.head.dense:  # Names of the bare encoder lack the prefix.
    values['task_type'] = 'FEATURE_EXTRACTION'
    start = peft_names.STEM + models.prefix_of(shape.family)
    tensors = {
        peft_names.STEM + key.removeprefix(start) if key.startswith(start)
        else key: value for key, value in tensors.items()}
  os.makedirs(folder, exist_ok=True)  # Only after all that can fail.
  weights.remove(folder, peft_labels.NAME)
  atomic.write_json(os.path.join(folder, CONFIG), values)
  weights.write(os.path.join(folder, WEIGHTS), tensors)
  peft_labels.write(folder, adapter)
  return _notes(adapter, shape, values)


def _notes(
    adapter: adapter_lib.Adapter, shape: encoder.BertConfig,
    values: Mapping[str, Any],
) -> list[str]:
  """Returns notes for users who load a folder with PEFT.

  Args:
    adapter: Adapter.
    shape: Shape of the base.
    values: Entries of adapter_config.json.
  """
  notes = []
  if values.get('r', 0) > max(
      [getattr(config, 'r', 0) for config in adapter.methods], default=0):
    notes.append(
        f'LoRAs of layers that {shape.family} joins are one of rank '
        f'{values["r"]}')
  if not adapter.head.dense:
    notes.append('load it with SentenceTransformer(base).load_adapter(folder)')
    return notes
  if adapter.outputs is None:
    notes.append(
        'the names are those of a model with a head, such as '
        f'{transformers_heads.class_of(shape.family, "pooler")}; PEFT does not '
        'find them in a bare encoder')
    return notes
  name = transformers_heads.class_of(shape.family, adapter.head_input)
  several = (" and problem_type='multi_label_classification'"
             if adapter.head.multilabel else '')
  count = ('' if adapter.head.choices else
           f' with num_labels={adapter.outputs}{several}')
  notes.append(f'load it on {name}{count}')
  if adapter.labels and not adapter.head.choices:
    notes.append(peft_labels.NOTE)
  if (adapter.head.transformers == 'SequenceClassification'
      and transformers_heads.has_first(shape.family)
      and any(config.kind == 'key_value' for config in adapter.methods)):
    notes.append(
        'peft 0.21.2 with transformers 4.57 fails on classes after a prefix of '
        f'{shape.family}; spans (`QUESTION_ANS`) work')
  if adapter.head_input == 'tokens' and shape.segments > 1:
    notes.append(
        'PeftModelForQuestionAnswering (peft 0.21.2) drops token_type_ids; '
        'call its get_base_model(), unless the method is a prompt or a prefix')
  return notes
