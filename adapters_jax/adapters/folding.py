"""Folds methods of linear layers into a base, so that they cost nothing."""

import dataclasses
import hashlib

import jax
import jax.numpy as jnp
import numpy as np

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import arguments
from adapters_jax.adapters import compiled
from adapters_jax.methods import places
from adapters_jax.methods import strings
from adapters_jax.model import base as base_lib
from adapters_jax.model import encoder
from adapters_jax.model import families
from adapters_jax.model import precision


def fold(
    base: base_lib.Base, adapter: adapter_lib.Adapter
) -> tuple[base_lib.Base, adapter_lib.Adapter]:
  """Folds an adapter into a base, so that it costs nothing.

  The new base is one of its own: only the new adapter fits it. It shares all
  leaves that do not change with `base`. Where a method scales outputs, the bias
  is scaled too. (AdapterHub does not scale it, so that a merged IA3 or DoRA has
  other outputs than before.)

  >>> fast, head = aj.fold(base, food)
  >>> aj.predict(fast, head, ['A joy.'])
  [Prediction(label=..., probabilities={'negative': ..., 'positive': ...})]

  Args:
    base: Pretrained encoder, which is not changed.
    adapter: Adapter of LoRA, DoRA, VeRA or IA3, of layer norms, or of
      fine-tuned weights.

  Returns:
    (the base with the adapter in it, the rest of the adapter: its head). With
    an adapter that is a head alone, the arguments.

  Raises:
    errors.UserError: arguments in another order, an adapter of another base, a
      method that is not a change of weights, or several adapters that are not
      one after the other.
  """
  arguments.demand_base(base, 'fold(base, adapter)')
  arguments.demand_adapter(adapter, 'fold(base, adapter)')
  compiled.check_base(base.identity, adapter, 'the adapter')
  above, below = trees.split(adapter.tuned, trees.is_above)
  if not below:
    return base, adapter
  _check_folds(adapter)
  shape = compiled.encoder_config(base, adapter.hidden_activation)
  compiled.check_leaves(
      trees.split(base.params, trees.is_above)[1], below, encoder.Bert(
          dataclasses.replace(shape, adapters=adapter.methods)), 'the adapter')
  params, _ = fold_tree(
      base.params, dataclasses.replace(adapter, tuned=below))
  identity = base_lib.folded_identity(base.identity, _digest(adapter, below))
  folded = dataclasses.replace(
      base, identity=identity,
      params=jax.device_put(precision.cast(base.precision, params)),
      config=dataclasses.replace(base.config, activation=shape.activation))
  return folded, dataclasses.replace(
      adapter, methods=(), setup=None, members=(), tuned=above, base=identity)


def fold_tree(
    tree: trees.Tree, adapter: adapter_lib.Adapter
) -> tuple[trees.Tree, trees.Tree]:
  """Folds an adapter into the tree of a base.

  Args:
    tree: Tree of a pretrained encoder.
    adapter: Adapter, as for `fold`.

  Returns:
    (folded, replaced): the tree with adapter, norms and head, for a model
    without adapters; and the replaced leaves of the base, for `unfold`.

  Raises:
    errors.UserError: a method that is not a change of weights, or several
      adapters that are not one after the other.
  """
  _check_folds(adapter)
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
  """Restores the tree as before `fold_tree`, bit for bit; new heads remain.

  Args:
    folded: First result of `fold_tree`.
    replaced: Second result of `fold_tree`.
  """
  return trees.overlay(folded, replaced)


def _check_folds(adapter: adapter_lib.Adapter) -> None:
  """Raises UserError for an adapter that is no change of weights."""
  if adapter.composition is not None:
    raise errors.UserError(
        f'`adapter`: {adapter.setup} cannot be folded into the base, only '
        'stacks of names; aj.merge the adapters first')
  for config in adapter.methods:
    if not config.folds:
      raise errors.UserError(
          f'{type(config).__name__} cannot be folded into the base: it is not '
          'a change of weights')


def _digest(adapter: adapter_lib.Adapter, below: trees.Tree) -> str:
  """Returns a hash of an adapter without its head.

  Args:
    adapter: Adapter.
    below: Its leaves without the head.
  """
  found = hashlib.sha256(repr((
      strings.render(adapter.methods), adapter.hidden_activation)).encode())
  for path, leaf in trees.flatten(jax.device_get(below)).items():
    found.update(path.encode())
    # In the type of saved adapters, which are folded to the same base.
    found.update(np.asarray(leaf, np.float32).tobytes())
  return found.hexdigest()


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
