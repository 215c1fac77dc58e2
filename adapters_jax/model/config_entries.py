"""Entries of config.json, with readers that raise errors of a user."""

from collections.abc import Mapping
import dataclasses
from typing import Any

from adapters_jax.downloads import json_files
from adapters_jax import errors


@dataclasses.dataclass(frozen=True)
class Entries:
  """The entries of a JSON object, with readers that raise UserError.

  Attributes:
    values: The object.
    where: Argument and path of the file; starts the messages.
  """
  values: Mapping[str, Any]
  where: str

  def inner(self, name: str) -> 'Entries':
    """Returns the entries of an inner object; none where it is absent."""
    return Entries(
        json_files.inner(self.values, name, self.where), self.where)

  def text(self, name: str, default: str) -> str:
    """Returns an entry that is a string."""
    return json_files.string(self.values, name, self.where, default)

  def whole(
      self, name: str, low: int, high: int, default: int | None = None
  ) -> int:
    """Returns a whole number from low to high."""
    return json_files.integer(
        self.values, name, self.where, low, high, default)

  def number(
      self, name: str, low: float, high: float, default: float
  ) -> float:
    """Returns a number from low to high."""
    return json_files.number(
        self.values, name, self.where, low, high, default)

  def rate(self, name: str, default: float = 0.1) -> float:
    """Returns a dropout rate; one of 1 would drop everything."""
    return self.number(name, 0, 0.99, default)

  def switch(self, name: str) -> bool:
    """Returns an entry that is true or false; false where it is absent."""
    value = self.values.get(name, False)
    if not isinstance(value, bool):
      raise self.error(f'{name} {value!r}; it should be true or false')
    return value

  def demand(self, name: str, wanted: Any) -> None:
    """Checks that an entry has the only supported value, or is absent."""
    value = self.values.get(name, wanted)
    if value != wanted:
      raise self.error(f'{name} {value!r}; only {wanted!r} is supported')

  def require(self, name: str, wanted: Any) -> None:
    """Checks that an entry is present with the only supported value."""
    if name not in self.values:
      raise self.error(f'no {name}; only {wanted!r} is supported')
    self.demand(name, wanted)

  def error(self, message: str) -> errors.UserError:
    """Returns the error 'FILE has MESSAGE'."""
    return errors.UserError(f'{self.where} has {message}')
