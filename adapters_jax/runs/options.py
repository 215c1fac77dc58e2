"""Fields of a settings dataclass, each of which becomes a flag."""

import dataclasses
from typing import Any

# Role of every field in a run.
ROLES = {
    'where': 'place of the run: neither in its hash nor in its record',
    'data': 'examples, base and their preprocessing',
    'method': 'trained leaves and the model around them',
    'schedule': 'optimization; does not change the time of a step',
    'speed': 'batching and arithmetic',
}
# Further properties of a field.
MARKS = {
    'vmapped': 'may differ between runs that train as one program',
    'free': 'hardly changes the time of a step in spite of its role',
    'column': 'has a column of its own in tables, apart from the method name',
    'bottleneck': 'describes the default adapter, used without adapter_config',
    'path': 'is a path, which other processes need absolute',
    'folders': 'names folders of adapters, like `adapters.folders`',
    'devices': 'is about the use of devices, in groups of --help',
    'hosts': 'is about several hosts, in groups of --help',
    'files': 'is read with own data alone',
    'embeddings': 'is read by sentence embeddings alone',
    'texts': 'is read by masked language modelling alone',
}


def option(
    default: Any, help_text: str, role: str = '', *marks: str,
    first: Any = None
) -> Any:
  """Returns a dataclass field that becomes a flag.

  Args:
    default: Value without the flag.
    help_text: One sentence for `--help`.
    role: Role of the field in a run, one of ROLES; '' elsewhere.
    *marks: Further properties, of MARKS.
    first: First default of the field, if it has changed since. Settings saved
      without the field mean this value, and hashes leave it out, so that a new
      default renames no saved run.
  """
  return dataclasses.field(default=default, metadata={
      'help': help_text, 'role': role, 'marks': frozenset(marks),
      'first': default if first is None else first})


def names(text: str) -> tuple[str, ...]:
  """Returns the names in a comma-separated list, empty ones left out."""
  return tuple(name for part in text.split(',') if (name := part.strip()))


def marked(config_class: Any, mark: str) -> tuple[str, ...]:
  """Returns the names of a dataclass's fields that have a role or a mark.

  Args:
    config_class: Dataclass with fields from `option`.
    mark: Role or mark.
  """
  return tuple(
      field.name for field in dataclasses.fields(config_class)
      if field.metadata['role'] == mark or mark in field.metadata['marks'])
