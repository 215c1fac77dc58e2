"""Checks the arguments of `train`, and derives settings from them."""

from collections.abc import Mapping
import dataclasses
import os
from typing import Any

from adapters_jax import errors
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import arguments
from adapters_jax.api import train_names
from adapters_jax.data import class_weights
from adapters_jax.data import given
from adapters_jax.data import memory
from adapters_jax.data import metrics
from adapters_jax.methods import base as methods_base
from adapters_jax.methods import strings
from adapters_jax.methods import values as values_lib
from adapters_jax.model import base as base_lib
from adapters_jax.runs import checks
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import start as start_lib
from adapters_jax.runs.kinds import chosen_kind
from adapters_jax.runs.kinds import kind as kind_lib

# Settings that `train` takes from its own arguments, or that concern files,
# folders and hosts.
NOT_SETTINGS = (
    'task', 'checkpoint', 'tune', 'adapter_config', 'train_file', 'dev_file',
    'test_file', 'dev_fraction', 'test_fraction', 'text_columns',
    'label_column', 'label_separator', 'choice_columns', 'negative_column',
    'file_task', 'workdir', 'resume', 'save_minutes', 'track', 'coordinator',
    'processes', 'process', 'join_seconds', 'mesh', 'threads', 'adapters',
    'start')


def plain(settings: Mapping[str, Any]) -> dict[str, Any]:
  """Converts settings to the values that flags have.

  Args:
    settings: Settings that a user gave to `train`.

  Returns:
    {setting: value}: paths as strings, scalars of NumPy or JAX as Python's,
    {class: weight} as text.

  Raises:
    errors.UserError: two weights of a class.
  """
  found = {name: _plain(value) for name, value in settings.items()}
  if isinstance(found.get('class_weights'), Mapping):
    found['class_weights'] = class_weights.render(found['class_weights'])
  return found


def _plain(value: Any) -> Any:
  """Returns a path as a string, and a scalar of NumPy or JAX as Python's."""
  if isinstance(value, os.PathLike):
    return os.fspath(value)
  return values_lib.scalar(value)


def check_names(
    settings: Mapping[str, Any], data: Any = '', method: str = ''
) -> None:
  """Checks the names of settings.

  Args:
    settings: Settings that a user gave to `train`.
    data: Name of a task, or examples in memory.
    method: Method string.

  Raises:
    errors.UserError: a setting that `train` does not take, or not for the data,
      or an object of optax as its value.
  """
  allowed = [field.name for field in dataclasses.fields(config_lib.Config)
             if field.name not in NOT_SETTINGS]
  for name, value in settings.items():
    if name in NOT_SETTINGS:
      raise errors.UserError(f'setting: {name!r} {train_names.advice(name)}')
    if name not in allowed:
      raise train_names.unknown(name, allowed, method, value)
    train_names.check_value(name, value)
  if settings.get('data_dir') and not isinstance(data, str):
    raise errors.UserError(
        f'`data_dir={settings["data_dir"]}`: is for a task by name; leave it '
        'out')


def check_metric(metric: Any, kind: kind_lib.Kind, name: str) -> None:
  """Checks that some task has a metric; the message names those of this task.

  Args:
    metric: Setting of that name, '' for the default.
    kind: Kind of the task.
    name: Name of the task.

  Raises:
    errors.UserError: an unknown metric.
  """
  if isinstance(metric, str):  # Others are no strings, which is said later.
    try:
      task = kind.find(name)
    except errors.UserError:  # Of examples in memory, which have no name.
      return
    metrics.check_name(metric, task)


