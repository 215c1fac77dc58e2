"""Named adapters on one base: a plain dict, and pure functions on it.

A bank is `{name: Adapter}`. Every function returns a new value and leaves its
arguments unchanged, so a failed call changes nothing.
"""

from collections.abc import Hashable, Iterable, Mapping
import dataclasses
import io

import jax
import rich.console
import rich.markup
import rich.table

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import compiled
from adapters_jax.methods import strings
from adapters_jax.model import base as base_lib
from adapters_jax.model import encoder
from adapters_jax.model import heads
from adapters_jax.model import precision

Bank = dict[str, adapter_lib.Adapter]


def find(
    bank: Mapping[str, adapter_lib.Adapter], name: str
) -> adapter_lib.Adapter:
  """Looks up an adapter by name.

  Args:
    bank: Adapters.
    name: Name of one of them.

  Raises:
    errors.UserError: an unknown name; the message suggests similar ones.
  """
  if name not in bank:
    if not bank:
      raise errors.UserError(f'adapter: unknown {name!r}; the bank is empty')
    raise errors.unknown('adapter', name, bank)
  return bank[name]


def add(
    bank: Mapping[str, adapter_lib.Adapter], name: str,
    adapter: adapter_lib.Adapter, *,
    overwrite: bool = False,
) -> Bank:
  """Returns the bank with one more adapter.

  Args:
    bank: Adapters.
    name: Name of the new adapter.
    adapter: New adapter.
    overwrite: Whether it may replace one of the same name.

  Raises:
    errors.UserError: the name is taken, and `overwrite` is false.
  """
  if name in bank and not overwrite:
    raise errors.UserError(
        f'adapter: there is a {name!r} already; give another name or '
        'overwrite=True')
  return {**bank, name: adapter}


def delete(bank: Mapping[str, adapter_lib.Adapter], name: str) -> Bank:
  """Returns the bank without an adapter.

  Args:
    bank: Adapters.
    name: Name of the one to delete.

  Raises:
    errors.UserError: an unknown name.
  """
  find(bank, name)
  return {key: value for key, value in bank.items() if key != name}


def rename(
    bank: Mapping[str, adapter_lib.Adapter], old: str, new: str, *,
    overwrite: bool = False,
) -> Bank:
  """Returns the bank with an adapter under a new name, in its old place.

  Args:
    bank: Adapters.
    old: Name of the adapter.
    new: New name.
    overwrite: Whether it may replace an adapter of the new name.

  Raises:
    errors.UserError: `old` is unknown, or `new` is taken and `overwrite` is
      false.
  """
  adapter = find(bank, old)
  # Called for its check; an adapter may keep its own name.
  add(bank, new, adapter, overwrite=overwrite or new == old)
  # Skips a replaced adapter, and keeps the order of the others.
  return {new if key == old else key: value for key, value in bank.items()
          if key == old or key != new}


def activate(
    bank: Mapping[str, adapter_lib.Adapter], name: str,
    shape: base_lib.Base | encoder.BertConfig,
    base: trees.Tree | None = None,
) -> tuple[heads.Model, trees.Tree]:
  """Returns (model, params) of the base with an adapter and its head.

  Args:
    bank: Adapters.
    name: Name of the adapter to use.
    shape: Pretrained encoder; or its shape, with its tree as `base`.
    base: Pretrained tree; that of the encoder when None.

  Raises:
    errors.UserError: an unknown name, an adapter without a head or of another
      base, or a shape without a tree.
  """
  adapter = find(bank, name)
  for one in (shape, base):
    if isinstance(one, base_lib.Base):
      compiled.check_base(one.identity, adapter, f'adapter {name!r}')
  tree = base_lib.tree_of(shape if base is None else base)
  if isinstance(shape, base_lib.Base):
    shape = shape.config
  if adapter.outputs is None:
    raise errors.UserError(f'adapter: {name!r} has no head')
  if adapter.hidden_activation:
    shape = dataclasses.replace(shape, activation=adapter.hidden_activation)
  model = heads.make(
      shape, adapter.methods, adapter.outputs, adapter.head_input,
      adapter.composition)
  return model, trees.overlay(tree, adapter.tuned)


