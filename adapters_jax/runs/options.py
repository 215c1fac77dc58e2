"""Fields of a settings dataclass, each of which becomes a flag."""

import dataclasses
from typing import Any


def option(
    default: Any, help_text: str, role: str = '', *marks: str,
    first: Any = None
) -> Any:
  """Returns a dataclass field that becomes a flag.

  Args:
    default: Value without the flag.
    help_text: One sentence for `--help`.
    role: Role of the field in a run, one of `config.ROLES`; '' elsewhere.
    *marks: Further properties, of `config.MARKS`.
    first: Default of earlier versions, if it was another. Settings saved
      without the field stand for it, and hashes leave it out, so that a new
      default renames no saved run.
  """
  return dataclasses.field(default=default, metadata={
      'help': help_text, 'role': role, 'marks': frozenset(marks),
      'first': default if first is None else first})


def first_values(config_class: Any) -> dict[str, Any]:
  """Returns {name: first default} of a dataclass with fields from `option`."""
  return {field.name: field.metadata['first']
          for field in dataclasses.fields(config_class)}


def marked(config_class: Any, mark: str) -> tuple[str, ...]:
  """Returns the names of a dataclass's fields that have a role or a mark.

  Args:
    config_class: Dataclass with fields from `option`.
    mark: Role or mark.
  """
  return tuple(
      field.name for field in dataclasses.fields(config_class)
      if field.metadata['role'] == mark or mark in field.metadata['marks'])
