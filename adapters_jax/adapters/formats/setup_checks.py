"""Checks for setups that the `adapters` library computes in another way."""

from collections.abc import Iterator
from typing import Any

from adapters_jax import errors
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.methods import base
from adapters_jax.methods import bottleneck
from adapters_jax.methods import ia3
from adapters_jax.model import composition
from adapters_jax.model import setups

# Names become folders and torch modules, and commas join them in fusions.
_APART = './\\,'


def is_plain(name: Any) -> bool:
  """Returns whether a value can be the library's name of an adapter."""
  return (isinstance(name, str) and name.isprintable() and bool(name.strip())
          and not set(_APART) & set(name))


def check_name(name: Any, what: str) -> None:
  """Raises UserError for a name that the library cannot use for an adapter.

  Args:
    name: Name of an adapter.
    what: Name of the value; starts the message.
  """
  if not is_plain(name):
    raise errors.UserError(
        f'{what}: {name!r} is no name in `adapters`; give one without dots, '
        'slashes and commas')


def difference(adapter: adapter_lib.Adapter) -> str:
  """Returns why the library computes a composed adapter in another way.

  Args:
    adapter: Composed adapter.

  Returns:
    The reason, '' if the outputs are equal.
  """
  # Not `adapter.composition`, which is None if all methods act in order.
  tree, occurrences = setups.over_methods(
      adapter.setup, dict(adapter.members))
  counts = dict(adapter.members)
  parts = [adapter.methods[start:start + counts[name]]
           for name, start in occurrences]
  reasons = [*_in_blocks(adapter.setup)]
  for fuse in setups.fuses(tree):
    reasons += _in_fuse([
        method for part in setups.parts(fuse)
        for method in adapter.methods[part.start:part.stop]])
  reasons += _in_stack(parts)
  return reasons[0] if reasons else ''


def _in_blocks(setup: composition.Setup) -> Iterator[str]:
  """Yields reasons against the form of a setup."""
  if isinstance(setup, str):
    return
  if not isinstance(setup, (composition.Stack, composition.Fuse)):
    yield f'a folder has stacks and fuses, not {setup.word}'
  if isinstance(setup, composition.Fuse) and any(
      isinstance(member, composition.Block) for member in setup.members):
    yield 'a fuse has names there, no blocks'
  for member in setup.members:
    yield from _in_blocks(member)


def _in_stack(parts: list[tuple[base.Method, ...]]) -> Iterator[str]:
  """Yields reasons against the methods of members, in order."""
  if any(method.kind in ('embedding', 'layer')
         for part in parts[1:] for method in part):
    yield ('invertible adapters, prompts and ReFTs count there in the first '
           'member only')
  blocks = [[method for method in part
             if isinstance(method, bottleneck.Bottleneck)] for part in parts]
  blocks = [found for found in blocks if found]
  if len(blocks) > 1 and any(
      method.is_parallel for found in blocks for method in found):
    yield 'parallel bottlenecks do not stack there'
  linear = [[method for method in part if method.kind in ('linear', 'input')]
            for part in parts]
  linear = [found for found in linear if found]
  # The library, too, multiplies factors of IA3 without gates.
  if len(linear) > 1 and not all(
      isinstance(method, ia3.IA3) and not method.use_gating
      for found in linear for method in found):
    yield 'two members with LoRA or the like do not add up there'


def _in_fuse(methods: list[Any]) -> Iterator[str]:
  """Yields reasons against the bottlenecks of a fuse."""
  if any(method.is_parallel for method in methods):
    yield 'a fuse of parallel bottlenecks adds their input twice there'
  if any(method.use_gating for method in methods):
    yield 'a fuse leaves out the gates there'
  if any(method.ln_after for method in methods):
    yield 'a fuse leaves out the norm of ln_after there'
  if len({method.original_ln_before for method in methods}) > 1:
    yield 'all of a fuse have the original_ln_before of the last there'
