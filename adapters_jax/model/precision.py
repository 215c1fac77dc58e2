"""Every choice that depends on the kind of device, in one place.

| device | float32 | tensorfloat32 | bfloat16 | bfloat16_products |
| --- | --- | --- | --- | --- |
| CPU | float32 | float32 | bfloat16, slower than float32 | see below |
| NVIDIA | float32 | TF32 cores | bfloat16; cuDNN attention | bfloat16 cores |
| TPU | six bfloat16 passes | one bfloat16 pass | bfloat16 | one pass |

JAX's own default for float32 products is TF32 on NVIDIA and bfloat16 on a TPU;
`precision=float32` asks for real float32 everywhere, so that a number is the
same number on every device up to rounding.

`bfloat16_products` rounds the operands of the encoder's products to bfloat16;
results and everything else are float32, adapters and heads included, whose own
products are those of `float32`. Frozen kernels are kept in bfloat16. On a CPU
it needs AMD's AVX512_BF16, or AMX (not tried); elsewhere the computation is
that of float32. Intel's AVX512_BF16 without AMX, which virtual machines may
hide, was measured at half the rate of float32 products. The experiments compute
so by default. `aj.load_base` has float32 as its default, which other libraries
have too: hidden states then equal theirs.

cuDNN's fused attention needs bfloat16, compute capability 8.0 and heads of a
multiple of 8 up to 128. It has no dropout that this project could share, so it
is used where the attention weights are not dropped: in every evaluation, and in
training with `dropout=0` on even numbers of positions. Everywhere else, also in
groups of runs and in batches of several adapters, attention is plain einsum and
softmax, which XLA fuses.

| device | lengths in multiples of | most lengths | evaluation, x the batch |
| --- | --- | --- | --- |
| CPU | 2 | as asked | 1 |
| NVIDIA, other GPUs | 8 | 4 | 4 |
| TPU | 16 | 4 | 4 |

The time on a CPU is proportional to the tokens, so many close lengths pay off.
Tensor cores work on multiples of 8, TPU tiles on multiples of 16 rows of
bfloat16. Both take longer to compile, hence few lengths; and both idle on small
evaluation batches, which can be larger as no gradient needs their inner values.
The rows of GPU and TPU follow from the hardware; they were not tried.
"""

from collections.abc import Iterable
import dataclasses
import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp

from adapters_jax import trees

PRECISIONS = ('float32', 'tensorfloat32', 'bfloat16', 'bfloat16_products')


@dataclasses.dataclass(frozen=True)
class Choices:
  """Precision and attention of a device.

  Attributes:
    matmul: Argument of jax.default_matmul_precision.
    dtype: Type of the computation.
    attention: Value of `BertConfig.attention`.
    products: Value of `BertConfig.products`.
  """
  matmul: str
  dtype: str
  attention: str
  products: str = 'float32'

  def __str__(self) -> str:
    return f'{self.types}, attention by {self.attention}'

  @property
  def types(self) -> str:
    """Types and matmul precision, in words."""
    products = (
        ', products of bfloat16' if self.products == 'bfloat16' else '')
    return (f'computes in {self.dtype}{products}, matmul precision '
            f'{self.matmul}')


def choose(precision: str, head_dim: int, device: Any = None) -> Choices:
  """Returns the choices for a device.

  Args:
    precision: One of PRECISIONS; see the table above.
    head_dim: Width of an attention head.
    device: A jax.Device; the first one when None.
  """
  device = device or jax.devices()[0]
  dtype = 'bfloat16' if precision == 'bfloat16' else 'float32'
  fused = (  # The limits of cuDNN, see above.
      dtype == 'bfloat16' and _compute_capability(device) >= 8.0
      and head_dim % 8 == 0 and head_dim <= 128)
  rounded = precision == 'bfloat16_products' and (
      device.platform != 'cpu' or _cpu_gains_by_bfloat16())
  # A CPU's default is float32.
  exact = precision == 'float32' or (rounded and device.platform != 'cpu')
  return Choices(
      matmul='highest' if exact else 'default', dtype=dtype,
      attention='cudnn' if fused else 'einsum',
      products='bfloat16' if rounded else 'float32')


