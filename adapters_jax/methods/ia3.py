"""IA3: learned scales of activations (Liu et al., 2022)."""

from collections.abc import Mapping, Sequence
import dataclasses
from typing import Any
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from adapters_jax.layers import parameters
from adapters_jax.methods import base
from adapters_jax.methods import places
from adapters_jax.methods import linear
from adapters_jax.methods import gate as gate_lib


@dataclasses.dataclass(frozen=True)
class IA3(linear.LinearMethod):
  """alpha * scale * y for the output y of a linear layer, bias included.

  At 'intermediate' it scales the input of the feed-forward activation, as
  AdapterHub does. The paper (section 3.3) and PEFT scale the activation's
  output; use `IA3Inputs` at 'ffn_output' for that.

  Attributes:
    sites: Linear layers to scale, from base.LINEARS.
    alpha: Constant factor.
    leave_out: Layers without the method.
    use_gating: Whether a learned gate replaces alpha.
  """
  sites: tuple[str, ...] = ('key', 'value', 'intermediate')
  alpha: float = 1
  leave_out: tuple[int, ...] = ()
  use_gating: bool = False

  adapterhub_fields = ('alpha', 'use_gating')
  choices = {'sites': base.LINEARS}
  adapterhub_fixed = {
      'composition_mode': ('scale', "lora is for 'add', ia3 for 'scale'"),
      'use_dora': (False, 'write dora'), 'vera_d': (None, 'write vera'),
      'vera_b': (None, 'write vera'), 'init_weights': ('ia3', 'leave it out'),
      'r': (1, 'an IA3 has no rank'), 'dropout': (0.0, 'an IA3 has no dropout')}
  # AdapterHub keeps the scales under the name of LoRA's B.
  adapterhub_names = ((r'^scale$', 'lora_B'),)
  adapterhub_layouts = {'scale': 'column'}
  peft_types = ('IA3',)
  peft_names = {'scale': 'ia3_l'}
  peft_layouts = {'scale': 'column'}

  def make(self, name: str, layer: int) -> nn.Module:
    """Returns the module of one site.

    Args:
      name: Name of the module in the parameter tree.
      layer: Unused.
    """
    del layer
    return ScaleOutput(self, name=name)

  def start(
      self, name: str, shape: tuple[int, ...], kernel: jax.Array | None
  ) -> float:
    """Returns the scale that changes nothing; with a gate, a fresh one.

    Args:
      name: Path of the leaf below its module.
      shape: Unused.
      kernel: Unused.
    """
    del shape, kernel
    if name != 'scale':
      return 0.0
    return 1 / self.alpha if self.sums else 1.0

  def neutral(
      self, leaves: Mapping[str, Any]
  ) -> dict[str, Any] | None:
    """Returns leaves with alpha * scale = 1, None with a gate.

    Args:
      leaves: {path: leaf} of the module at one site, of numpy.
    """
    if not self.sums:
      return None
    return {path: np.full_like(leaf, self.start(path, leaf.shape, None))
            for path, leaf in leaves.items()}

  @classmethod
  def reads_adapterhub(cls, values: Mapping[str, Any]) -> bool:
    """Returns whether a config of AdapterHub is an IA3."""
    return (super().reads_adapterhub(values)
            and values.get('composition_mode') == 'scale')

  def to_adapterhub(self, shape: Any) -> dict[str, Any]:
    """Returns the config of AdapterHub."""
    return {**super().to_adapterhub(shape), 'composition_mode': 'scale',
            'init_weights': 'ia3'}

  @classmethod
  def peft_options(cls, values: Mapping[str, Any]) -> 'IA3':
    """Returns the method of PEFT's options."""
    del values
    return cls()

  @classmethod
  def in_peft(cls, tensors: Mapping[str, Any]) -> bool:
    """Returns whether PEFT scales the outputs of a site, with shape (n, 1).

    Args:
      tensors: {end of a name: tensor} of the site in one layer.
    """
    return not _scales_inputs(tensors)

  def to_peft(self, shape: Any) -> dict[str, Any]:
    """Returns PEFT's options."""
    return {**super().to_peft(shape), 'feedforward_modules': []}

  def to_peft_tensor(
      self, where: places.Place, value: np.ndarray
  ) -> np.ndarray:
    """Returns alpha times the scale, as PEFT stores it.

    Args:
      where: Place of the leaf.
      value: The scale.
    """
    # PEFT has no alpha, so the scale includes it.
    return super().to_peft_tensor(where, self.alpha * value)

  def fold(
      self, kernel: jax.Array, bias: jax.Array, start: Any,
      own: Mapping[str, jax.Array], shared: Any,
  ) -> tuple[jax.Array, jax.Array]:
    """Returns ([in, out] kernel, [out] bias), both scaled per output.

    Args:
      kernel: [in, out] Kernel.
      bias: [out] Bias.
      start: Unused.
      own: 'scale' [out].
      shared: Unused.
    """
    del start, shared
    scale = self.alpha * own['scale']
    return kernel * scale, bias * scale

  @property
  def sums(self) -> bool:
    return bool(self.alpha) and not self.use_gating

  def weighted_sum(
      self, leaves: Mapping[str, jax.Array], weights: Sequence[float]
  ) -> tuple[base.Method, dict[str, jax.Array]]:
    """Returns (method, leaves) of the sum of the scales' distances from 1.

    Zhang et al. (2023): 1 + sum_i w_i * (alpha * scale_i - 1).

    Args:
      leaves: {path: [n, width]} Scales of n adapters.
      weights: Weight of each adapter.
    """
    start = self.start('scale', (), None)
    return self, {
        path: start + jnp.tensordot(
            jnp.asarray(weights, jnp.float32), leaf - start, 1)
        for path, leaf in leaves.items()}


