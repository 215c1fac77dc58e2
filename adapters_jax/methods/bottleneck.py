"""Bottleneck adapters (Houlsby et al., 2019, section 2.1) and their variants.

The variants differ in their input and in the places of the residual sum and the
layer norm (Pfeiffer et al., 2021; He et al., 2022; Steitz and Roth, 2024).
"""

from collections.abc import Mapping
import dataclasses
from typing import Any
from typing import ClassVar

import flax.linen as nn
import jax
import numpy as np

from adapters_jax import errors
from adapters_jax.layers import dense
from adapters_jax.layers import parameters
from adapters_jax.methods import base
from adapters_jax.methods import bottleneck_fields
from adapters_jax.methods import bottleneck_module
from adapters_jax.methods import places
from adapters_jax.methods import values as values_lib

# AdapterHub's entries for a bottleneck that is not a Compacter.
_NO_PHM = {
    'phm_layer': False, 'phm_dim': 4, 'phm_rank': 1, 'factorized_phm_W': True,
    'shared_W_phm': False, 'shared_phm_rule': True,
    'factorized_phm_rule': False, 'phm_c_init': 'normal',
    'phm_init_range': 1e-4, 'learn_phm': True, 'phm_bias': True,
    'hypercomplex_nonlinearity': 'glorot-uniform'}


