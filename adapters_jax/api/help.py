"""Help on the flags of a command, by group: --help, -h and --helpfull."""

from collections.abc import Mapping, Sequence
import dataclasses
import os
import shutil
import sys
import textwrap
from typing import Any

from absl import flags

# {role or mark of a field: group}; marks come first, as the first match counts.
# Classes of flags without roles name their group in HELP.
_GROUPS = {
    'hosts': 'several hosts', 'devices': 'speed', 'data': 'task and data',
    'method': 'method', 'schedule': 'training', 'speed': 'speed',
    'where': 'folders'}
_ORDER = ('task and data', 'method', 'training', 'speed', 'folders',
          'many runs', 'several hosts')
_NAMES = 34  # Width, in characters, of the column of flags and defaults.


def asked(argv: Sequence[str]) -> str:
  """Returns '--help' or '--helpfull' if the arguments ask for it, or ''.

  Args:
    argv: Name of the program and its arguments.
  """
  for word in argv[1:]:
    if word == '--':
      break
    if word in ('-h', '-help', '--help', '--helpshort'):
      return '--help'
    if word in ('-helpfull', '--helpfull'):
      return '--helpfull'
  return ''


def print_if_asked(groups: Mapping[str, Sequence[str]]) -> bool:
  """Prints the help of the command if its arguments ask for it.

  Args:
    groups: {title: names of flags}.

  Returns:
    Whether they do.
  """
  wanted = asked(sys.argv)
  if wanted:
    print(page(groups, wanted == '--helpfull'), end='')
  return bool(wanted)


def grouped(classes: Sequence[type]) -> dict[str, list[str]]:
  """Returns {group: names of its flags}, in the order of --help.

  Args:
    classes: Dataclasses of the flags of a command.
  """
  groups: dict[str, list[str]] = {name: [] for name in _ORDER}
  for config_class in classes:
    for field in dataclasses.fields(config_class):
      groups.setdefault(_group_of(config_class, field), []).append(field.name)
  return {title: names for title, names in groups.items() if names}


def page(
    groups: Mapping[str, Sequence[str]], full: bool,
    values: flags.FlagValues = flags.FLAGS,
) -> str:
  """Returns the help of a command.

  Args:
    groups: {title: names of flags}.
    full: Whether to include the flags of absl.
    values: Defined flags.
  """
  parts = [_head()]
  parts += ['\n'.join([f'{title}:', *(_entry(values[n]) for n in names)])
            for title, names in groups.items()]
  if full:
    parts += [values.module_help(module)
              for module in sorted(values.flags_by_module_dict())
              if module.startswith('absl.')]
  else:
    parts.append('--helpfull has the flags of absl too.')
  return '\n\n'.join(parts) + '\n'


def _group_of(config_class: type, field: dataclasses.Field) -> str:
  """Returns the group of a flag."""
  named = {field.metadata['role'], *field.metadata['marks']}
  return next((group for name, group in _GROUPS.items() if name in named),
              getattr(config_class, 'HELP', 'flags'))


def _head() -> str:
  """Returns the docstring of the program, and its usage."""
  main = sys.modules['__main__']
  program = os.path.basename(sys.argv[0])
  if spec := getattr(main, '__spec__', None):  # As of `python -m`.
    program = f'python -m {spec.name}'
  usage = f'usage: {program} [--FLAG=VALUE ...]'
  return '\n\n'.join(filter(None, (
      (main.__doc__ or '').strip(), f'{usage}\nEach flag is shown with its '
      'default.')))


def _entry(flag: flags.Flag) -> str:
  """Returns the lines of a flag: its name, default and text."""
  start = f'  --{flag.name}={written(flag.default)}'
  width = max(60, min(shutil.get_terminal_size().columns, 100))
  lines = textwrap.wrap(
      flag.help, width - _NAMES,
      break_long_words=False, break_on_hyphens=False)
  if len(start) < _NAMES:
    lines[0] = start.ljust(_NAMES) + lines[0]
  else:  # Too long: the text begins on the next line.
    lines.insert(0, start)
  return '\n'.join(
      [lines[0], *(' ' * _NAMES + line for line in lines[1:])])


def written(default: Any) -> str:
  """Returns a default as it would be written on the command line."""
  if isinstance(default, bool):
    return str(default).lower()
  return "''" if default in ('', []) else str(default)
