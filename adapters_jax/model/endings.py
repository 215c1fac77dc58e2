"""The ends of sublayers: one residual sum and one norm, after all adapters.

A method with `original_ln_after=False`, such as Adapter+, ends its sublayer
itself. A method after it would take the sublayer's output for an update, to
which sum and norm are still to come, and even adapters that add nothing would
change the base.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from adapters_jax import errors
from adapters_jax.methods import strings
from adapters_jax.model import composition
from adapters_jax.model import sites as sites_lib


def check(methods: Sequence[Any], tree: Any, layers: int) -> None:
  """Checks that sublayers end once.

  Args:
    methods: Methods of a model.
    tree: Result of `setups.over_methods` for them; None where they act one
      after the other.
    layers: Number of layers of the model.

  Raises:
    errors.UserError: a method follows one that ends its sublayer, or members
      side by side end it in different ways.
  """
  if all(method.original_ln_after for method in methods):
    return
  tree = tree or composition.Part(0, len(methods))
  for site in sites_lib.SITES:
    for layer in range(layers):
      closes(tree, {
          index: method for index, method in enumerate(methods)
          if method.kind == 'sublayer' and method.applies(site, layer)})


def closes(node: Any, present: Mapping[int, Any]) -> bool | None:
  """Returns whether the sublayer's sum and norm follow its methods.

  Args:
    node: Tree over methods, or a part of it.
    present: {index: method} of the methods in the sublayer.

  Returns:
    None without methods.

  Raises:
    errors.UserError: as for `check`.
  """
  if isinstance(node, composition.Part):
    found = [present[index].original_ln_after
             for index in range(node.start, node.stop) if index in present]
  else:
    found = [closes(member, present) for member in node.members]
  known = [one for one in found if one is not None]
  if isinstance(node, (composition.Part, composition.Stack)):
    if False in known[:-1]:
      first = next(method for method in present.values()
                   if not method.original_ln_after)
      raise errors.UserError(
          f'{strings.render((first,))}: it ends its sublayer '
          '(original_ln_after=False), so that none can follow it there; put it '
          'last, or give average or parallel')
  # A fuse adds a mix of updates, and its last member ends the sublayer.
  elif not isinstance(node, composition.Fuse) and False in known and (
      True in known or None in found):
    raise errors.UserError(
        f'{node.word}: one of its members ends without the layer norm '
        '(original_ln_after=False), another with it; give stack or parallel')
  return known[-1] if known else None