@dataclasses.dataclass(frozen=True)
class Bottleneck(bottleneck_fields.BottleneckFields):
  """A bottleneck adapter; see `BottleneckFields` for its computation."""
  kind: ClassVar[str] = 'sublayer'
  fuses = True
  adapterhub_architecture = None
  adapterhub_words = {'non_linearity': 'activation', 'init_weights': 'init'}
  adapterhub_fixed = {
      'phm_layer': (False, 'compacter and compacter++ alone have such layers'),
      'cross_adapter': (False, 'BERT has no cross-attention'),
      'inv_adapter': (
          None, 'write NAME|invertible for NICE, the only one supported')}
  adapterhub_fields = (
      'is_parallel', 'scaling', 'original_ln_before', 'original_ln_after',
      'residual_before_ln', 'adapter_residual_before_ln', 'ln_before',
      'ln_after', 'use_gating', 'dropout', 'stochastic_depth',
      'reduction_factor')
  adapterhub_switches = {
      'mh_adapter': ('attention_output',), 'output_adapter': ('ffn_output',)}
  # AdapterHub has no absolute size; its switches fill in the sites.
  adapterhub_start = {'size': None, 'sites': (), 'init': 'bert'}
  adapterhub_stem = '{module}.adapters.{name}'
  adapterhub_names = (
      (r'^norm_(before|after)/', r'adapter_norm_\1.'),
      (r'^down/', 'adapter_down.0.'), (r'^up/', 'adapter_up.'))

  @property
  def padding_width(self) -> int | None:
    # A norm inside is a mean over the units. Subclasses have other kernels.
    plain = type(self) is Bottleneck and not self.inner_norm
    return self.size if plain else None

  def padded(self, width: int) -> 'Bottleneck':
    """Returns the method with a bottleneck of another width."""
    return dataclasses.replace(self, size=width)

  def with_fields(self, **fields: Any) -> 'Bottleneck':
    """Returns the config with some fields changed; a new factor resets size."""
    if 'reduction_factor' in fields:
      fields = {'size': None, **fields}  # A size among the fields wins.
    return dataclasses.replace(self, **fields)

  def changes(self, start: base.Method) -> dict[str, Any]:
    """Returns the arguments of `start.with_fields` that give this config."""
    changed = super().changes(start)
    if 'reduction_factor' in changed:  # By itself it would reset the size.
      changed.setdefault('size', self.size)
    return changed

  def start(
      self, name: str, shape: tuple[int, ...], kernel: jax.Array | None
  ) -> float:
    """Returns 1 for `scaling` and the scales of norms, 0 for other leaves.

    Args:
      name: Path of the leaf below its module.
      shape: Unused.
      kernel: Unused.
    """
    del shape, kernel
    return float(name.rpartition('/')[2] in ('scale', 'scaling'))

  def neutral(
      self, leaves: Mapping[str, Any]
  ) -> dict[str, Any] | None:
    """Returns leaves with u = 0, None where `out` then differs from h.

    Args:
      leaves: {path: leaf} of the module at one site, of numpy.
    """
    normed = self.original_ln_before and self.residual_before_ln is not True
    # LN(h + x) once, before or after the adapter.
    if (normed == self.original_ln_after
        or self.residual_before_ln == 'post_add'):
      return None
    if not self.ln_after:
      return base.zeroed(leaves, 'up/')
    if self.adapter_residual_before_ln:
      return None
    return base.zeroed(leaves, 'norm_after/')

  @property
  def reads_norms(self) -> bool:
    return self.original_ln_after

  def make(self, name: str, layer: int) -> nn.Module:
    """Returns the module of one site.

    Args:
      name: Name of the module in the parameter tree.
      layer: Index of the layer, which may determine the width.
    """
    return bottleneck_module.BottleneckAdapter(self, layer, name=name)

  def project(
      self, x: jax.Array, features: int, name: str, shared: Any
  ) -> jax.Array:
    """Applies one linear layer inside the calling module.

    Args:
      x: [..., dim] Input.
      features: Width of the output.
      name: Name of the layer, 'down', 'down_1', ... or 'up'.
      shared: Unused.

    Returns:
      [..., features]
    """
    del shared
    init = {
        'houlsby': nn.initializers.truncated_normal(self.init_scale),
        'bert': nn.initializers.normal(0.02),
        'mam_adapter': (nn.initializers.zeros if name == 'up'
                        else base.uniform_fan_in),
    }[self.init]
    return parameters.Dense(
        features, kernel_init=init, dtype=x.dtype, name=name,
        dot_general=dense.dot_general)(x)

  @classmethod
  def reads_adapterhub(cls, values: Mapping[str, Any]) -> bool:
    """Returns whether a config of AdapterHub is a plain bottleneck."""
    return super().reads_adapterhub(values) and not values.get('phm_layer')

  @classmethod
  def from_adapterhub(
      cls, values: Mapping[str, Any], version: str
  ) -> 'Bottleneck':
    """Returns the method of a config of AdapterHub.

    Args:
      values: Config as JSON has it.
      version: Version of the library that wrote it, '' if unknown.

    Raises:
      errors.UserError: an entry is missing or has an unsupported value.
    """
    for name in ('reduction_factor', *cls.adapterhub_switches, 'non_linearity'):
      values_lib.needed(values, name)
    values = cls().effective(values)
    return dataclasses.replace(
        super().from_adapterhub(values, version),
        sites=tuple(site for word, (site,) in cls.adapterhub_switches.items()
                    if values[word]),
        init=values.get('init_weights', 'bert'))

  def to_adapterhub(self, shape: Any) -> dict[str, Any]:
    """Returns the config of AdapterHub."""
    if self.depth > 1 or self.inner_norm or self.multiplicative:
      raise errors.UserError(
          '`depth`, `inner_norm` and `multiplicative`: the adapters library '
          'has no such bottleneck')
    factor = self.reduction_factor
    if self.size is not None:
      # AdapterHub rounds dim / factor down; half a unit absorbs float rounding.
      factor = (shape.dim // self.size if shape.dim % self.size == 0
                else shape.dim / (self.size + 0.5))
    elif isinstance(factor, tuple):
      factor = dict(factor)
    scaling = (self.scaling if isinstance(self.scaling, str)
               else float(self.scaling))  # AdapterHub refuses an int.
    return {
        **super().to_adapterhub(shape), **_NO_PHM, 'reduction_factor': factor,
        'scaling': scaling, 'init_weights': self.init, 'cross_adapter': False,
        'inv_adapter': None, 'inv_adapter_reduction_factor': None}

  def adapterhub_key(self, where: places.Place, name: str) -> str:
    """Returns the name of a leaf's tensor.

    Args:
      where: Place of the leaf, with its module.
      name: Name of the adapter in the file.
    """
    key = super().adapterhub_key(where, name)
    # The norm of `ln_before` is module 0 of the same torch Sequential.
    if self.ln_before:
      key = key.replace('.adapter_down.0.', '.adapter_down.1.')
    return key

  def adapterhub_copies(self, key: str) -> bool:
    """Returns whether a tensor is the second copy of `ln_before`."""
    return self.ln_before and '.adapter_down.0.' in key

  def to_adapterhub_tensors(
      self, where: places.Place, key: str, value: np.ndarray
  ) -> dict[str, np.ndarray]:
    """Returns the tensors of a leaf.

    Args:
      where: Place of the leaf.
      key: Name of its tensor.
      value: The leaf.
    """
    tensors = super().to_adapterhub_tensors(where, key, value)
    # AdapterHub registers the norm of `ln_before` under two names.
    return {copy: tensor for key, tensor in tensors.items() for copy in (
        key, key.replace('adapter_norm_before', 'adapter_down.0'))}

  def adapterhub_notes(self) -> list[str]:
    """Returns warnings for users who load the file with AdapterHub."""
    notes = ['`adapters` needs torchvision for stochastic_depth'
             ] if self.stochastic_depth else []
    return super().adapterhub_notes() + notes


SEQ_BN = Bottleneck(
    size=None, reduction_factor=16, activation='relu', init='bert',
    sites=('ffn_output',), original_ln_before=True)
DOUBLE_SEQ_BN = Bottleneck(
    size=None, reduction_factor=16, activation='swish', init='bert')
PAR_BN = Bottleneck(
    size=None, reduction_factor=2, activation='relu', init='mam_adapter',
    sites=('ffn_output',), is_parallel=True, scaling=4.0)
# Steitz and Roth (2024), Adapter+.
ADAPTER_PLUS = Bottleneck(
    size=None, reduction_factor=96, activation='gelu', init='houlsby',
    sites=('ffn_output',), original_ln_before=True, original_ln_after=False,
    residual_before_ln=False, scaling='channel', stochastic_depth=0.1)
