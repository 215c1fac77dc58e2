"""The tables of methods.md: learning rates that were best, and all settings."""

from collections.abc import Iterable
import dataclasses
import inspect

from adapters_jax.analysis import points as points_lib
from adapters_jax.analysis import reported
from adapters_jax.analysis import tables
from adapters_jax.api import face
from adapters_jax.api import help as help_lib
from adapters_jax.api import train_names
from adapters_jax.api import train_settings
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import options
from adapters_jax.runs import records

# Groups of --help; flags of folders and hosts are no settings of a training.
_GROUPS = 'task and data', 'method', 'training', 'speed'


def rates(found: Iterable[records.Record]) -> str:
  """Returns the rates tried for each method, the best in bold, as Markdown.

  Args:
    found: Records of any runs.
  """
  rows = []
  for point in reported.picked(points_lib.points(found)):
    tried = point.tried.get('learning_rate', ())
    if len(tried) > 1:
      best = point.settings['learning_rate']
      rows.append({
          'base': point.settings['checkpoint'], 'task': point.task,
          'method': point.method, 'rates tried': ', '.join(
              f'**{rate:g}**' if rate == best else f'{rate:g}'
              for rate in tried)})
  rows.sort(key=lambda row: (row['base'], row['task'], row['method']))
  return tables.markdown(rows)


def _shown() -> list[str]:
  """Returns the names of the fields of Config, without those of own files."""
  groups = help_lib.grouped((config_lib.Config,))
  own = {*options.marked(config_lib.Config, 'files'),
         *options.marked(config_lib.Config, 'path')}
  return [name for title in _GROUPS for name in groups[title]
          if name not in own]


def _in_python(name: str) -> str:
  """Returns whether `aj.train` takes a setting, or the argument in its place.

  Args:
    name: Field of Config.
  """
  if name in options.marked(config_lib.Config, 'bottleneck'):
    return 'field of `method`'
  if (name in train_settings.NOT_SETTINGS
      and name not in inspect.signature(face.train).parameters):
    argument = train_names.ARGUMENT_OF.get(name)
    return f'`{argument}`' if argument else 'no'
  return 'yes'


def settings() -> str:
  """Returns a row for each setting of a training, as Markdown."""
  fields = {field.name: field for field in dataclasses.fields(
      config_lib.Config)}
  rows = ['| setting | default | meaning | in `aj.train` |',
          '|---|---|---|---|']
  for name in _shown():
    meaning = fields[name].metadata['help'].replace('|', '\\|')
    rows.append(
        f'| `{name}` | `{help_lib.written(fields[name].default)}` | {meaning} '
        f'| {_in_python(name)} |')
  return '\n'.join(rows)
