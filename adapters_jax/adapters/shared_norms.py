"""Layer norms of adapters that share one hidden state."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.model import composition


def norms_of(
    bank: Mapping[str, adapter_lib.Adapter], setup: composition.Setup
) -> trees.Tree:
  """Returns the trained layer norms of a setup, {} for the pretrained ones.

  Args:
    bank: Adapters.
    setup: Setup on one hidden state.

  Raises:
    errors.UserError: the norms of members differ, and the setup does not say
      which to use.
  """
  if isinstance(setup, str):
    return trees.split(
        bank[setup].tuned, lambda path: trees.role(path) == 'norm')[0]
  if setup.norms == 'base':
    return {}
  found = [norms_of(bank, one) for one in setup.members]
  if setup.norms in ('first', 'last'):
    return found[0 if setup.norms == 'first' else -1]
  trained = [norms for norms in found if norms]
  if setup.norms == 'average' and trained:
    return _mean(setup, found)
  for norms in trained[1:]:
    if not trees.equal(norms, trained[0]):
      raise errors.UserError(
          f'`setup`: the members of {setup} have trained layer norms that '
          'differ, and share one hidden state; give norms=last, first, average '
          'or base, or train them with `tune_norms=False`')
  return trained[0] if trained else {}


def _mean(
    setup: composition.Block, found: Sequence[trees.Tree]
) -> trees.Tree:
  """Returns the mean of norms, weighted as the block weighs its members."""
  first = trees.flatten(found[0])
  if any(trees.flatten(norms).keys() != first.keys() for norms in found):
    raise errors.UserError(
        f'`setup`: not all members of {setup} have trained the same layer '
        'norms, so there is no average; give norms=last, first or base')
  shares = getattr(setup, 'shares', (1 / len(found),) * len(found))

  def mean(*leaves: Any) -> Any:
    return sum(share * np.asarray(leaf)
               for share, leaf in zip(shares, leaves, strict=True))

  return jax.tree.map(mean, *found)