def under_vmap(model: Any) -> Any:
  """Returns a model for use under `jax.vmap`, with einsum in its attention.

  Args:
    model: Module with a `config`, such as a `heads.Model`.
  """
  if model.config.attention == 'einsum':
    return model
  # JAX's batching rule of cuDNN's attention demands a bias of every head.
  return model.clone(
      config=dataclasses.replace(model.config, attention='einsum'))


@dataclasses.dataclass(frozen=True)
class Batching:
  """Shapes of the batches of a device; see the table above.

  Attributes:
    multiple: Common divisor of the lengths, in tokens.
    most_lengths: Largest number of lengths, the longest included; None for any.
    evaluation: Batch of an evaluation, as a multiple of that of the training.
  """
  multiple: int = 2
  most_lengths: int | None = None
  evaluation: int = 1

  @property
  def beyond(self) -> int:
    """Divisor of the lengths of evaluations above the longest in training."""
    return max(4, self.multiple)

  def lengths(self, asked: int) -> int:
    """Returns the number of lengths, `asked` or the device's bound."""
    return min(asked, self.most_lengths or asked)


_BATCHING = {
    'cpu': Batching(),
    'tpu': Batching(multiple=16, most_lengths=4, evaluation=4)}
_BATCHING_OF_GPUS = Batching(multiple=8, most_lengths=4, evaluation=4)


def rounded_up(length: int) -> int:
  """Returns the longest batch for texts of some length, on any device.

  Args:
    length: Number of tokens.
  """
  largest = max(one.beyond for one in (*_BATCHING.values(), _BATCHING_OF_GPUS))
  return -(-length // largest) * largest  # All others divide it.


def batching(device: Any = None) -> Batching:
  """Returns the shapes of the batches of a device.

  Args:
    device: A jax.Device; the first one when None.
  """
  device = device or jax.devices()[0]
  return _BATCHING.get(device.platform, _BATCHING_OF_GPUS)


def cast(precision: str, base: trees.Tree, device: Any = None) -> trees.Tree:
  """Returns frozen parameters in the types that the computation reads.

  Args:
    precision: One of PRECISIONS.
    base: Frozen leaves.
    device: A jax.Device; the first one when None.
  """
  choices = choose(precision, 1, device)  # No type depends on the heads.
  if choices.dtype == 'bfloat16':
    return jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), base)
  if choices.products == 'bfloat16':
    # Kernels alone: they are rounded in every product anyway.
    return trees.map_with_path(
        lambda path, leaf: leaf.astype(jnp.bfloat16)
        if path.startswith('encoder/') and path.endswith('/kernel') else leaf,
        base)
  return base


@functools.cache
def _cpu_gains_by_bfloat16() -> bool:
  """Returns whether bfloat16 products are the faster ones on this processor."""
  try:
    with open('/proc/cpuinfo', encoding='utf-8') as file:
      # An empty line ends the first of the cores, which are alike.
      return gains_by_bfloat16(itertools.takewhile(str.strip, file))
  except OSError:  # Not Linux.
    return False


def gains_by_bfloat16(lines: Iterable[str]) -> bool:
  """Returns whether a processor multiplies bfloat16 faster than float32.

  A rule rather than a measurement, so that a machine always computes alike.

  Args:
    lines: Lines of a core in Linux's /proc/cpuinfo, like 'vendor_id : name'.
  """
  cells = (line.partition(':') for line in lines)
  facts = {name.strip(): value.split() for name, _, value in cells}
  instructions = facts.get('flags', [])
  return 'amx_bf16' in instructions or (
      facts.get('vendor_id') == ['AuthenticAMD']
      and 'avx512_bf16' in instructions)


def _compute_capability(device: Any) -> float:
  """Returns the compute capability of an NVIDIA device, 0 for any other."""
  if device.platform not in ('gpu', 'cuda'):
    return 0.0
  try:
    return float(device.compute_capability)
  except ValueError:
    return 0.0  # AMD's are names such as 'gfx90a'.
