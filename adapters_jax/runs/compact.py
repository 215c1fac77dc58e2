"""Arrays as short strings, for the predictions in records. No JAX here."""

import base64
import zlib

import numpy as np


def fits(values: np.ndarray) -> bool:
  """Returns whether `to_text` takes an array: numbers along one axis."""
  values = np.asarray(values)
  return values.ndim == 1 and values.dtype.kind in 'iuf'


def to_text(values: np.ndarray) -> str:
  """Returns an array as text: its type, a colon, compressed bytes in base64.

  Args:
    values: [examples] Classes from 0, or -1 where unknown; sets of up to 63
      labels, one bit per label; or scores. Scores are stored as float16 if all
      are exact in it, else as float32; records of earlier versions hold rounded
      ones.
  """
  values = np.asarray(values)
  if values.dtype.kind == 'f':
    with np.errstate(over='ignore'):
      half = values.astype(np.float16)
    # Rounding cosines or years would change their ranks and correlations.
    name = 'f2' if np.array_equal(half, values) else 'f4'
  elif values.min(initial=0) < 0:
    name = 'i2'
  else:
    most = int(values.max(initial=0))
    name = next(f'u{size}' for size in (1, 2, 4, 8) if most < 256**size)
  # Little-endian on every machine.
  data = values.astype(f'<{name}').tobytes()
  return f'{name}:{base64.b64encode(zlib.compress(data, 9)).decode()}'


def to_array(text: str) -> np.ndarray:
  """Returns [examples] int64 classes or float64 scores from `to_text`."""
  name, _, data = text.partition(':')
  values = np.frombuffer(zlib.decompress(base64.b64decode(data)), f'<{name}')
  return values.astype(np.float64 if name[0] == 'f' else np.int64)
