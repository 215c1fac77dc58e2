"""Composes adapters of a bank into one, by a setup.

The composed adapter has the methods of all its members, their leaves under the
indices of these methods, one set of layer norms and one head. It is saved,
loaded and applied like any other.
"""

from collections.abc import Mapping
import dataclasses

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import arguments
from adapters_jax.adapters import bank as bank_lib
from adapters_jax.adapters import joined_leaves
from adapters_jax.adapters import member_checks
from adapters_jax.adapters import shared_norms
from adapters_jax.model import block_checks
from adapters_jax.model import composition
from adapters_jax.model import setups

Bank = Mapping[str, adapter_lib.Adapter]


def compose(
    bank: Bank, setup: composition.Setup, *, head: str = ''
) -> adapter_lib.Adapter:
  """Composes adapters that act on one hidden state.

  >>> bank = {'film': film, 'food': food}
  >>> aj.compose(bank, aj.Stack('film', 'food', norms='last')).method
  'stack(film, food, norms=last)'

  Args:
    bank: Adapters.
    setup: Stack, Average, Split or Fuse over names of the bank, or its text,
      such as 'stack(film, food)'. The attention of a `Fuse`, and a head for it,
      are trained afterwards.
    head: Name of the adapter whose head to use; by default that of the last.

  Returns:
    The composed adapter, with the labels, texts and longest input of that
    head's adapter.

  Raises:
    errors.UserError: an unknown or empty name, two members of one name,
      adapters of several bases, trained norms that differ, or methods that have
      no meaning in the setup.
  """
  arguments.demand_bank(bank, "compose({'a': one, 'b': two}, 'stack(a, b)')")
  setup = checked_setup(bank, setup)
  found = setups.columns(setup)
  if len(found) != 1 or len(found[0]) != 1:
    raise errors.UserError(
        f'`setup`: {setup} gives texts to several adapters; predict takes it, '
        'compose takes blocks on one hidden state')
  _, setup = found[0][0]
  if isinstance(setup, str):
    if head in ('', setup):
      return bank[setup]
    setup = composition.Stack(setup)
  members = list(setups.names(setup))
  if '' in members:  # The text of such a setup could not be read.
    raise errors.UserError('`bank`: give each member a name, not an empty one')
  chosen = bank_lib.find(bank, head or members[-1])
  member_checks.check(
      {name: bank[name] for name in filter(None, [*members, head])},
      fused=setups.fused(setup))
  norms = shared_norms.norms_of(bank, setup)
  whole, tuned, methods = joined_leaves.join(bank, setup)
  tree, _ = setups.over_methods(whole, dict(methods))
  configs = tuple(
      config for name in members for config in bank[name].methods)
  layers = [trees.layer_of(path) for path in trees.flatten(tuned)]
  block_checks.check(tree, configs, 1 + max(filter(None, layers), default=0))
  if head or not joined_leaves.untrained(whole, tuned):
    tuned = trees.overlay(tuned, {
        part: leaves for part, leaves in chosen.tuned.items()
        if trees.is_above(part)})
  else:
    chosen = dataclasses.replace(chosen, labels=())
  # Adapters of other libraries name no base.
  known = next((one for one in (chosen, *map(bank.get, members)) if one.base),
               chosen)
  return dataclasses.replace(
      chosen, base=known.base, base_files=known.base_files,
      methods=configs, tuned=trees.overlay(tuned, norms),
      setup=whole, members=methods, scores={}, settings={}, history=(),
      task='+'.join(dict.fromkeys(bank[name].task for name in members)))


def checked_setup(bank: Bank, setup: composition.Setup) -> composition.Setup:
  """Returns a setup, parsed, whose names are all in the bank.

  Args:
    bank: Adapters.
    setup: Setup or its text; a name of the bank stands for that adapter.

  Raises:
    errors.UserError: an unknown name, or another type.
  """
  if isinstance(setup, str) and setup not in bank:
    setup = setups.parse(setup)
  if not isinstance(setup, (str, composition.Block)):
    raise errors.UserError(
        "`setup`: give a block, as in Stack('a', 'b'), or its text, not "
        f'{type(setup).__name__}')
  for name in setups.names(setup):
    bank_lib.find(bank, name)
  return setup


def segments(
    bank: Bank, setup: composition.Setup, count: int
) -> list[tuple[dict[str, adapter_lib.Adapter], list[str]]]:
  """Returns the adapters of a setup, and which of them reads each text.

  Args:
    bank: Adapters.
    setup: Setup of any blocks.
    count: Number of texts.

  Returns:
    One pair per answer to a text: ({setup as text: composed adapter}, key of
    the adapter for each text).

  Raises:
    errors.UserError: as for `compose`, batch sizes of another sum, or two
      members of one key.
  """
  setup = checked_setup(bank, setup)
  found = []
  columns = setups.columns(setup)
  member_checks.check_keys(columns)
  for column in columns:
    sizes = [count if size is None else size for size, _ in column]
    if sum(sizes) != count:
      raise errors.UserError(
          f'`setup`: the batch_sizes of {setup} sum to {sum(sizes)}, and there '
          f'are {count} texts')
    keys = [key for size, (_, inner) in zip(sizes, column, strict=True)
            for key in [str(inner)] * size]
    found.append((
        {str(inner): compose(bank, inner) for _, inner in column}, keys))
  return found


def branches(
    bank: Bank, setup: composition.Setup
) -> dict[str, adapter_lib.Adapter]:
  """Returns {setup as text: composed adapter}, one for each answer to a text.

  Args:
    bank: Adapters.
    setup: Setup without BatchSplit; several answers are those of a Parallel.

  Raises:
    errors.UserError: as for `compose`, or a BatchSplit.
  """
  found = setups.columns(checked_setup(bank, setup))
  member_checks.check_keys(found)
  if any(len(column) > 1 for column in found):
    raise errors.UserError(
        f'`setup={setup}`: batch_split needs the number of texts; leave it '
        'out and give `adapter_column`, which names the adapter of each')
  return {str(inner): compose(bank, inner) for (_, inner), in found}


def member(adapter: adapter_lib.Adapter, name: str) -> adapter_lib.Adapter:
  """Returns one of the adapters in a composed one.

  It keeps the layer norms and the head of the whole, with which it was trained,
  but no scores.

  >>> both = aj.compose({'a': film, 'b': food}, 'stack(a, b, norms=last)')
  >>> aj.member(both, 'b').method
  'lora[r=2]'

  Args:
    adapter: Composed adapter.
    name: Name of the member.

  Raises:
    errors.UserError: no such member, or an adapter without members.
  """
  arguments.demand_adapter(adapter)
  counts = dict(adapter.members)
  if not counts:
    raise errors.UserError(
        '`adapter`: it is a single one, without members; aj.compose makes one '
        'of several')
  if name not in counts:
    raise errors.unknown('`name`', name, counts)
  _, places = setups.over_methods(adapter.setup, counts)
  start = dict(places)[name]  # Any place: all hold the same leaves.
  stop = start + counts[name]

  def keep(path):
    index = trees.method_of(path)
    return not trees.is_fusion(path) and (
        index is None or start <= index < stop)

  tuned, _ = trees.split(adapter.tuned, keep)
  return dataclasses.replace(
      adapter, methods=adapter.methods[start:stop],
      tuned=joined_leaves.shifted(tuned, -start, 0), setup=None, members=(),
      scores={}, history=())  # Both describe the whole.
