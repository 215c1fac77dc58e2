"""Checks the arguments of `merge`."""

from collections.abc import Mapping
import math
import numbers
from typing import Any

from adapters_jax import errors
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import arguments
from adapters_jax.adapters import field_checks
from adapters_jax.data import sequences
from adapters_jax.methods import values as values_lib

_LARGEST_SEED = 2**32 - 1
_LARGEST_SUM = 3e38  # Of weights, in float32.


def check_types(
    bank: Any, how: Any, base: Any, density: Any, seed: Any, rank: Any
) -> None:
  """Checks the types of the arguments of `merge`.

  Args:
    bank: {name: adapter}.
    how: Name of the rule.
    base: Pretrained encoder or None.
    density: Share of the numbers to keep.
    seed: Seed of the random drops.
    rank: Rank of merged updates, 0 for none.

  Raises:
    errors.UserError: one of another type.
  """
  arguments.demand_bank(bank, "merge({'a': one, 'b': two})")
  if not bank:
    raise errors.UserError('`bank`: there is no adapter to merge')
  if not isinstance(how, str):
    raise errors.UserError(
        f"`how={how!r}`: give the name of a rule, such as 'average'")
  arguments.demand_base_or_none(base)
  if math.isnan(_number(density)):
    raise errors.UserError(
        f'`density={density!r}`: give a share above 0, up to 1')
  for name, value, most in (
      ('seed', seed, _LARGEST_SEED), ('rank', rank, math.inf)):
    if not field_checks.is_integer(value) or not 0 <= int(value) <= most:
      raise errors.UserError(
          f'`{name}={value!r}`: give an integer, 0 '
          + (f'to {most:,}' if most < math.inf else 'or more'))


def weights_of(
    bank: Mapping[str, adapter_lib.Adapter], weights: Any
) -> list[float] | None:
  """Returns the weight of each adapter, in the order of the bank.

  Args:
    bank: {name: adapter}.
    weights: Numbers in that order, {name: number}, or None for equal ones.

  Raises:
    errors.UserError: names that are not those of the bank, a weight that is no
      finite number, or a sum that is none in float32.
  """
  if weights is None:
    return None
  if isinstance(weights, Mapping):
    for name in weights:
      if name not in bank:
        raise errors.unknown('`weights`', name, bank)
    for name in bank:
      if name not in weights:
        raise errors.UserError(f'`weights`: there is none for {name!r}')
    weights = [weights[name] for name in bank]
  found = sequences.as_list('weights', weights)
  for weight in found:
    if not math.isfinite(_number(weight)):
      raise errors.UserError(
          f'`weights`: give a finite number for each adapter, not {weight!r}')
  found = [_number(weight) for weight in found]
  if sum(map(abs, found)) > _LARGEST_SUM:
    raise errors.UserError('`weights`: their sum is too large for float32')
  return found


def _number(value: Any) -> float:
  """Returns a number of Python, numpy or JAX as a float; NaN for none."""
  value = values_lib.scalar(value)
  if not isinstance(value, numbers.Real) or isinstance(value, bool):
    return math.nan
  return float(value)