@dataclasses.dataclass(frozen=True)
class IA3Inputs(IA3):
  """alpha * scale * x for the input x of a linear layer.

  Attributes:
    sites: Linear layers whose input is scaled, from base.LINEARS.
  """
  sites: tuple[str, ...] = ('ffn_output',)

  kind: ClassVar[str] = 'input'
  adapterhub_architecture = ''  # AdapterHub scales outputs only.
  adapterhub_switches = {}  # Turns 'attn_matrices' off too.
  peft_layouts = {'scale': 'row'}
  # PEFT lists layers with scaled inputs twice.
  peft_targets = ('target_modules', 'feedforward_modules')

  def __post_init__(self):
    super().__post_init__()
    base.demand(
        not self.use_gating, 'use_gating', True, 'ia3 a gate, not ia3_inputs')

  def make(self, name: str, layer: int) -> nn.Module:
    """Returns the module of one site.

    Args:
      name: Name of the module in the parameter tree.
      layer: Unused.
    """
    del layer
    return ScaleInput(self, name=name)

  @classmethod
  def in_peft(cls, tensors: Mapping[str, Any]) -> bool:
    """Returns whether PEFT scales the inputs of a site, with shape (1, n).

    Args:
      tensors: {end of a name: tensor} of the site in one layer.
    """
    return _scales_inputs(tensors)

  def fold(
      self, kernel: jax.Array, bias: jax.Array, start: Any,
      own: Mapping[str, jax.Array], shared: Any,
  ) -> tuple[jax.Array, jax.Array]:
    """Returns ([in, out] kernel, [out] bias), the kernel scaled per input.

    Args:
      kernel: [in, out] Kernel.
      bias: [out] Bias, unchanged.
      start: Unused.
      own: 'scale' [in].
      shared: Unused.
    """
    del start, shared
    return kernel * (self.alpha * own['scale'])[:, None], bias


def _scales_inputs(tensors):
  """Returns whether the scale of a linear layer has PEFT's shape (1, n)."""
  return any(tensor.shape[0] == 1 for tensor in tensors.values())


class ScaleInput(parameters.Module):
  """Multiplication of each feature by a learned number that starts at 1."""
  config: IA3

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Scales x [batch, length, in]."""
    scale = self.param('scale', nn.initializers.ones, x.shape[-1:])
    return x * (self.config.alpha * scale).astype(x.dtype)


class ScaleOutput(parameters.Module):
  """The same for the output of a linear layer."""
  config: IA3

  @nn.compact
  def __call__(
      self, x: jax.Array, y: jax.Array, *, weights: Mapping[str, jax.Array],
      mask: jax.Array, shared: Any, train: bool,
  ) -> jax.Array:
    """Scales the output of a linear layer.

    Args:
      x: [batch, length, in] Input of the layer; the gate reads it.
      y: [batch, length, out] Output of the layer.
      weights: Unused.
      mask: [batch, length] bool, False at padding.
      shared: Unused.
      train: Unused.

    Returns:
      [batch, length, out]
    """
    del weights, shared, train
    scale = self.param('scale', nn.initializers.ones, y.shape[-1:])
    if self.config.use_gating:
      gate = gate_lib.Gate(name='gating')(x, mask)
      return y * scale.astype(y.dtype) * gate
    return y * (self.config.alpha * scale).astype(y.dtype)
