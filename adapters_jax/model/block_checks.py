"""Checks which methods the blocks of a setup can hold."""

from collections.abc import Sequence
from typing import Any

from adapters_jax import errors
from adapters_jax.methods import base
from adapters_jax.model import composition
from adapters_jax.model import endings
from adapters_jax.model import setups

# Why a method cannot be one of several members on one hidden state.
_JOINTLY = {'key_value': 'the attention', 'embedding': 'the embeddings',
            'layer': 'whole layers'}


def check(tree: Any, methods: Sequence[base.Method], layers: int) -> None:
  """Checks that blocks hold methods for which they are defined.

  Args:
    tree: Result of `setups.over_methods`.
    methods: Methods of the model.
    layers: Number of layers with methods.

  Raises:
    errors.UserError: one line that names the method and the way out.
  """
  _check_blocks(tree, methods, layers)
  endings.check(methods, tree, layers)


def _check_blocks(
    tree: Any, methods: Sequence[base.Method], layers: int
) -> None:
  """Raises UserError for methods that a block cannot hold; see `check`."""
  if tree is None or isinstance(tree, composition.Part):
    return
  for member in tree.members:
    _check_blocks(member, methods, layers)
  if isinstance(tree, composition.Stack):
    return
  found = [methods[n] for part in setups.parts(tree)
           for n in range(part.start, part.stop)]
  for method in found:
    name = type(method).__name__
    if isinstance(tree, composition.Fuse):
      _check_fused(tree, method)
    if method.kind in ('key_value', 'embedding', 'layer') and not (
        method.kind == 'layer' and isinstance(tree, composition.Average)):
      raise errors.UserError(
          f'{tree.word}: {name} acts on the whole text, in '
          f'{_JOINTLY[method.kind]}; give stack or parallel'
          + ', or merge the adapters' * (method.kind == 'key_value'))
  if isinstance(tree, composition.Average):
    _check_averaged(found, layers)


def _check_averaged(found: Sequence[base.Method], layers: int) -> None:
  """Raises UserError for methods whose results at a site have no mean."""
  for site in base.LINEARS:
    for layer in range(layers):
      kinds = {method.kind for method in found if method.applies(site, layer)}
      if {'input', 'linear'} <= kinds:
        raise errors.UserError(
            f'average: at {site}, a method that scales inputs has no mean with '
            'one that updates outputs; give stack or parallel')


def _check_fused(tree: composition.Fuse, method: Any) -> None:
  """Raises UserError for a method whose updates cannot be mixed."""
  if not method.fuses:
    raise errors.UserError(
        f'fuse: is for bottleneck adapters, not {type(method).__name__}; give '
        'average, or train the members as bottlenecks')
  stacked = any(isinstance(m, composition.Stack) for m in tree.members)
  if (method.ln_after and method.adapter_residual_before_ln) or (
      stacked and method.residual_before_ln is not True):
    raise errors.UserError(
        'fuse: the update of an adapter with adapter_residual_before_ln=True, '
        'or in a stack with residual_before_ln=False, has no value apart from '
        'its residual; train the members as seq_bn or houlsby')
