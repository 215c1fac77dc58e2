"""Ranks and alphas of single layers in PEFT's LoRA files.

`rank_pattern` and `alpha_pattern` give layers ranks and alphas of their own.
Reading pads all layers with zeros to the largest rank, and moves their scales
into B, so that one alpha fits all: the updates stay the same.
"""

from collections.abc import Mapping
import re
from typing import Any

import numpy as np

from adapters_jax import errors
from adapters_jax.methods import lora

_IN, _OUT = '.lora_A.weight', '.lora_B.weight'


def uniform(
    values: Mapping[str, Any], tensors: Mapping[str, np.ndarray]
) -> tuple[Mapping[str, Any], Mapping[str, np.ndarray]]:
  """Returns (entries, tensors) of the same adapter without patterns.

  Args:
    values: JSON of adapter_config.json.
    tensors: {name: tensor} of the file.

  Raises:
    errors.UserError: a pattern is no regular expression, or its value is no
      number.
  """
  ranks, alphas = (values.get(name) or {}
                   for name in ('rank_pattern', 'alpha_pattern'))
  modules = [key.removesuffix(_IN) for key in tensors if key.endswith(_IN)]
  if not (ranks or alphas) or not modules:
    return values, tensors
  # The shapes of the tensors already follow `rank_pattern`.
  rank = max(len(tensors[f'{module}{_IN}']) for module in modules)
  found = dict(tensors)
  for module in modules:
    a, b = found[f'{module}{_IN}'], found.get(f'{module}{_OUT}')
    if b is None or b.ndim != 2 or a.ndim != 2 or b.shape[1] != len(a):
      raise errors.UserError(f'{module}: lora_A and lora_B do not fit')
    method = lora.LoRA.peft_options({**values, 'r': len(a)})
    # PEFT matches names inside the base model, where ^ is their start.
    inner = module.removeprefix('base_model.model.')
    method = method.with_fields(alpha=_value_of(inner, alphas, method.alpha))
    missing = rank - len(a)
    found[f'{module}{_IN}'] = np.pad(a, ((0, missing), (0, 0)))
    found[f'{module}{_OUT}'] = np.pad(
        method.scale * b, ((0, 0), (0, missing)))
  # With this alpha the scale of all layers is 1.
  alpha = rank ** (0.5 if values.get('use_rslora') else 1)
  return {**values, 'rank_pattern': {}, 'alpha_pattern': {}, 'r': rank,
          'lora_alpha': alpha}, found


def _value_of(module: str, patterns: Any, default: Any) -> float:
  """Returns the value of the first pattern that matches a module's suffix.

  Args:
    module: Name of the module inside the base model.
    patterns: {regular expression: value}.
    default: Value without a pattern.
  """
  try:
    value = next((value for pattern, value in patterns.items()
                  if re.match(rf'(.*\.)?({pattern})$', module)), default)
  except (AttributeError, re.error) as error:
    raise errors.UserError(
        f'`alpha_pattern={patterns!r}`: it should be an object of regular '
        'expressions and numbers') from error
  if isinstance(value, bool) or not isinstance(value, (int, float)):
    raise errors.UserError(f'`alpha_pattern`: {value!r} is no number')
  return value
