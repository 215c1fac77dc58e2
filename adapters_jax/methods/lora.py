"""Low-rank updates: LoRA, rsLoRA and DoRA.

LoRA: Hu et al. (2022). rsLoRA: Kalajdzievski (2023). DoRA: Liu et al. (2024).
"""

from collections.abc import Mapping, Sequence
import dataclasses
from typing import Any
from typing import Self

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from adapters_jax import errors
from adapters_jax.methods import base
from adapters_jax.methods import linear
from adapters_jax.methods import lora_module

INITS = ('lora', 'bert')
DORA = ('', 'adapters', 'peft')


@dataclasses.dataclass(frozen=True)
class LoRA(linear.LinearMethod):
  """y + scale * (x @ a @ b): a low-rank update of a linear layer.

  DoRA also rescales the columns of the updated kernel to learned magnitudes.
  Its two implementations differ. 'peft' follows the paper (section 4): it takes
  the norm of kernel + scale * a @ b, treats it as a constant in the backward
  pass, and leaves the bias unscaled. 'adapters' takes the norm of kernel +
  a @ b, differentiates it, and rescales the bias too.

  Attributes:
    r: Rank.
    alpha: Numerator of scale = alpha / r.
    sites: Linear layers to adapt, from base.LINEARS.
    leave_out: Layers without the method.
    dropout: Dropout rate of x.
    init: 'lora', uniform a and zero b; 'bert', both normal with 0.02.
    rank_stabilized: Whether scale is alpha / sqrt(r).
    dora: '' for LoRA, 'adapters' or 'peft' for DoRA.
    use_gating: Whether a learned gate replaces scale.
  """
  r: int = 8
  alpha: float = 8
  sites: tuple[str, ...] = ('query', 'value')
  leave_out: tuple[int, ...] = ()
  dropout: float = 0.0
  init: str = 'lora'
  rank_stabilized: bool = False
  dora: str = ''
  use_gating: bool = False

  choices = {'sites': base.LINEARS, 'init': INITS, 'dora': DORA}
  training_fields = ('dropout', 'init')
  adapterhub_words = {'use_dora': 'dora', 'init_weights': 'init'}
  adapterhub_fixed = {
      'composition_mode': ('add', "lora is for 'add', ia3 for 'scale'"),
      'vera_d': (None, 'write vera'), 'vera_b': (None, 'write vera')}
  adapterhub_fields = ('r', 'alpha', 'dropout', 'use_gating')
  adapterhub_names = (
      (r'^a$', 'lora_A'), (r'^b$', 'lora_B'), (r'^magnitude$', 'm.weight'))
  adapterhub_layouts = {
      'a': 'transposed', 'b': 'transposed', 'magnitude': 'column'}
  peft_types = ('LORA',)
  peft_names = {'a': 'lora_A.weight', 'b': 'lora_B.weight',
                'magnitude': 'lora_magnitude_vector'}
  peft_layouts = {'a': 'transposed', 'b': 'transposed'}

  def __post_init__(self):
    super().__post_init__()
    base.demand(self.r >= 1, 'r', self.r, '1 or more')
    base.demand_rate('dropout', self.dropout)

  @property
  def scale(self) -> float:
    """Factor of the update."""
    return self.alpha / (self.r**0.5 if self.rank_stabilized else self.r)

  @property
  def padding_width(self) -> int:
    return self.r

  def padded(self, width: int) -> 'LoRA':
    """Returns the method with another rank and the same scale."""
    return dataclasses.replace(
        self, r=width, alpha=self.scale * width, rank_stabilized=False)

  def for_predictions(self, dim: int) -> Self:
    """Returns the method that predicts the same, of scale 1 except for DoRA.

    Args:
      dim: Unused.
    """
    found = super().for_predictions(dim)
    if self.dora:  # Its norms read the factors too, perhaps without scale.
      return found
    return dataclasses.replace(found, alpha=self.r, rank_stabilized=False)

  def leaf_for_predictions(self, path: str, leaf: Any) -> Any:
    """Returns scale * b, and other leaves unchanged.

    Args:
      path: Path of the leaf.
      leaf: Array, of numpy.
    """
    # A gate replaces the scale.
    scaled = path.endswith('/b') and not self.dora and not self.use_gating
    return leaf * np.float32(self.scale) if scaled else leaf

  def make(self, name: str, layer: int) -> nn.Module:
    """Returns the module of one site.

    Args:
      name: Name of the module in the parameter tree.
      layer: Unused.
    """
    del layer
    return lora_module.LoRAUpdate(self, name=name)

  def from_words(self, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns {field: value} from {word: value}."""
    if 'use_dora' in values:  # A bool, whereas `dora` names a variant.
      base.demand_choice('use_dora', values['use_dora'], (True, False))
      values = {**values, 'use_dora': 'adapters' if values['use_dora'] else ''}
    return super().from_words(values)

  @classmethod
  def reads_adapterhub(cls, values: Mapping[str, Any]) -> bool:
    """Returns whether a config of AdapterHub is neither an IA3 nor a VeRA."""
    return (super().reads_adapterhub(values)
            and values.get('composition_mode', 'add') != 'scale'
            and values.get('vera_d') is None)

  @classmethod
  def from_adapterhub(cls, values: Mapping[str, Any], version: str) -> 'LoRA':
    """Returns the method of a config of AdapterHub.

    Args:
      values: Config as JSON has it.
      version: Version of the library that wrote it, '' if unknown.
    """
    return dataclasses.replace(
        super().from_adapterhub(values, version),
        dora='adapters' if values.get('use_dora') else '',
        # Other values, such as 'ia3', have no effect on a trained adapter.
        init='bert' if values.get('init_weights') == 'bert' else 'lora')

  def to_adapterhub(self, shape: Any) -> dict[str, Any]:
    """Returns the config of AdapterHub."""
    if self.dora == 'peft':
      raise errors.UserError(
          "`dora='peft'`: the adapters library computes another DoRA; train "
          'with dora=adapters for it')
    # AdapterHub's scale is always alpha / r.
    alpha = self.scale * self.r if self.rank_stabilized else self.alpha
    return {**super().to_adapterhub(shape), 'alpha': alpha,
            'init_weights': self.init, 'use_dora': bool(self.dora)}

  @classmethod
  def peft_options(cls, values: Mapping[str, Any]) -> 'LoRA':
    """Returns the method of PEFT's options."""
    return cls(
        r=values.get('r', 8), alpha=values.get('lora_alpha', 8),
        dropout=values.get('lora_dropout', 0.0),
        rank_stabilized=values.get('use_rslora', False),
        dora='peft' if values.get('use_dora') else '')

  def to_peft(self, shape: Any) -> dict[str, Any]:
    """Returns PEFT's options."""
    if self.dora == 'adapters':
      raise errors.UserError(
          "`dora='adapters'`: PEFT computes another DoRA; train with dora=peft "
          'for it')
    return {**super().to_peft(shape), 'r': self.r, 'lora_alpha': self.alpha,
            'lora_dropout': self.dropout, 'use_rslora': self.rank_stabilized,
            'use_dora': bool(self.dora), 'bias': 'none'}

  def fold(
      self, kernel: jax.Array, bias: jax.Array,
      start: tuple[jax.Array, jax.Array], own: Mapping[str, jax.Array],
      shared: Any,
  ) -> tuple[jax.Array, jax.Array]:
    """Returns ([in, out] kernel, [out] bias) with the update added.

    DoRA takes its norms, and the bias that it leaves unscaled, from the base,
    even after other methods have changed kernel and bias.

    Args:
      kernel: [in, out] Kernel, with the adapter's earlier methods added.
      bias: [out] Bias, with the adapter's earlier methods added.
      start: Kernel and bias of the base.
      own: Leaves of the method at this site.
      shared: Unused.
    """
    del shared
    updated = kernel + self.scale * (own['a'] @ own['b'])
    if not self.dora:
      return updated, bias
    ratio = own['magnitude'] / lora_module.updated_norm(
        self, start[0], own['a'], own['b'])
    kept = 0.0 if self.dora == 'adapters' else start[1]  # Unscaled bias.
    return updated * ratio, (bias - kept) * ratio + kept

  def start(
      self, name: str, shape: tuple[int, ...], kernel: jax.Array | None
  ) -> Any:
    """Returns the norms of the base's columns for DoRA's magnitudes, else 0.

    Args:
      name: Path of the leaf below its module.
      shape: Unused.
      kernel: [in, out] Kernel of the base.
    """
    del shape
    return lora_module.magnitude(kernel) if name == 'magnitude' else 0.0

  def neutral(
      self, leaves: Mapping[str, Any]
  ) -> dict[str, Any] | None:
    """Returns leaves with b = 0; None for DoRA, which also has magnitudes.

    Args:
      leaves: {path: leaf} of the module at one site, of numpy.
    """
    return None if self.dora else base.zeroed(leaves, 'b')

  @property
  def sums(self) -> bool:
    # A gate and magnitudes are no factors of a plain product.
    return not self.dora and not self.use_gating

  def weighted_sum(
      self, leaves: Mapping[str, jax.Array], weights: Sequence[float]
  ) -> tuple[base.Method, dict[str, jax.Array]]:
    """Returns (method, leaves) of the exact sum of updates: the ranks add up.

    sum_i w_i * scale * a_i @ b_i = [a_1 .. a_n] @ [w_1 * scale * b_1; ..]

    Args:
      leaves: {path: [n, ...]} Factors of n adapters.
      weights: Weight of each adapter.
    """
    factors = jnp.asarray(weights, jnp.float32) * self.scale
    found = {}
    for path, leaf in leaves.items():
      if path.endswith('/a'):
        found[path] = jnp.concatenate(list(leaf), axis=1)  # [in, n * r]
      else:
        found[path] = jnp.concatenate(list(factors[:, None, None] * leaf))
    rank = self.r * len(weights)
    return dataclasses.replace(
        self, r=rank, alpha=rank, rank_stabilized=False), found

  def to_products(
      self, leaves: Mapping[str, jax.Array]
  ) -> tuple[base.Method, dict[str, jax.Array]]:
    """Returns (method, leaves) with scale * a @ b instead of a and b.

    The method no longer depends on the rank, so adapters of different ranks
    stack.
    """
    if self.dora or self.use_gating:
      return super().to_products(leaves)  # Raises UserError.
    leaves = dict(leaves)
    for path in [path for path in leaves if path.endswith('/a')]:
      stem = path.removesuffix('a')
      leaves[f'{stem}product'] = self.scale * (
          leaves.pop(path) @ leaves.pop(f'{stem}b'))
    return dataclasses.replace(
        self, r=1, alpha=1, rank_stabilized=False), leaves

  def from_products(
      self, leaves: Mapping[str, jax.Array], rank: int
  ) -> tuple[base.Method, dict[str, jax.Array]]:
    """Returns (method, leaves) with the best low-rank factors.

    Args:
      leaves: {path: leaf}, a result of `to_products`.
      rank: Rank of the factors.

    Raises:
      errors.UserError: no kernel has that rank.
    """
    leaves = dict(leaves)
    for path in [path for path in leaves if path.endswith('/product')]:
      limit = min(leaves[path].shape)
      base.demand(1 <= rank <= limit, 'rank', rank,
                  f'1 to {limit}, the rank that a kernel can have')
      u, s, v = jnp.linalg.svd(leaves.pop(path), full_matrices=False)
      # Both factors get the root of the singular values: equal norms.
      stem, root = path.removesuffix('product'), jnp.sqrt(s[:rank])
      leaves[f'{stem}a'] = u[:, :rank] * root[None]
      leaves[f'{stem}b'] = root[:, None] * v[:rank]
    # alpha = r: the product holds the scale already.
    return dataclasses.replace(
        self, r=rank, alpha=rank, rank_stabilized=False), leaves
