"""Adds a LoRA of the pooler in PEFT's files to the base's pooler.

Methods of this package act only in the layers of the encoder, so an update of
the pooler becomes a tuned pooler, as if the file had saved the whole layer.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters.formats import peft_names
from adapters_jax.methods import lora
from adapters_jax.model import families

# () -> base with its pooler
Base = Callable[[], trees.Tree]


def folded(
    values: Mapping[str, Any], tensors: Mapping[str, np.ndarray], family: str,
    base: Base | None,
) -> tuple[dict[str, np.ndarray], trees.Tree]:
  """Returns (tensors without those of the pooler's LoRA, tuned pooler or {}).

  Args:
    values: Entries of adapter_config.json, without patterns.
    tensors: {name: tensor} of the file.
    family: Key of models.FOREIGN.
    base: Makes the base; None if unknown.

  Raises:
    errors.UserError: the base is needed and unknown, or the LoRA is not plain.
  """
  module = families.FAMILIES[family].modules.get('pooler')
  if module is None:  # The family has none.
    return dict(tensors), {}
  found, left = {}, {}
  for key, value in tensors.items():
    name = peft_names.shortened(key, family)
    if name.startswith(f'{module}.lora_'):
      found[name.removeprefix(f'{module}.')] = np.asarray(value, np.float32)
    else:
      left[key] = value
  if not found:
    return left, {}
  if set(found) != {'lora_A.weight', 'lora_B.weight'}:
    raise errors.UserError(
        f'{module}: of methods on the pooler, plain LoRA alone can be read')
  if base is None:
    raise errors.UserError(
        f'{module}: LoRA of the pooler is added to the base; give `base`')
  a, b = found['lora_A.weight'], found['lora_B.weight']  # (r, in), (out, r)
  pooler = base().get('pooler')
  if pooler is None or (b @ a).T.shape != pooler['kernel'].shape:
    raise errors.UserError(f'{module}: the base has no pooler of this shape')
  scale = lora.LoRA.peft_options({**values, 'r': len(a)}).scale
  return left, {'pooler': {
      'kernel': np.asarray(pooler['kernel'], np.float32) + scale * (b @ a).T,
      'bias': np.asarray(pooler['bias'], np.float32)}}
