"""Adds LoRAs of PEFT's files to linear layers outside the encoder's layers.

Methods of this package act only in the layers of the encoder, so an update of
the pooler, or of the layer that widens ELECTRA's embeddings, becomes a tuned
layer, as if the file had saved the whole layer.
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
  """Returns (tensors without those LoRAs, tuned layers).

  Args:
    values: Entries of adapter_config.json, without patterns.
    tensors: {name: tensor} of the file.
    family: Key of models.FOREIGN.
    base: Makes the base; None if unknown.

  Raises:
    errors.UserError: the base is needed and unknown, or a LoRA is not plain.
  """
  tuned: dict[str, np.ndarray] = {}
  left = dict(tensors)
  for path in peft_names.WHOLE:
    module = families.FAMILIES[family].modules.get(path)
    found = {}
    for key in list(left):
      name = peft_names.shortened(key, family)
      if module and name.startswith(f'{module}.lora_'):
        found[name.removeprefix(f'{module}.')] = np.asarray(
            left.pop(key), np.float32)
    if found:
      tuned |= _layer(values, found, path, module, base)
  return left, trees.unflatten(tuned)


def _layer(
    values: Mapping[str, Any], found: Mapping[str, np.ndarray], path: str,
    module: str, base: Base | None,
) -> dict[str, np.ndarray]:
  """Returns {path: leaf} of a layer of the base plus its LoRA.

  Args:
    values: Entries of adapter_config.json, without patterns.
    found: {end of the name: tensor} of the LoRA.
    path: Path of the layer.
    module: Its name in files.
    base: Makes the base; None if unknown.
  """
  if set(found) != {'lora_A.weight', 'lora_B.weight'}:
    raise errors.UserError(
        f'{module}: of methods on this layer, plain LoRA alone can be read')
  if base is None:
    raise errors.UserError(
        f'{module}: LoRA of this layer is added to the base; give `base`')
  a, b = found['lora_A.weight'], found['lora_B.weight']  # (r, in), (out, r)
  leaves = trees.flatten(base())
  kernel = leaves.get(f'{path}/kernel')
  if kernel is None or (b @ a).T.shape != kernel.shape:
    raise errors.UserError(
        f'{module}: the base has no {path.rpartition("/")[2]} of this shape')
  scale = lora.LoRA.peft_options({**values, 'r': len(a)}).scale
  return {
      f'{path}/kernel': np.asarray(kernel, np.float32) + scale * (b @ a).T,
      f'{path}/bias': np.asarray(leaves[f'{path}/bias'], np.float32)}
