"""Compacter: bottlenecks of Kronecker products (Mahabadi et al., 2021).

A kernel is sum_i kron(A_i, W_i) with `phm_dim` terms (equation 5). All layers
and both projections may share the rule A, and W may have a low rank.
"""

from collections.abc import Mapping
import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from adapters_jax.layers import parameters
from adapters_jax.methods import base
from adapters_jax.methods import bottleneck

# Per [in, out] slice of a [terms, in, out] parameter of W. AdapterHub ignores
# `hypercomplex_nonlinearity` and always takes 'glorot-normal'.
_INITS = {
    'glorot-uniform': nn.initializers.variance_scaling(
        1, 'fan_avg', 'uniform', batch_axis=0),
    'glorot-normal': nn.initializers.variance_scaling(
        1, 'fan_avg', 'normal', batch_axis=0),
    'normal': nn.initializers.normal(0.01),
}
_PHM = (
    'phm_dim', 'phm_rank', 'factorized_phm_W', 'shared_W_phm',
    'shared_phm_rule', 'factorized_phm_rule', 'phm_c_init', 'phm_init_range',
    'learn_phm', 'phm_bias', 'hypercomplex_nonlinearity')


@dataclasses.dataclass(frozen=True)
class Compacter(bottleneck.Bottleneck):
  """A bottleneck with parameterised hypercomplex kernels.

  `hypercomplex_nonlinearity` chooses the initial kernels; `init` has no effect.

  Attributes:
    phm_dim: Number n of terms of the sum, a divisor of all widths.
    phm_rank: Rank of a factorised W_i.
    factorized_phm_W: Whether W_i is a product of two thin matrices.
    shared_W_phm: Whether all layers share W.
    shared_phm_rule: Whether all layers share A.
    factorized_phm_rule: Whether A_i is a column times a row.
    phm_c_init: Initialisation of A, 'normal' or 'uniform'.
    phm_init_range: Standard deviation of a shared normal A.
    learn_phm: Whether A is trained.
    phm_bias: Whether the projections have biases.
    hypercomplex_nonlinearity: Initialisation of W: 'glorot-uniform',
      'glorot-normal' or 'normal' with 0.01. The name comes from the paper's
      code.
  """
  phm_dim: int = 4
  phm_rank: int = 1
  factorized_phm_W: bool = True  # pylint: disable=invalid-name
  shared_W_phm: bool = False  # pylint: disable=invalid-name
  shared_phm_rule: bool = True
  factorized_phm_rule: bool = False
  phm_c_init: str = 'normal'
  phm_init_range: float = 1e-4
  learn_phm: bool = True
  phm_bias: bool = True
  hypercomplex_nonlinearity: str = 'glorot-uniform'

  choices = {
      **bottleneck.Bottleneck.choices, 'phm_c_init': ('normal', 'uniform'),
      'hypercomplex_nonlinearity': _INITS}
  training_fields = (
      *bottleneck.Bottleneck.training_fields, 'phm_c_init', 'phm_init_range',
      'hypercomplex_nonlinearity')
  adapterhub_fixed = {
      **bottleneck.Bottleneck.adapterhub_fixed,
      'phm_layer': (True, 'a bottleneck without such layers is no compacter')}
  adapterhub_fields = (*bottleneck.Bottleneck.adapterhub_fields, *_PHM)
  adapterhub_names = (
      *bottleneck.Bottleneck.adapterhub_names,
      (r'^(down|up)_weight$', r'W_\1'),
      (r'^(down|up)_(left|right)$', r'W_\1_\2'),
      (r'(^|\.)(?:fixed_)?rule', r'\1phm_rule'),
      (r'(^|\.)(left|right)$', r'\1W_\2'),
      (r'(adapter_(?:down\.\d|up))\.weight$', r'\1.W'),
      (r'(adapter_(?:down\.\d|up))\.bias$', r'\1.b'))

  def __post_init__(self):
    super().__post_init__()
    base.demand(self.phm_dim >= 1, 'phm_dim', self.phm_dim, '1 or more')
    base.demand(self.phm_rank >= 1, 'phm_rank', self.phm_rank, '1 or more')

  @classmethod
  def reads_adapterhub(cls, values: Mapping[str, Any]) -> bool:
    """Returns whether a config of AdapterHub has PHM layers."""
    return (values.get('architecture') is None
            and bool(values.get('phm_layer')))

  def to_adapterhub(self, shape: Any) -> dict[str, Any]:
    """Returns the config of AdapterHub."""
    own = {name: getattr(self, name) for name in _PHM}
    # AdapterHub cannot build a PHM layer with another `init_weights`. Loading
    # the file replaces the initial weights.
    return {**super().to_adapterhub(shape), **own, 'phm_layer': True,
            'init_weights': 'bert'}

  def neutral(
      self, leaves: Mapping[str, Any]
  ) -> dict[str, Any] | None:
    """Returns leaves with u = 0; None where all layers share the kernel.

    Args:
      leaves: {path: leaf} of the module at one site, of numpy.
    """
    if self.shared_W_phm and not self.ln_after:
      return None
    return super().neutral(leaves)

  def make_shared(self, name: str) -> nn.Module | None:
    """Returns the module of the shared rule and kernels, if any."""
    if self.shared_phm_rule or self.shared_W_phm:
      return Shared(self, name=name)
    return None

  def rule(self, module: nn.Module, shared: bool) -> jax.Array:
    """Returns the rule A.

    Args:
      module: Module that holds the parameters.
      shared: Whether all sites share the module.

    Returns:
      [n, n, n]
    """
    n = self.phm_dim
    if self.phm_c_init == 'normal':
      init = nn.initializers.normal(self.phm_init_range if shared else 0.01)
    else:
      init = _uniform(1.0 if shared else 0.01)
    # `trees.role` recognises frozen leaves by the prefix.
    fixed = '' if self.learn_phm else 'fixed_'
    if not self.factorized_phm_rule:
      return module.param(f'{fixed}rule', init, (n, n, n))
    left = module.param(f'{fixed}rule_left', init, (n, n, 1))
    return left @ module.param(f'{fixed}rule_right', init, (n, 1, n))

  def weight(
      self, module: nn.Module, inputs: int, features: int, prefix: str = ''
  ) -> jax.Array:
    """Returns the weights W.

    Args:
      module: Module that holds the parameters.
      inputs: Width of the input.
      features: Width of the output.
      prefix: Prefix of the parameters' names.

    Returns:
      [n, inputs / n, features / n]
    """
    n = self.phm_dim
    for width in (inputs, features):
      base.demand(width % n == 0, 'phm_dim', n, f'a divisor of {width}')
    shape = (n, inputs // n, features // n)
    init = _INITS[self.hypercomplex_nonlinearity]
    if not self.factorized_phm_W:
      return module.param(f'{prefix}weight', init, shape)
    # W_i = left_i @ right_i, [inputs / n, rank] times [rank, features / n].
    left = module.param(f'{prefix}left', init, (*shape[:2], self.phm_rank))
    return left @ module.param(
        f'{prefix}right', init, (n, self.phm_rank, shape[2]))

  def project(
      self, x: jax.Array, features: int, name: str, shared: Any
  ) -> jax.Array:
    """Applies one PHM layer inside the calling module.

    Args:
      x: [..., dim] Input.
      features: Width of the output.
      name: Name of the layer.
      shared: Arrays of `Shared`, None without any.

    Returns:
      [..., features]
    """
    return Dense(self, features, name=name)(x, shared or {})


class Dense(parameters.Module):
  """A linear layer whose kernel is a sum of Kronecker products."""
  config: Compacter
  features: int

  @nn.compact
  def __call__(self, x: jax.Array, shared: dict[str, jax.Array]) -> jax.Array:
    """Applies the layer.

    Args:
      x: [..., dim] Input.
      shared: The shared ones of 'rule' and the weights 'down' and 'up'.

    Returns:
      [..., features]
    """
    config = self.config
    rule = shared['rule'] if 'rule' in shared else config.rule(self, False)
    weight = (shared[self.name] if self.name in shared else
              config.weight(self, x.shape[-1], self.features))
    # The axes of a Kronecker product: rows (a, i), columns (b, o).
    kernel = jnp.einsum('nab,nio->aibo', rule, weight)
    kernel = kernel.reshape(x.shape[-1], self.features).astype(x.dtype)
    y = x @ kernel
    if config.phm_bias:
      y = y + self.param(
          'bias', nn.initializers.zeros, (self.features,)).astype(x.dtype)
    return y


class Shared(parameters.Module):
  """Rule and weights that the layers of a Compacter share."""
  config: Compacter

  @nn.compact
  def __call__(self, shape: Any, *, train: bool) -> dict[str, jax.Array]:
    """Returns the shared arrays.

    Args:
      shape: The encoder's BertConfig.
      train: Unused.

    Returns:
      The shared ones of 'rule' and the weights 'down' and 'up'.
    """
    del train
    config, shared = self.config, {}
    if config.shared_phm_rule:
      shared['rule'] = config.rule(self, True)
    if config.shared_W_phm:
      width = config.width(shape.dim, 0)  # One W needs one width.
      shared['down'] = config.weight(self, shape.dim, width, 'down_')
      shared['up'] = config.weight(self, width, shape.dim, 'up_')
    return shared


def _uniform(scale):
  """Returns an initialiser of U(-scale, scale)."""
  return lambda key, shape, dtype: jax.random.uniform(
      key, shape, dtype, minval=-scale, maxval=scale)


COMPACTER = Compacter(
    size=None, reduction_factor=32, activation='gelu', init='bert')
COMPACTER_PLUS = dataclasses.replace(
    COMPACTER, sites=('ffn_output',), original_ln_before=True)