def stack(
    bank: Mapping[str, adapter_lib.Adapter], names: Iterable[str]
) -> tuple[adapter_lib.Adapter, trees.Tree]:
  """Stacks adapters of one method and shape, e.g. for `apply_mixed`.

  Args:
    bank: Adapters.
    names: Names of those to stack, in order.

  Returns:
    (first adapter, tree with leaves [n, ...] of the n adapters).

  Raises:
    errors.UserError: no name, an unknown one, or adapters of different
      methods or shapes.
  """
  names = list(names)
  if not names:
    raise errors.UserError('adapter: name one or more')
  adapters = [find(bank, name) for name in names]
  first = adapters[0]
  for name, adapter in zip(names, adapters, strict=True):
    for what, one, two, own, wanted in zip(
        ('is of another method', 'has another head', 'has another activation'),
        _described(adapter), _described(first), _kind(adapter), _kind(first),
        strict=True):
      if own != wanted:
        raise errors.UserError(
            f'adapter: {name!r} {what} than {names[0]!r} ({one}, {two}); '
            'adapters of one method, kind of head and activation can be '
            'stacked and merged')
    trees.check_same(adapter.tuned, first.tuned, f'adapter {name!r}')
  return first, trees.stack(adapter.tuned for adapter in adapters)


def _kind(adapter: adapter_lib.Adapter) -> tuple[Hashable, ...]:
  """Returns the facts in which stacked adapters agree, the shapes apart."""
  return ((adapter.methods, adapter.composition), adapter.head_input,
          adapter.hidden_activation)


def _described(adapter: adapter_lib.Adapter) -> tuple[str, str, str]:
  """Returns the entries of `_kind` in words, for messages."""
  # A setup names its members, whose methods may differ.
  method = adapter.method if adapter.setup is None else (
      f'{adapter.method} of {strings.render(adapter.methods)}')
  return (method, adapter.head_input,
          adapter.hidden_activation or "the base's")


def apply_mixed(
    model: heads.Model, base: base_lib.Base | trees.Tree, stacked: trees.Tree,
    ids: jax.Array, tokens: jax.Array, segments: jax.Array, mask: jax.Array,
) -> jax.Array:
  """Runs a batch in which each example names its own adapter.

  Every example gets a copy of its adapter's leaves, so memory grows with batch
  size times adapter size.

  Args:
    model: Model of one of the adapters, with its head.
    base: Pretrained encoder, or its tree.
    stacked: Stacked trees of `stack`.
    ids: [batch] int32, index into `stacked` for each example.
    tokens: [batch, length] int32.
    segments: [batch, length] int32.
    mask: [batch, length] bool.

  Returns:
    [batch, outputs] logits.
  """
  model = precision.under_vmap(model)
  tree = base_lib.tree_of(base)

  def one(tuned, *example):
    inputs = (array[None] for array in example)  # [1, length] each
    # `tree` is closed over, so that vmap does not copy it.
    params = trees.overlay(tree, tuned)
    return model.apply({'params': params}, *inputs)[0]  # [outputs]

  # The taken leaves are [batch, ...].
  return jax.vmap(one)(trees.take(stacked, ids), tokens, segments, mask)


def summary(
    bank: Mapping[str, adapter_lib.Adapter], base: base_lib.Base | trees.Tree,
    active: str | None = None,
) -> str:
  """Returns a table: name, method, parameters, % of the base, active.

  Parameters are those that its training changed, head and norms included.

  Args:
    bank: Adapters.
    base: Pretrained encoder, or its tree.
    active: Name of the adapter in use, None for none.

  Raises:
    errors.UserError: `active` is unknown.
  """
  if active is not None:
    find(bank, active)
  table = rich.table.Table()
  for column in ('name', 'method', 'parameters', '% of base', 'active'):
    table.add_column(
        column, justify='right' if column[0] in 'p%' else 'left')
  escape = rich.markup.escape  # Rich reads '[r=4]' as a style otherwise.
  total = trees.count(base_lib.tree_of(base))
  for name, adapter in bank.items():
    count = adapter.trained_params
    table.add_row(
        escape(name), escape(adapter.method), f'{count:,}',
        f'{100 * count / total:.2f}', 'yes' if name == active else '')
  table.add_section()
  table.add_row('base', '', f'{total:,}', '100.00', '')
  text = io.StringIO()
  # In a notebook rich would display the table and leave the text empty.
  rich.console.Console(
      file=text, width=100, force_jupyter=False, color_system=None).print(table)
  return text.getvalue()
