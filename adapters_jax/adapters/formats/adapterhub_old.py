"""Converts files of AdapterHub's first format to the present one.

The format is that of adapter-transformers 1.x: tensors are named after the type
of the adapter, and the entry 'invertible_adapter' is a config of its own. Files
of 'text_task' adapters often have that entry without the tensors.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from adapters_jax import errors
from adapters_jax.adapters.formats import weights

# {part of an old name: its present name}
_NAMES = {
    f'{place}_text_{kind}_adapters': 'adapters'
    for place in ('attention', 'layer') for kind in ('task', 'lang')} | {
        'invertible_lang_adapters': 'invertible_adapters'}


def renamed(tensors: Mapping[str, np.ndarray]) -> weights.Tensors:
  """Returns tensors under their present names; those are left unchanged."""
  found = {}
  for key, value in tensors.items():
    for old, new in _NAMES.items():
      key = key.replace(old, new)
    found[key] = value
  return found


def flattened(values: Any) -> Any:
  """Replaces 'invertible_adapter' in a config by the two present entries.

  Args:
    values: The 'config' of an adapter_config.json.

  Raises:
    errors.UserError: the entry is malformed.
  """
  if not isinstance(values, Mapping) or 'invertible_adapter' not in values:
    return values
  values = dict(values)
  nested = values.pop('invertible_adapter')
  if not nested:
    return values
  if not isinstance(nested, Mapping) or not {
      'block_type', 'reduction_factor'} <= nested.keys():
    raise errors.UserError(
        f'`invertible_adapter={nested!r}`: it should have block_type and '
        'reduction_factor')
  # Its own 'non_linearity' was never read: the bottleneck's applies.
  return {**values, 'inv_adapter': nested['block_type'],
          'inv_adapter_reduction_factor': nested['reduction_factor']}


def without_unused(
    values: Any, kind: Any, tensors: Mapping[str, Any]
) -> Any:
  """Removes an invertible adapter from a config if it has no tensors.

  Args:
    values: The 'config' of an adapter_config.json.
    kind: Its 'type'; only task adapters may lack the tensors.
    tensors: Tensors of the adapter under their present names.
  """
  if (kind != 'text_task' or not isinstance(values, Mapping)
      or any('invertible_adapters.' in key for key in tensors)):
    return values
  return {**values, 'inv_adapter': None, 'inv_adapter_reduction_factor': None}
