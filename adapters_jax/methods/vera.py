"""VeRA: scales of a frozen random projection (Kopiczko et al., 2024)."""

from collections.abc import Mapping
import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from adapters_jax import errors
from adapters_jax.methods import base
from adapters_jax.methods import linear
from adapters_jax.methods import places
from adapters_jax.methods import vera_module


@dataclasses.dataclass(frozen=True)
class VeRA(linear.LinearMethod):
  """y + scale * b * ((d * (x @ A)) @ B), with random A and B, never trained.

  All sites share A and B. A narrower site reads the first rows of A or the
  first columns of B.

  Attributes:
    r: Rank.
    alpha: Numerator of scale = alpha / r.
    sites: Linear layers to adapt, from base.LINEARS.
    leave_out: Layers without the method.
    dropout: Dropout rate of x.
    vera_d: Initial value of all entries of d.
    vera_b: Initial value of all entries of b.
    use_gating: Whether a learned gate replaces scale.
    dense: Whether whole matrices are trained, with d and b as their initial
      diagonals. AdapterHub's files need this.
  """
  r: int = 8
  alpha: float = 8
  sites: tuple[str, ...] = ('query', 'value')
  leave_out: tuple[int, ...] = ()
  dropout: float = 0.0
  vera_d: float = 0.1
  vera_b: float = 0.0
  use_gating: bool = False
  dense: bool = False

  choices = {'sites': base.LINEARS}
  training_fields = ('dropout', 'vera_d', 'vera_b')
  adapterhub_fixed = {
      'composition_mode': ('add', "lora is for 'add', ia3 for 'scale'"),
      'use_dora': (False, 'DVoRA is not implemented'),
      'init_weights': ('vera', 'leave it out')}
  adapterhub_fields = (
      'r', 'alpha', 'dropout', 'vera_d', 'vera_b', 'use_gating')
  adapterhub_names = (
      (r'^d$', 'vera_D'), (r'^b$', 'vera_B'), (r'^fixed_a$', 'lora_A'),
      (r'^fixed_b$', 'lora_B'))
  adapterhub_layouts = dict.fromkeys(
      ('d', 'b', 'fixed_a', 'fixed_b'), 'transposed')
  peft_types = ('VERA',)
  peft_names = {'d': 'vera_lambda_d', 'b': 'vera_lambda_b',
                'fixed_a': 'vera_A', 'fixed_b': 'vera_B'}
  peft_layouts = {'fixed_a': 'transposed', 'fixed_b': 'transposed'}

  def __post_init__(self):
    super().__post_init__()
    base.demand(self.r >= 1, 'r', self.r, '1 or more')
    base.demand_rate('dropout', self.dropout)

  def make(self, name: str, layer: int) -> nn.Module:
    """Returns the module of one site.

    Args:
      name: Name of the module in the parameter tree.
      layer: Unused.
    """
    del layer
    return vera_module.VeRAUpdate(self, name=name)

  def make_shared(self, name: str) -> nn.Module:
    """Returns the module of the random projections."""
    return vera_module.Projections(self, name=name)

  @classmethod
  def reads_adapterhub(cls, values: Mapping[str, Any]) -> bool:
    """Returns whether a config of AdapterHub is a VeRA."""
    # 'vera_d' alone distinguishes a VeRA from a LoRA.
    return (super().reads_adapterhub(values)
            and values.get('composition_mode', 'add') != 'scale'
            and values.get('vera_d') is not None)

  @classmethod
  def from_adapterhub(cls, values: Mapping[str, Any], version: str) -> 'VeRA':
    """Returns the method of a config of AdapterHub, whose VeRA is dense.

    Args:
      values: Config as JSON has it.
      version: Version of the library that wrote it, '' if unknown.

    Raises:
      errors.UserError: a VeRA combined with DoRA.
    """
    if values.get('use_dora'):
      raise errors.UserError(
          '`use_dora`: with vera_d it is DVoRA, which is not implemented; '
          'export a VeRA or a DoRA')
    return dataclasses.replace(
        super().from_adapterhub(values, version), dense=True)

  def to_adapterhub(self, shape: Any) -> dict[str, Any]:
    """Returns the config of AdapterHub."""
    widths = {(site == 'ffn_output', site in ('intermediate', 'gate'))
              for site in self.sites}
    # AdapterHub's projections have the shape of the first site.
    if len(widths) > 1:
      raise errors.UserError(
          '`sites`: a VeRA of the adapters library has linear layers of one '
          'shape; leave out intermediate and ffn_output, or take one alone')
    return {**super().to_adapterhub(shape), 'init_weights': 'vera'}

  def to_adapterhub_tensors(
      self, where: places.Place, key: str, value: np.ndarray
  ) -> dict[str, np.ndarray]:
    """Returns the tensor of a leaf; vectors become diagonal matrices.

    Args:
      where: Place of the leaf.
      key: Name of its tensor.
      value: The leaf.
    """
    if where.name in ('d', 'b') and not self.dense:
      value = np.diag(value)
    return super().to_adapterhub_tensors(where, key, value)

  @classmethod
  def from_peft(cls, values: Any, sites: Any, layers: int) -> list['VeRA']:
    """Returns the only method of PEFT's config.

    Args:
      values: Config as JSON has it.
      sites: {(layer, site): {end of a name: tensor}} of the linear layers.
      layers: Number of the model's layers.

    Raises:
      errors.UserError: no projections, or different sites in different layers.
    """
    # PEFT draws unsaved projections again, with torch's generator.
    if values.get('save_projection') is False:
      raise errors.UserError(
          '`save_projection=False`: save the VeRA adapter with its projections')
    found = super().from_peft(values, sites, layers)
    # Each of several methods would have projections of its own.
    if len(found) > 1:
      raise errors.UserError(
          'a VeRA adapter of PEFT must have the same linear layers wherever '
          'it is')
    return found

  @classmethod
  def peft_options(cls, values: Mapping[str, Any]) -> 'VeRA':
    """Returns the method of PEFT's options."""
    rank = values.get('r', 8)  # Also as alpha: PEFT's VeRA has no scale.
    return cls(r=rank, alpha=rank, dropout=values.get('vera_dropout', 0.0))

  def to_peft(self, shape: Any) -> dict[str, Any]:
    """Returns PEFT's options."""
    if self.dense:
      raise errors.UserError('`dense`: PEFT has no VeRA with whole matrices')
    return {**super().to_peft(shape), 'r': self.r, 'vera_dropout': self.dropout,
            'bias': 'none', 'save_projection': True, 'projection_prng_key': 0}

  def to_peft_tensor(
      self, where: places.Place, value: np.ndarray
  ) -> np.ndarray:
    """Returns a leaf as PEFT stores it.

    Args:
      where: Place of the leaf.
      value: The leaf.
    """
    if where.name == 'b':  # PEFT has no alpha, so b includes the scale.
      value = value * (self.alpha / self.r)
    return super().to_peft_tensor(where, value)

  def start(
      self, name: str, shape: tuple[int, ...], kernel: jax.Array | None
  ) -> Any:
    """Returns the initial values of d and b, 0 for leaves of a gate.

    Args:
      name: Path of the leaf below its module.
      shape: Shape of the leaf.
      kernel: Unused.
    """
    del kernel
    value = {'d': self.vera_d, 'b': self.vera_b}.get(name, 0.0)
    return value * np.eye(*shape) if len(shape) == 2 else value

  def neutral(
      self, leaves: Mapping[str, Any]
  ) -> dict[str, Any] | None:
    """Returns leaves with b = 0.

    Args:
      leaves: {path: leaf} of the module at one site, of numpy.
    """
    return base.zeroed(leaves, 'b')

  def fold(
      self, kernel: jax.Array, bias: jax.Array, start: Any,
      own: Mapping[str, jax.Array], shared: Mapping[str, jax.Array],
  ) -> tuple[jax.Array, jax.Array]:
    """Returns ([in, out] kernel with the update added, [out] bias).

    Args:
      kernel: [in, out] Kernel.
      bias: [out] Bias, unchanged.
      start: Unused.
      own: 'd' and 'b' of the site.
      shared: 'fixed_a' and 'fixed_b', the random projections.
    """
    del start
    inputs, outputs = kernel.shape
    d, b = (own[name] if self.dense else jnp.diag(own[name])
            for name in ('d', 'b'))
    # [in, r] @ [r, r] @ [r, out] @ [out, out]
    delta = shared['fixed_a'][:inputs] @ d @ shared['fixed_b'][:, :outputs] @ b
    return kernel + self.alpha / self.r * delta, bias
