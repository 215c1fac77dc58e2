"""Adapter methods from the settings of a training run.

The settings are a plain dict, so that an adapter saved with them can be read
without the code that trained it.
"""

from collections.abc import Mapping
import math
from typing import Any

from adapters_jax import errors
from adapters_jax.downloads import json_files
from adapters_jax.methods import bottleneck
from adapters_jax.methods import bottleneck_fields
from adapters_jax.methods import strings

# Values of absent settings: the defaults of runs.config.Config, repeated as
# this package may not import runs.
DEFAULTS: dict[str, Any] = {
    'tune': 'adapters', 'adapter_config': '', 'adapter_size': 64,
    'adapter_layers': 'all', 'adapter_sites': 'attention_output,ffn_output',
    'init_scale': 1e-2, 'activation': 'gelu', 'head_input': 'cls',
    'hidden_activation': '', 'max_length': 128, 'checkpoint': 'minilm-l6'}
_LARGEST = 10**6  # Bound on max_length, in tokens, and on adapter_size.


def checked(values: dict[str, Any], where: str) -> dict[str, Any]:
  """Returns saved settings; raises UserError for a value of another type.

  Args:
    values: {name: value}. Names other than those of DEFAULTS may have any
      value, apart from 'precision'.
    where: Path of their file, for messages.
  """
  for name, default in {**DEFAULTS, 'precision': 'float32'}.items():
    if isinstance(default, str):
      json_files.string(values, name, where, default)
    elif isinstance(default, int):
      json_files.integer(values, name, where, 1, _LARGEST, default)
    elif isinstance(default, float):
      json_files.number(values, name, where, 0, math.inf, default)
    if name in values and values[name] is None:
      raise errors.UserError(f'{where} has no value for {name}')
  return values


def methods_of(
    values: Mapping[str, Any], layers: int | None
) -> tuple[Any, ...]:
  """Returns the adapter methods of the settings, () without adapters.

  Args:
    values: {name: value}; DEFAULTS hold for absent names.
    layers: Number of layers of the model; None if unknown, as with a saved
      adapter, which leaves layer numbers unchecked.

  Raises:
    errors.UserError: an unknown method, field or layer, or a method that adapts
      nothing.
  """
  values = {**DEFAULTS, **values}
  if values['tune'] != 'adapters':
    return ()
  if values['adapter_config']:
    configs = strings.parse(
        values['adapter_config'], '`adapter_config`', saved=layers is None)
    if layers is not None:
      strings.check_layers(configs, layers, '`adapter_config`')
      strings.check_effect(configs, layers, '`adapter_config`')
    return configs
  chosen = None
  if values['adapter_layers'] != 'all':
    chosen = parse_layers(values['adapter_layers'], layers, 'adapter_layers')
    if layers is not None and len(chosen) == layers:
      chosen = None  # As 'all': one method, one name, however it is written.
  sites = tuple(
      site.strip() for site in values['adapter_sites'].split(',')
      if site.strip())
  for site in sites:
    if site not in bottleneck_fields.SITES:
      raise errors.unknown('`adapter_sites`', site, bottleneck_fields.SITES)
  return (bottleneck.Bottleneck(
      size=values['adapter_size'], init_scale=values['init_scale'],
      activation=values['activation'], sites=sites, layers=chosen),)


def parse_layers(text: str, layers: int | None, name: str) -> tuple[int, ...]:
  """Returns the layer numbers of 'all', 'none' or '0-5,8', in order.

  Args:
    text: Layers as a user writes them.
    layers: Number of layers of the model; None if unknown ('all' needs it).
    name: Name of the field, for the message.

  Raises:
    errors.UserError: `text` has another form, or leaves the model.
  """
  if text == 'all' and layers is not None:
    return tuple(range(layers))
  if text == 'none':
    return ()  # No layer; a method's None stands for all.
  chosen = set()
  for part in text.split(','):
    first, dash, last = part.strip().partition('-')
    if not first.isdecimal() or (dash and not last.isdecimal()):
      raise errors.UserError(
          f"`{name}`: {text!r} is not of the form 'all', 'none' or '0-5,8'")
    start, end = int(first), int(last if dash else first)
    if start > end:
      raise errors.UserError(
          f'`{name}`: the range {part.strip()} runs backwards')
    if layers is not None and end >= layers:
      raise errors.UserError(
          f'`{name}`: there is no layer {end}; the model has {layers} layers, '
          f'numbered 0 to {layers - 1}')
    chosen.update(range(start, end + 1))
  return tuple(sorted(chosen))
