"""Layers of heads in files: an adapter's leaves over those of its base."""

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib

# {part: leaves without which other libraries would draw random ones}
_NEEDED = {'pooler': ('kernel', 'bias'), 'head_norm': ('scale',)}


def has_pooler(adapter: adapter_lib.Adapter) -> bool:
  """Returns whether an adapter has a whole pooler; BitFit tunes its bias."""
  return not _missing('pooler', adapter.tuned.get('pooler', {}))


def leaves_of(
    part: str, adapter: adapter_lib.Adapter, base: trees.Tree
) -> trees.Tree:
  """Returns the leaves of a layer of a head.

  Args:
    part: Name of the layer in the tree.
    adapter: Adapter, which may have some of the leaves or none.
    base: Pretrained tree, for the other leaves.

  Raises:
    errors.UserError: a leaf is in neither.
  """
  leaves = trees.overlay(base.get(part, {}), adapter.tuned.get(part, {}))
  if missing := _missing(part, leaves):
    name = 'a pooler' if part == 'pooler' else f'{part}/{missing[0]}'
    raise errors.UserError(
        f'`base`: the head reads {name}, which neither the files of the base '
        'nor the adapter have')
  return leaves


def _missing(part: str, leaves: trees.Tree) -> list[str]:
  """Returns the names of the needed leaves that a layer lacks."""
  return [name for name in _NEEDED.get(part, ('kernel',)) if name not in leaves]
