"""Counts the parameters of an adapter that its training changed."""

from collections.abc import Mapping
from typing import Any

from adapters_jax import trees
from adapters_jax.adapters import settings as settings_lib
from adapters_jax.training import frozen_cache
from adapters_jax.training import selections


def count(
    tuned: trees.Tree, methods: tuple[Any, ...],
    members: tuple[tuple[str, int], ...], settings: Mapping[str, Any],
) -> int:
  """Returns the number of parameters that the training of an adapter changed.

  Args:
    tuned: Tuned tree of the adapter.
    methods: Its methods.
    members: (name, number of methods) of each of its members.
    settings: Settings of its training; {} for a composed or imported adapter.
  """
  if not members or not settings.get('adapters'):
    return trees.count_trained(tuned)
  tune = settings.get('tune', settings_lib.DEFAULTS['tune'])
  own: tuple[Any, ...] = ()
  if tune == 'adapters':
    own = methods[len(methods) - members[-1][1]:]  # The new one is the last.
  layers = {trees.layer_of(path) for path in trees.flatten(tuned)} - {None}
  norm_layers = None
  if own and settings.get('norm_layers') == 'same':
    norm_layers = tuple(
        layer for layer in sorted(layers) if frozen_cache.adapted(own, layer))
  select = selections.make_select(
      tune, len(layers), settings.get('tune_norms', True), norm_layers, 1,
      len(methods) - len(own))
  # Frozen adapters bring no head.
  return trees.count_trained(trees.split(
      tuned, lambda path: trees.is_above(path) or select(path))[0])
