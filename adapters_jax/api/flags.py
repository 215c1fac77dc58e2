"""Defines and parses flags of settings dataclasses, and starts programs."""

import atexit
from collections.abc import Callable, Mapping, Sequence
import dataclasses
import gc
import re
import sys
import typing
from typing import Any

from absl import app
from absl import flags
from absl import logging

from adapters_jax import errors
from adapters_jax.api import ending
from adapters_jax.api import help as help_lib
from adapters_jax.api import started
from adapters_jax.downloads import hub_data
from adapters_jax.downloads import paths
from adapters_jax.runs import allocator
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import file_checks
from adapters_jax.runs import options
from adapters_jax.runs import presets
from adapters_jax.runs import signals
from adapters_jax.training import threads

_DEFINE: dict[Any, Callable[..., Any]] = {
    bool: flags.DEFINE_boolean,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
}


def define(config_class: type, **defaults: Any) -> None:
  """Defines a flag for each field of a dataclass.

  Args:
    config_class: Settings dataclass, with fields made by `options.option`.
    **defaults: Defaults that replace those of the fields.

  Raises:
    errors.UserError: a field that cannot be a flag, or a default of another
      type; names it.
  """
  types = typing.get_type_hints(config_class)  # Annotations may be strings.
  for field in dataclasses.fields(config_class):
    name, where = field.name, f'{config_class.__name__}.{field.name}'
    if 'help' not in field.metadata:
      raise errors.UserError(
          f"{where}: make the field by options.option(DEFAULT, 'Its help.')")
    if types[name] not in _DEFINE:
      raise errors.UserError(
          f'{where}: a flag has one of the types '
          f'{", ".join(one.__name__ for one in _DEFINE)}, not {field.type}')
    try:
      _DEFINE[types[name]](
          name, defaults.get(name, field.default), field.metadata['help'],
          # absl's --help lists the flags of the script.
          module_name=sys.argv[0])
    except flags.DuplicateFlagError as error:
      raise errors.UserError(
          f'{where}: another class of flags, or absl, has a flag of this name; '
          'give another') from error
    except flags.Error as error:
      raise errors.UserError(f'{where}, its default: {error}') from error


def read(
    config_class: type, preset: Mapping[str, Any] | None = None,
    start: Mapping[str, Any] | None = None,
) -> Any:
  """Returns the dataclass of the parsed flags.

  Args:
    config_class: Settings dataclass.
    preset: Values for fields without an explicit flag, unless the script has
      its own default.
    start: Values for fields without an explicit flag; they win over `preset`.
  """
  values = {}
  for field in dataclasses.fields(config_class):
    flag = flags.FLAGS[field.name]
    # An explicit flag wins, even one that repeats the default.
    if start and field.name in start and not flag.present:
      values[field.name] = start[field.name]
      continue
    chosen = flag.present or flag.default != field.default
    values[field.name] = flag.value if chosen else (
        preset or {}).get(field.name, flag.value)
  return config_class(**values)


def as_text(error: Exception | str) -> str:
  """Rewrites a message of the library for the command line, with flags."""
  # Messages of other commands refer to `resume` of an unfinished training.
  return errors.as_flags(str(error), {*flags.FLAGS, 'resume'})


def parse_argv(argv: Sequence[str]) -> list[str]:
  """Parses the flags; a wrong one prints one line and exits with status 2.

  Expands a ~ in paths, as shells do not after `--FLAG=`.

  Args:
    argv: Name of the program and its arguments.

  Returns:
    The name of the program.
  """
  try:
    rest = flags.FLAGS(argv)
  except flags.Error as error:
    ending.fail(f'{error}{_grid_of(str(error))}')
  if len(rest) > 1:
    ending.fail(f'{rest[1]!r} is not a flag; flags begin with --')
  for name in flags.FLAGS:
    flag = flags.FLAGS[name]
    if flag.present and isinstance(flag.value, str):
      try:
        flag.value = paths.at_home(flag.value, name)
      except errors.UserError as error:
        ending.fail(as_text(error))
  return rest


def _grid_of(message: str) -> str:
  """Returns advice on a flag that was given several values, '' for others.

  Args:
    message: Message of absl about a wrong flag.
  """
  found = re.match(r'flag --(\w+)=([^\s:]+,[^\s:]+): ', message)
  if found is None or 'grid' not in flags.FLAGS:
    return ''
  name, values = found.groups()
  places = options.marked(config_lib.Config, 'where')
  if name in places or name not in {
      field.name for field in dataclasses.fields(config_lib.Config)}:
    return ''
  return f"; several values go into --grid='{name}={values}'"


def with_local_files(config: config_lib.Config) -> config_lib.Config:
  """Replaces files on the hub by their copies in its cache, also in the flags.

  Args:
    config: Settings, each of them valid by itself.

  Raises:
    errors.UserError: a file that the hub does not have, or does not send.
  """
  found: dict[str, Any] = {}
  for split, path in config.files.items():
    name = f'{split}_file'
    found[name] = flags.FLAGS[name].value = hub_data.local(path, name)
  return dataclasses.replace(config, **found)


def _define_all(
    classes: Sequence[type], defaults: Mapping[str, Any]
) -> None:
  """Defines the flags of a program.

  Args:
    classes: Dataclasses of the flags.
    defaults: Defaults that replace those of the fields.

  Raises:
    errors.UserError: as of `define`, or a default for a flag of no class.
  """
  known = [field.name for one in classes for field in dataclasses.fields(one)]
  for name in defaults:
    if name not in known:
      raise errors.unknown('`defaults` of the program', name, known)
  for one in classes:
    define(one, **defaults)


def start(
    config_class: type, main: Callable[..., None], *more: type,
    defaults: Mapping[str, Any] | None = None,
) -> None:
  """Runs main(config, ...) with the flags; a UserError exits with status 2.

  Args:
    config_class: Settings dataclass, to which `--preset` applies.
    main: Function of one object per class, in the order of the classes.
    *more: Further classes of flags.
    defaults: Defaults that replace those of the fields.
  """
  classes = (config_class, *more)

  def run(_):
    with signals.requests():
      preset = getattr(flags.FLAGS, 'preset', '')
      config = read(config_class, presets.find(preset) if preset else None,
                    started.settings(
                        getattr(flags.FLAGS, 'start', ''),
                        getattr(flags.FLAGS, 'checkpoint', '')))
      if isinstance(config, config_lib.Config):
        file_checks.check(config)
        config = with_local_files(config)
      # Before any work: JAX reads the number of threads only once.
      threads.use(getattr(config, 'threads', 0))
      main(config, *(read(other) for other in more))

  with ending.reported(as_text):
    _define_all(classes, defaults or {})
    if help_lib.print_if_asked(help_lib.grouped(classes)):
      return
    # Before any work, as it may restart this process.
    allocator.start_anew()
    # At exit, after all other handlers: the last collection of garbage would
    # free the compiled programs one by one, for a second and more.
    atexit.register(gc.freeze)
    logging.set_verbosity(logging.WARNING)  # JAX reports absent TPUs at INFO.
    app.run(run, flags_parser=parse_argv)
