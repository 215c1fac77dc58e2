"""LoReft's orthonormal projection as torch's parametrization stores it.

Torch keeps the Householder vectors of a product of reflections, and a base that
the product is multiplied to.
"""

from collections.abc import Mapping

import numpy as np

from adapters_jax import errors


def keys(key: str) -> tuple[str, str]:
  """Returns the keys of the Householder vectors and of the base."""
  stem = key.removesuffix('weight') + 'parametrizations.weight.'
  return f'{stem}original', f'{stem}0.base'


def has(tensors: Mapping[str, np.ndarray], key: str) -> bool:
  """Returns whether the tensors hold a key's parametrization."""
  return all(name in tensors for name in keys(key))


def read(tensors: Mapping[str, np.ndarray], key: str) -> np.ndarray:
  """Returns [dim, r] with orthonormal columns, from its parametrization."""
  original, base = (tensors[name].astype(np.float64) for name in keys(key))
  vectors = original.T  # [dim, r]; the diagonal holds signs.
  lower = np.tril(vectors, -1)
  product = np.eye(len(vectors))
  for column in range(vectors.shape[1]):
    reflector = lower[:, column].copy()
    factor = 2 / (1 + reflector @ reflector)
    reflector[column] = 1
    product -= factor * np.outer(product @ reflector, reflector)
  signs = np.diagonal(vectors).astype(int)
  if not signs.all():
    raise errors.UserError(
        f'{key}: weight decay has made the projection zero, as it does in the '
        'adapters library; train it again without')
  columns = product[:, :vectors.shape[1]] * signs
  return (base @ columns).astype(np.float32)


def written(key: str, projection: np.ndarray) -> dict[str, np.ndarray]:
  """Returns the parametrization of the orthonormal span of [dim, r].

  The reflections are those of the coordinate axes and the signs undo them, so
  that the base alone says what the projection is.
  """
  dim, rank = projection.shape
  q, r = np.linalg.qr(projection.astype(np.float64))
  q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
  base, found = np.linalg.qr(np.concatenate([q, np.eye(dim)], axis=1))
  base = base * np.where(np.diagonal(found) < 0, -1.0, 1.0)
  original, offset = keys(key)
  return {original: -np.eye(rank, dim, dtype=np.float32),
          offset: base.astype(np.float32)}
