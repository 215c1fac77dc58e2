"""One absl flag for each field of a config dataclass."""

from collections.abc import Callable, Sequence
import dataclasses
import sys
from typing import Any

from absl import app
from absl import flags
from absl import logging

from adapters_jax import options

_DEFINE = {
    bool: flags.DEFINE_boolean,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
}


def define(config_class: type, **defaults: Any) -> None:
  """Defines the flags of a dataclass; `defaults` override the fields' own."""
  for field in dataclasses.fields(config_class):
    _DEFINE[field.type](
        field.name, defaults.get(field.name, field.default),
        field.metadata['help'],
        module_name=sys.argv[0])  # absl's --help lists the script's own flags.


def read(config_class: type) -> Any:
  """Returns the dataclass that the parsed flags describe."""
  return config_class(**{
      field.name: flags.FLAGS[field.name].value
      for field in dataclasses.fields(config_class)})


def _parse(argv: Sequence[str]) -> list[str]:
  """Parses the flags; a wrong one gives one line and exit status 2."""
  try:
    rest = flags.FLAGS(argv)
  except flags.Error as error:
    print(f'error: {error}', file=sys.stderr)
    raise SystemExit(2) from error
  if len(rest) > 1:
    print(f'error: {rest[1]!r} is not a flag; flags begin with --',
          file=sys.stderr)
    raise SystemExit(2)
  return rest


def start(config_class: type, main: Callable[[Any], None]) -> None:
  """Runs main(config) with the flags; user errors are one line, status 2.

  An interrupted run has saved its state and exits with status 130.
  """

  def run(_):
    try:
      main(read(config_class))
    except options.UserError as error:
      print(f'error: {error}', file=sys.stderr)
      raise SystemExit(2) from error
    except KeyboardInterrupt as error:
      raise SystemExit(130) from error

  logging.set_verbosity(logging.WARNING)  # JAX tells of absent TPUs at INFO.
  app.run(run, flags_parser=_parse)
