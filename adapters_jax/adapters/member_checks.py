"""Checks that adapters can act on one hidden state, or answer side by side."""

from collections.abc import Collection, Iterable, Mapping
import itertools
import operator

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.model import base as base_lib
from adapters_jax.model import composition


def check(
    members: Mapping[str, adapter_lib.Adapter], fused: Collection[str] = ()
) -> None:
  """Checks that adapters have one base, and read as many texts.

  Args:
    members: Adapters of one hidden state.
    fused: Names of members of a Fuse. They may read another number of texts, as
      the attention of the Fuse is trained on new inputs.

  Raises:
    errors.UserError: adapters that differ, or with fine-tuned weights.
  """
  for name, adapter in members.items():
    if any(trees.role(path) == 'encoder'
           for path in trees.flatten(adapter.tuned)
           if not trees.is_above(path)):
      raise errors.UserError(
          f'adapter {name!r} has fine-tuned weights of the base; give it to '
          'parallel, where each member has a base of its own')
  if found := difference(members, fused):
    raise errors.UserError(
        f'{found}, and share one hidden state; give parallel')


def difference(
    members: Mapping[str, adapter_lib.Adapter], fused: Collection[str] = ()
) -> str | None:
  """Describes a difference between two adapters, None if all agree.

  Compares base, family of encoders, activation and number of texts, as far as
  they are known.

  Args:
    members: Adapters by name.
    fused: Names of those whose number of texts may differ.
  """
  # Adapters of other libraries name no base.
  bases = {name: adapter.base for name, adapter in members.items()
           if adapter.base}
  for what, values, same in (
      ('base', bases, base_lib.same),
      ('family of encoders',
       {name: one.family for name, one in members.items()}, operator.eq),
      ('activation',
       {name: one.hidden_activation or "the base's"
        for name, one in members.items()}, operator.eq),
      ('number of texts',
       {name: str(len(one.texts)) for name, one in members.items()
        if name not in fused and _reads_texts(one)}, operator.eq)):
    for name, value in values.items():
      first, wanted = next(iter(values.items()))
      if not same(value, wanted):
        return (f'adapters {first!r} and {name!r} differ in their {what} '
                f'({wanted} and {value})')
  return None


def _reads_texts(adapter: adapter_lib.Adapter) -> bool:
  """Returns whether an adapter was trained on labelled texts.

  Language adapters were not: they serve tasks of one text or of two.
  """
  return not adapter.head.pretrained and (
      adapter.outputs is not None or not adapter.head.dense)


def check_keys(
    columns: Iterable[Iterable[tuple[int | None, composition.Setup]]]
) -> None:
  """Checks that each answer of a setup has a key of its own.

  Args:
    columns: Result of `setups.columns`.

  Raises:
    errors.UserError: a block is written like the name of another member.
  """
  known: dict[str, composition.Setup] = {}
  for _, inner in itertools.chain.from_iterable(columns):
    if known.setdefault(str(inner), inner) != inner:
      raise errors.UserError(
          f"`setup`: '{inner}' is a block and the name of an adapter, so that "
          'their answers would have one key; rename the adapter')
