"""Every choice that depends on the kind of device, in one place.

| device | float32 | tensorfloat32 | bfloat16 |
| --- | --- | --- | --- |
| CPU | float32 | float32 | bfloat16, slower than float32 |
| NVIDIA | float32 | TF32 tensor cores | bfloat16 cores; cuDNN attention |
| TPU | float32 by six bfloat16 passes | one bfloat16 pass | bfloat16 |

JAX's own default for float32 products is TF32 on NVIDIA and bfloat16 on a TPU;
`precision=float32` asks for real float32 everywhere, so that a number is the
same number on every device up to rounding.

cuDNN's fused attention needs bfloat16, compute capability 8.0 and heads of a
multiple of 8 up to 128. It has no dropout that this project could share, so it
is used where the attention weights are not dropped: in every evaluation, and in
training with `dropout=0`. Everywhere else attention is plain einsum and
softmax, which XLA fuses.
"""

import dataclasses
from typing import Any

import jax


@dataclasses.dataclass(frozen=True)
class Choices:
  """Precision and attention of a device.

  Attributes:
    matmul: Argument of jax.default_matmul_precision.
    dtype: Type of the computation.
    attention: Value of `BertConfig.attention`.
  """
  matmul: str
  dtype: str
  attention: str

  def __str__(self) -> str:
    return (f'computes in {self.dtype}, matmul precision {self.matmul}, '
            f'attention by {self.attention}')


def choose(precision: str, head_dim: int, device: Any = None) -> Choices:
  """Returns the choices for a device.

  Args:
    precision: 'float32', 'tensorfloat32' or 'bfloat16'; see the table above.
    head_dim: Width of an attention head.
    device: A jax.Device; the first one when None.
  """
  device = device or jax.devices()[0]
  dtype = 'bfloat16' if precision == 'bfloat16' else 'float32'
  fused = (  # The limits of cuDNN, see above.
      dtype == 'bfloat16' and _compute_capability(device) >= 8.0
      and head_dim % 8 == 0 and head_dim <= 128)
  return Choices(
      matmul='highest' if precision == 'float32' else 'default', dtype=dtype,
      attention='cudnn' if fused else 'einsum')


def _compute_capability(device: Any) -> float:
  """Returns the compute capability of an NVIDIA device, 0 for any other."""
  if device.platform not in ('gpu', 'cuda'):
    return 0.0
  try:
    return float(device.compute_capability)
  except ValueError:
    return 0.0  # AMD's are names such as 'gfx90a'.
