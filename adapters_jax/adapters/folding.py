"""Folds methods of linear layers into a base, so that they cost nothing."""

import jax
import jax.numpy as jnp

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import arguments
from adapters_jax.methods import places
from adapters_jax.model import base as base_lib
from adapters_jax.model import families


def fold(
    base: base_lib.Base | trees.Tree, adapter: adapter_lib.Adapter
) -> tuple[trees.Tree, trees.Tree]:
  """Folds methods of linear layers into a base, so that they cost nothing.

  Where a method scales outputs, the bias is scaled too. (AdapterHub does not
  scale it, so that a merged IA3 or DoRA has other outputs than before.)

  Args:
    base: Pretrained encoder, or its tree.
    adapter: Adapter of LoRA, DoRA, VeRA or IA3.

  Returns:
    (folded, replaced): the tree with adapter, norms and head, for a model
    without adapters; and the replaced leaves of the base, for `unfold`.

  Raises:
    errors.UserError: arguments in another order, a method that is not a change
      of weights, or several adapters that are not one after the other.
  """
  arguments.demand_adapter(adapter, 'fold(base, adapter)')
  if adapter.composition is not None:
    raise errors.UserError(
        f'`adapter`: {adapter.setup} cannot be folded into the base, only '
        'stacks of names; aj.merge the adapters first')
  for config in adapter.methods:
    if not config.folds:
      raise errors.UserError(
          f'{type(config).__name__} cannot be folded into the base: it is not '
          'a change of weights')
  tree = base_lib.tree_of(base)
  flat = trees.flatten(tree)
  tuned = trees.flatten(adapter.tuned)
  changed = {path: leaf for path, leaf in tuned.items()
             if trees.role(path) not in ('adapter', 'fixed')}
  for layer in sorted({trees.layer_of(path) for path in flat} - {None}):
    for site, module in families.LINEARS.items():
      stem = module.format(layer)
      kernel, bias = f'{stem}/kernel', f'{stem}/bias'
      if any(config.applies(site, layer) for config in adapter.methods):
        # Folding only scales biases, so the zeros for an absent one stay zero.
        start = flat.get(bias)
        with jax.default_matmul_precision('highest'):  # GPU, TPU would round.
          changed[kernel], moved = _adapted(
              flat[kernel],
              jnp.zeros(flat[kernel].shape[-1:]) if start is None else start,
              adapter.methods, tuned, layer, site)
        if start is not None:
          changed[bias] = moved
  replaced = {path: flat[path] for path in changed if path in flat}
  return (trees.overlay(tree, trees.unflatten(changed)),
          trees.unflatten(replaced))


def unfold(folded: trees.Tree, replaced: trees.Tree) -> trees.Tree:
  """Restores the base as before `fold`, bit for bit; added heads remain.

  Args:
    folded: First result of `fold`.
    replaced: Second result of `fold`.
  """
  return trees.overlay(folded, replaced)


def _adapted(kernel, bias, configs, tuned, layer, site):
  """Returns (kernel, bias) of one linear layer with all methods in them."""
  start = kernel, bias
  # Scales of inputs go last: updates read the scaled inputs too.
  for kind in ('linear', 'input'):
    for index, config in enumerate(configs):
      if config.kind == kind and config.applies(site, layer):
        own = _below(tuned, places.linear_path(site, layer, index))
        shared = _below(tuned, f'encoder/adapter_shared_{index}')
        kernel, bias = config.fold(kernel, bias, start, own, shared)
  return kernel, bias


def _below(flat, module):
  """Returns the leaves of a module, {path below it: leaf}."""
  return {path.removeprefix(f'{module}/'): leaf for path, leaf in flat.items()
          if path.startswith(f'{module}/')}