def defaults(
    base: base_lib.Base, data: Any, method: str,
    under: Mapping[str, adapter_lib.Adapter],
    start: adapter_lib.Adapter | None = None,
) -> dict[str, Any]:
  """Returns the settings that follow from the arguments of `train`.

  Args:
    base: Pretrained encoder.
    data: Name of a task, or examples in memory.
    method: Method string, or a value of `tune` other than 'adapters'; '' for
      the default, 'houlsby', or that of raw text.
    under: {name: adapter} of frozen adapters.
    start: Adapter to continue from, or None.

  Returns:
    {setting: value}: precision, maximum length in tokens, method, activation of
    the frozen adapters, and `tune_norms=False` for raw text. Settings of
    `start` win.

  Raises:
    errors.UserError: another method than that of `start`.
  """
  own = {} if start is None else _of_start(start, base, data, method)
  usual = chosen_kind.of(data).defaults
  method = (own.get('adapter_config') or own.get('tune') or method
            or usual.get('adapter_config', 'houlsby'))
  # 'adapters' is a value of `tune`, but not a choice of weights.
  tuned = method in checks.CHOICES['tune'] and method != 'adapters'
  configs = () if tuned else strings.parse(method, '`method`')
  taken = sum(config.positions_taken for several in (
      configs, *(one.methods for one in under.values())) for config in several)
  # Any of a bank will do: a later check refuses those that differ.
  activation = own.pop('hidden_activation', '') or next(
      (one.hidden_activation for one in under.values()), '')
  longest = own.pop('max_length', usual.get(
      'max_length', config_lib.Config.max_length))
  return {'precision': base.precision, 'hidden_activation': activation,
          'max_length': min(longest, base.config.longest - taken),
          'tune_norms': usual.get('tune_norms', config_lib.Config.tune_norms),
          'tune' if tuned else 'adapter_config': method, **own}


def _of_start(
    start: adapter_lib.Adapter, base: base_lib.Base, data: Any, method: str
) -> dict[str, Any]:
  """Returns the settings that follow from an adapter to continue from.

  Args:
    start: Adapter.
    base: Pretrained encoder.
    data: Name of a task, or examples in memory.
    method: Argument of the same name.

  Raises:
    errors.UserError: another method than that of the adapter, or an adapter
      from which no training can start.
  """
  start_lib.check(start)
  start_lib.check_method(start, method, base.config.layers)
  return start_lib.of_kind(
      start_lib.settings_of(start, base.config.layers), chosen_kind.of(data),
      data.form if isinstance(data, memory.Examples) else 'single')


def method_text(method: Any) -> Any:
  """Returns the method string of method configs; other values as they are.

  Args:
    method: Method string, config of a method, or several configs.

  Raises:
    errors.UserError: a config whose class is not registered, or configs among
      other values.
  """
  several = method if isinstance(method, tuple | list) else (method,)
  if not several or not methods_base.are_methods(several[:1]):
    return method
  return strings.render(
      methods_base.demand_methods(several, 'methods'), '`method`')


def check_arguments(
    base: Any, data: Any, method: Any, start: Any, dev: Any, test: Any
) -> None:
  """Checks the types of the arguments of `train`.

  Args:
    base: Pretrained encoder.
    data: Name of a task, or examples in memory.
    method: Method string, or a choice of weights of the base.
    start: Adapter, or None.
    dev: Examples that choose the best step, or None.
    test: Further examples, or None.

  Raises:
    errors.UserError: an argument of another type, or a changed base.
  """
  arguments.demand_base(base, 'train(base, data)')
  examples = 'Examples(texts=..., labels=...)'
  given.check(
      'data', data, str | chosen_kind.InMemory,
      f'the name of a task, or {examples}')
  for name, value, kinds, wanted in (
      ('method', method, str, "a string such as 'lora[r=8]', or methods"),
      ('start', start, adapter_lib.Adapter | None,
       'an Adapter, as load_adapter reads it')):
    if not isinstance(value, kinds):
      raise errors.UserError(
          f'`{name}`: give {wanted}, not {type(value).__name__}')
  kind: Any = chosen_kind.InMemory
  if isinstance(data, chosen_kind.InMemory):
    kind = type(data)
    if kind is not memory.Examples:
      examples = f'{kind.__name__}, as for training'
  for name, split in (('dev', dev), ('test', test)):
    given.check(name, split, kind | None, examples)
  # The run loads the checkpoint by name, and would miss changes in memory.
  base.check_unchanged('train')
