"""Checks of the settings of a run, by themselves and together. No JAX here."""

import dataclasses
import difflib
import math
import numbers
from typing import Any, cast

from adapters_jax import errors
from adapters_jax.runs import options

_LARGEST = 2**31 - 1  # Largest int32 of JAX. Seeds are uint32.

# (field, its range as a predicate, the range in words)
_RANGES = (
    ('adapter_size', lambda v: 1 <= v <= 2**16, '1 to 65,536'),
    ('init_scale', lambda v: 0 <= v < math.inf,
     'a finite standard deviation, >= 0'),
    ('learning_rate', lambda v: 0 < v < math.inf, 'a finite rate above 0'),
    ('warmup', lambda v: 0 <= v <= 1, 'a share from 0 to 1'),
    ('weight_decay', lambda v: 0 <= v < math.inf, '0 or more'),
    ('clip_norm', lambda v: v > 0, 'a norm above 0'),  # inf: no clipping.
    ('dropout', lambda v: -math.inf < v < 1, 'a finite rate below 1'),
    ('label_smoothing', lambda v: 0 <= v < 1, 'a share from 0 to below 1'),
    ('patience', lambda v: 0 <= v <= _LARGEST, f'0 to {_LARGEST:,}'),
    ('batch_size', lambda v: 1 <= v <= 2**20, '1 to 1,048,576'),
    ('epochs', lambda v: 0 <= v <= 1e6, '0 to 1,000,000'),
    ('max_steps', lambda v: 0 <= v <= _LARGEST, f'0 to {_LARGEST:,}'),
    ('max_length', lambda v: 3 <= v <= _LARGEST, '3 or more'),
    ('buckets', lambda v: 0 <= v <= _LARGEST, f'0 to {_LARGEST:,}'),
    ('train_examples', lambda v: 0 <= v <= _LARGEST, f'0 to {_LARGEST:,}'),
    ('eval_every', lambda v: 0 <= v <= _LARGEST, f'0 to {_LARGEST:,}'),
    ('seed', lambda v: 0 <= v < 2**32, f'0 to {2**32 - 1:,}'),
    ('dev_fraction', lambda v: 0 <= v < 1, 'a share from 0 to below 1'),
    ('test_fraction', lambda v: 0 <= v < 1, 'a share from 0 to below 1'),
    ('mask_rate', lambda v: 0 < v < 1, 'a share between 0 and 1'),
    ('similarity_scale', lambda v: 0 < v < math.inf, 'a finite factor above 0'),
    ('threads', lambda v: 0 <= v <= 1024, '0 to 1,024'),
    ('join_seconds', lambda v: 1 <= v <= _LARGEST, f'1 to {_LARGEST:,}'),
    ('save_minutes', lambda v: 0 <= v < math.inf, '0 or more'),
)
# The fields with few choices. Those of `tune` and `optimizer` are the keys of
# tables in training.selections and training.optimizers, which need JAX; a test
# compares them.
CHOICES = {
    'tune': ('adapters', 'full', 'top_k', 'norms', 'bias', 'head',
             'fusion', 'none'),
    'optimizer': ('adam', 'adapter_bert'),
    'norm_layers': ('all', 'same'),
    'head_input': ('cls', 'pooler', 'cls_gelu', 'cls_relu', 'cls_norm',
                   'mean_norm'),
    'precision': (
        'float32', 'tensorfloat32', 'bfloat16', 'bfloat16_products'),
    'file_task': (
        'classification', 'regression', 'multilabel', 'multiple_choice',
        'pairs', 'text'),
    'pair_loss': ('', 'multiple_negatives', 'cosent', 'cosine'),
    'pooling': ('', 'mean', 'cls', 'max', 'mean_sqrt_len_tokens',
                'weightedmean', 'lasttoken'),
}

_KINDS = {bool: (bool, 'True or False'), int: (numbers.Integral, 'an integer'),
          float: (numbers.Real, 'a number'), str: (str, 'a string')}


def convert_types(config: Any) -> None:
  """Gives every setting the type of its field, so that equal runs hash equal.

  Args:
    config: Settings, a `config.Config`; fields of floats may hold integers, and
      numbers may be numpy's.

  Raises:
    errors.UserError: a value of another type.
  """
  # A number too, for callers in Python.
  object.__setattr__(config, 'threshold', _threshold(config.threshold))
  for field in dataclasses.fields(config):
    value, wanted = getattr(config, field.name), cast(type, field.type)
    if type(value) is wanted:
      continue
    kind, words = _KINDS[wanted]
    # True is an integer to Python.
    if not isinstance(value, kind) or isinstance(value, bool):
      shown = ' '.join(repr(value).split())  # An array's has several lines.
      raise errors.UserError(
          f'`{field.name}={shown:.60}`: give {words}{_example(field.name)}')
    object.__setattr__(config, field.name, wanted(value))


