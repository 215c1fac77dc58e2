"""Packages of this package's extras, which may be absent."""

import importlib

from adapters_jax import errors


def demand(extra: str, *names: str) -> None:
  """Checks that packages are installed.

  Args:
    extra: Extra of this package that installs them.
    *names: Import names of the packages.

  Raises:
    errors.UserError: one is missing.
  """
  for name in names:
    try:
      importlib.import_module(name)
    except ImportError as error:
      raise errors.UserError(
          f"{error.name} is missing: pip install -e '.[{extra}]' in a clone, "
          f"else pip install 'adapters_jax[{extra}]'") from error
