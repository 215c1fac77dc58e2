"""Names of methods, to which programs add methods of their own."""

import collections
import re

from adapters_jax import errors
from adapters_jax.methods import base
from adapters_jax.methods import hints

NAME = r'[\w+-]+'  # In method strings.


class Registry(collections.UserDict[str, tuple[base.Method, ...]]):
  """{name in method strings: methods that it stands for}."""

  def __setitem__(self, name: str, configs: tuple[base.Method, ...]) -> None:
    where = f'methods.CONFIGS[{name!r}]'
    if not isinstance(name, str) or not re.fullmatch(NAME, name):
      raise errors.UserError(
          f'{where}: give a name of letters, digits, _, - and +, as method '
          'strings have no others')
    if name in hints.TUNED.values():
      raise errors.UserError(
          f'{where}: give another name, as `tune={name}` trains weights of the '
          'base')
    if not isinstance(configs, tuple) or not configs or (
        not base.are_methods(configs)):
      raise errors.UserError(
          f'{where}: give a tuple of methods, as in (Mine(),), not '
          f'{configs!r:.60}')
    super().__setitem__(name, configs)