def _example(name: str) -> str:
  """Returns values that a setting may have, as the end of a message."""
  if choices := [*filter(None, CHOICES.get(name, ()))]:
    return f', one of {", ".join(choices)}'
  return ", the name of one, such as 'accuracy'" if name == 'metric' else ''


def _threshold(value: Any) -> Any:
  """Returns a threshold as a string; UserError unless it is a probability."""
  if value in ('', 'dev'):
    return value
  try:
    number = float(value)
  except (TypeError, ValueError):
    number = math.nan
  if not 0 < number < 1:
    raise errors.UserError(
        f"`threshold={value}`: give a probability between 0 and 1, or 'dev'")
  return str(number)  # One string for 0.3 and '0.30': equal runs hash equal.


def check_settings(config: Any) -> None:
  """Checks settings without the task, the base or any file.

  Args:
    config: Settings, a `config.Config`.

  Raises:
    errors.UserError: a number outside its range, an unknown choice, or
      settings that contradict each other.
  """
  _check_numbers(config)
  for name, choices in CHOICES.items():
    if getattr(config, name) not in choices:
      raise _unknown(name, getattr(config, name), choices)
  if config.metric:
    from adapters_jax.data import metrics  # Imports numpy; --help needs none.
    if config.metric not in metrics.NAMES:
      raise errors.unknown(
          '`metric`', config.metric, metrics.NAMES, metrics.SAME)
  if config.class_weights:
    from adapters_jax.data import class_weights  # Imports numpy.
    class_weights.parse(config.class_weights)
  _check_files(config)
  _check_frozen(config)
  _check_drop(config)
  if config.tune == 'adapters':
    _check_adapters(config)


def _check_drop(config: Any) -> None:
  """Raises UserError for `adapter_drop` where it would have no effect."""
  if not config.adapter_drop:
    return
  if config.tune != 'adapters' or config.cache_frozen:
    other = 'cache_frozen' if config.cache_frozen else f'tune={config.tune}'
    raise errors.UserError(
        f'`adapter_drop={config.adapter_drop}`: goes with `tune=adapters`, '
        f'and without `{other}`')
  if not config.dropped_layers:
    raise errors.UserError(
        f"`adapter_drop={config.adapter_drop}`: give numbers, like '0-5'")


def _check_frozen(config: Any) -> None:
  """Raises UserError for saved adapters that `tune` cannot use."""
  if config.adapters and config.tune in ('full', 'top_k', 'bias'):
    raise errors.UserError(
        f'`adapters={config.adapters}`: stay frozen below what '
        f'`tune={config.tune}` trains; give `tune=adapters`, fusion, norms or '
        'head')
  if config.tune == 'fusion' and not config.adapters:
    raise errors.UserError(
        '`tune=fusion`: name the adapters to fuse, as in '
        '`adapters=one=DIR,two=DIR`')
  if config.setup and not config.adapters:
    raise errors.UserError(
        f'`setup={config.setup}`: is for frozen adapters; give `adapters`')


def _check_numbers(config: Any) -> None:
  """Raises UserError for a number outside its range."""
  def demand(good, name, wanted):
    if not good:
      raise errors.UserError(
          f'`{name}={getattr(config, name)}`: give {wanted}')

  for name, good, wanted in _RANGES:
    demand(good(getattr(config, name)), name, wanted)  # False for nan.
  demand(config.accumulate >= 1 and config.batch_size % config.accumulate == 0,
         'accumulate', f'a divisor of `batch_size={config.batch_size}`')
  demand(config.epochs > 0 or config.max_steps > 0, 'epochs',
         'more than 0, or `max_steps`')


def _unknown(name: str, value: str, choices: tuple[str, ...]) -> Exception:
  """Returns the error for an unknown choice, with near matches."""
  # A near miss of a choice, such as 'adapter', names no method.
  if name == 'tune' and not difflib.get_close_matches(
      value, choices, cutoff=0.8):
    from adapters_jax import methods  # Imports JAX.
    from adapters_jax.methods import hints
    method = value.partition('[')[0]
    if method in methods.CONFIGS:
      return errors.UserError(
          f'`tune={value}`: {method} is a method; give '
          f'`adapter_config={value}`')
    if advice := hints.of_method(method, methods.CONFIGS):
      return errors.UserError(f'`tune`: {method!r} {advice}')
  return errors.unknown(f'`{name}`', value, choices)


