"""The ends of sublayers: one residual sum and one norm, after all adapters.

A method with `original_ln_after=False`, such as Adapter+, ends its sublayer
itself. A method after it would take the sublayer's output for an update, to
which sum and norm are still to come, and even adapters that add nothing would
change the base.

In layers such as ModernBERT's, sublayers end with the sum, and no norm.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from adapters_jax import errors
from adapters_jax.methods import strings
from adapters_jax.model import composition
from adapters_jax.model import sites as sites_lib


# {field: value of methods that presume no norm at the end of a sublayer}
_NO_NORM = {'original_ln_before': False, 'original_ln_after': True}


def check_pre_norm(
    methods: Sequence[Any], family: str, text: str = ''
) -> None:
  """Checks that methods presume no norm at the end of sublayers.

  Args:
    methods: Methods of a model.
    family: Name of its family of encoders, for messages.
    text: Those methods that a user has named, as the user has written them.

  Raises:
    errors.UserError: a method reads that norm, or leaves it out.
  """
  for part in strings.split(text, '|') if text else ():
    if fields := _without_norm(found := strings.parse(part)):
      raise _presumes(found, fields, family, part, f'`adapter_config={text}`')
  for method in methods:
    if fields := _without_norm((method,)):
      written = strings.render((method,))
      raise _presumes((method,), fields, family, written, written)


def _without_norm(methods: Sequence[Any]) -> dict[str, bool]:
  """Returns {field: value} to set, {} for methods that presume no norm."""
  fields = {}
  for method in methods:
    if method.kind == 'sublayer':
      fields |= {field: value for field, value in _NO_NORM.items()
                 if getattr(method, field) != value}
      # This residual goes with reading the norm.
      if method.residual_before_ln == 'post_add':
        fields['residual_before_ln'] = True
  return fields


def _presumes(
    methods: Sequence[Any], fields: Mapping[str, bool], family: str, text: str,
    where: str,
) -> errors.UserError:
  """Returns the error for methods that presume a norm.

  Args:
    methods: Methods that a name stands for.
    fields: Result of `_without_norm`.
    family: As for `check_pre_norm`.
    text: The name, perhaps with fields.
    where: Start of the message.
  """
  name = text.partition('[')[0].strip()
  changes = ', '.join(f'{field}={str(value).lower()}'
                      for field, value in fields.items())
  inverse = '_inv' * any(method.invertible for method in methods)
  return errors.UserError(
      f'{where}: sublayers of {family} end without a norm, and {name} presumes '
      f'one; set {changes}, as in {name}[{changes}], or give another method, '
      f'such as double_seq_bn{inverse}')


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
