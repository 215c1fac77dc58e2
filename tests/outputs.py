"""Outputs of an adapter's head before they become predictions."""

import numpy as np

from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import arguments
from adapters_jax.adapters import prediction
from adapters_jax.model import base as base_lib


def logits(
    base: base_lib.Base, adapter: adapter_lib.Adapter,
    texts: arguments.Texts, batch_size: int = 32,
) -> np.ndarray:
  """Returns [texts, outputs] float32 of an adapter of classes or a score."""
  found, _ = prediction.values(
      base, {'': adapter}, [''] * len(texts), texts, batch_size)
  return np.array(found, np.float32)
