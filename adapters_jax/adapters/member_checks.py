"""Checks of adapters that act on one hidden state."""

from collections.abc import Collection, Mapping
from typing import Any

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.model import base as base_lib


def check(
    members: Mapping[str, adapter_lib.Adapter], fused: Collection[str] = ()
) -> None:
  """Checks that adapters have one base, and read as many texts.

  Args:
    members: Adapters of one hidden state.
    fused: Names of members of a Fuse. They may read another number of texts:
      its attention is trained on inputs of its own.

  Raises:
    errors.UserError: adapters that differ, or with fine-tuned weights.
  """
  (first_name, first), *others = members.items()
  for name, adapter in members.items():
    if any(trees.role(path) == 'encoder'
           for path in trees.flatten(adapter.tuned)
           if path.split('/')[0] not in trees.ABOVE):
      raise errors.UserError(
          f'adapter {name!r} has fine-tuned weights of the base; give it to '
          'parallel, where each member has a base of its own')
  for name, adapter in others:
    for what, one, two in (
        ('base', adapter.base, first.base),
        ('family of encoders', adapter.family, first.family),
        ('activation', adapter.hidden_activation, first.hidden_activation)):
      if one != two and not (what == 'base' and (
          not one or not two or base_lib.same(str(one), str(two)))):
        raise _differ(first_name, name, what, two, one)
  counts = {name: len(adapter.texts) for name, adapter in members.items()
            if name not in fused and _reads_texts(adapter)}
  for name, count in counts.items():
    one, wanted = next(iter(counts.items()))
    if count != wanted:
      raise _differ(one, name, 'number of texts', wanted, count)


def _reads_texts(adapter: adapter_lib.Adapter) -> bool:
  """Returns whether an adapter was trained on labelled texts.

  Running text has neither number nor limit: a language adapter serves tasks
  of one text and of two.
  """
  return not adapter.head.pretrained and (
      adapter.outputs is not None or not adapter.head.dense)


def _differ(
    first: str, second: str, what: str, one: Any, two: Any
) -> errors.UserError:
  """Returns the error for two members that share no hidden state."""
  return errors.UserError(
      f'adapters {first!r} and {second!r} differ in their {what} '
      f'({one or "none"} and {two or "none"}), and share one hidden state; '
      'give parallel')