def _check_files(config: Any) -> None:
  """Raises UserError for own data that lack a file or a column."""
  if config.files and not config.train_file:
    raise errors.UserError('own data needs `train_file`')
  if config.train_file and not config.dev_file and not config.dev_fraction:
    raise errors.UserError(
        'own data needs `dev_file` beside `train_file`, or `dev_fraction=0.1` '
        'to hold a tenth of it out')
  if config.test_fraction and (config.test_file or not config.dev_fraction):
    raise errors.UserError(
        f'`test_fraction={config.test_fraction}`: is for own data with '
        '`dev_fraction` and without `test_file`')
  if config.dev_fraction + config.test_fraction >= 1:
    raise errors.UserError(
        '`dev_fraction`, `test_fraction`: together they leave no examples to '
        'train on')
  if config.dev_fraction and config.dev_file:
    raise errors.UserError(
        f'`dev_fraction={config.dev_fraction}`: is for own data without '
        '`dev_file`')
  columns = config.columns
  if len(columns) not in (1, 2) or len(set(columns)) < len(columns):
    raise errors.UserError(
        f'`text_columns={config.text_columns}`: name one column, or two '
        'different ones')
  if not config.label_column:
    raise errors.UserError('`label_column=`: name the column of the labels')
  _check_forms(config)
  if config.files and {config.label_column, *_label_columns(config)} & {
      *columns}:
    raise errors.UserError(
        f'`label_column={config.label_column}`: it is one of '
        f'`text_columns={config.text_columns}` too, so the text would be the '
        'label')


def _label_columns(config: Any) -> tuple[str, ...]:
  """Returns the columns of the labels in own data."""
  if config.file_task == 'multilabel':
    return config.label_columns
  return (config.label_column,)


def _check_forms(config: Any) -> None:
  """Raises UserError for settings of labels that the kind of data lacks."""
  fields = type(config)
  for name, form in (('label_separator', 'multilabel'),
                     ('choice_columns', 'multiple_choice')):
    value = getattr(config, name)
    if value != getattr(fields, name) and config.file_task != form:
      raise errors.UserError(
          f'`{name}={value}`: goes with `file_task={form}`')
  columns = _label_columns(config)
  if len(set(columns)) < len(columns) or not config.label_separator:
    raise errors.UserError(
        f'`label_column={config.label_column}`: name different columns, and a '
        '`label_separator`')
  if config.file_task != 'multiple_choice':
    return
  if config.text_columns != fields.text_columns and not config.choice_columns:
    raise errors.UserError(
        f'`text_columns={config.text_columns}`: name the choices too, with '
        '`choice_columns`; without both, known layouts are read')


def _check_adapters(config: Any) -> None:
  """Raises UserError for flags of the default adapter that have no effect.

  Args:
    config: Settings that train adapters.
  """
  if not config.adapter_config:
    if not config.adapter_sites.strip(' ,'):
      raise errors.UserError(
          '`adapter_sites=`: name a sublayer; `adapter_layers=none` is for no '
          'adapter at all')
    return
  for name in options.marked(type(config), 'bottleneck'):
    value = getattr(config, name)
    if value != getattr(type(config), name):  # The default.
      raise errors.UserError(
          f'`{name}={value}` is for the default adapter; '
          + _written(config.adapter_config, name, value))


def _written(text: str, name: str, value: Any) -> str:
  """Returns advice to write a setting into `adapter_config`."""
  from adapters_jax import methods  # Imports JAX.
  from adapters_jax.methods import hints
  from adapters_jax.methods import strings
  strings.parse(text, '`adapter_config`')  # Raises for an unknown method.
  for part in text.split('|'):
    method = part.partition('[')[0].strip()
    for config in methods.CONFIGS.get(method, ()):
      words = config.words()
      field = name if name in words else hints.of_field(name, words)
      if field:
        # Layers and sites are lists there.
        written = value if name not in (
            'adapter_layers', 'adapter_sites') else '[...]'
        return ('write it into `adapter_config`, as in '
                f'{method}[{field}={written}]')
  return f'{text} has no such field, so leave it out'
