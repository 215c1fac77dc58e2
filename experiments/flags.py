"""One absl flag for each field of a config dataclass."""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import sys
from typing import Any

from absl import app
from absl import flags
from absl import logging

from adapters_jax.analysis import tables
from adapters_jax import errors
from adapters_jax.runs import allocator
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import presets
from adapters_jax.sweeps import campaign
from adapters_jax.sweeps import grid

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


def read(config_class: type, preset: Mapping[str, Any] | None = None) -> Any:
  """Returns the dataclass that the parsed flags describe.

  Args:
    config_class: Whose fields are flags.
    preset: Values that hold where the command line gives none.
  """
  preset = preset or {}
  return config_class(**{
      field.name: preset[field.name]
      if field.name in preset and not flags.FLAGS[field.name].present
      else flags.FLAGS[field.name].value
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


def check_all(
    runs: Sequence[config_lib.Config], configs: Sequence[config_lib.Config],
    experiment: str, kind: Any,
) -> None:
  """Raises UserError for a wrong setting, before the first of many runs.

  Args:
    runs: All of them.
    configs: One for each task.
    experiment: The name that their folders carry.
    kind: Their run.Kind.
  """
  from adapters_jax import prepare  # Slow to import.
  from adapters_jax.data import tasks
  for config in runs if len(runs) > 1 else ():
    prepare.check(dataclasses.replace(config, resume=True), experiment,
                  kind.find)
  if len(configs) > 1:
    tasks.require([c.task for c in configs if not c.files], configs[0].data_dir)


def report(outcome: campaign.Outcome) -> None:
  """Prints the tables of more than one run, and what failed."""
  from adapters_jax import console  # Slow to import.
  if len(outcome.records) > 1:
    found = tables.points(outcome.records)
    console.print_rows(tables.rows(found), 'all settings')
    best = tables.picked(found)
    if len(best) < len(found):
      console.print_rows(tables.rows(best), 'best on dev')
  for description, message in outcome.failures:
    print(f'failed: {description}: {message}', file=sys.stderr)


def launch(configs: Sequence[config_lib.Config], experiment: str,
           many: grid.Options, kind: Any = None) -> campaign.Outcome:
  """Makes the runs of an experiment and prints the table of more than one.

  An interrupted run has saved its state and exits with status 130; a run that
  failed among others makes the status 1.

  Args:
    configs: One for each task.
    experiment: The name that folders and records carry.
    many: What each of them is crossed with.
    kind: A run.Kind; classification when None.
  """
  from adapters_jax import run  # Slow to import: after --help and parsing.
  from adapters_jax.sweeps import forecast
  from adapters_jax.training import loop
  kind = kind or run.CLASSIFICATION
  check_all(grid.expand_all(configs, many), configs, experiment, kind)
  try:
    outcome = campaign.go(
        configs, experiment, many,
        lambda config, name: run.run(config, name, kind),
        lambda config: forecast.measure(config, kind))
  except loop.Interrupted as stopped:
    print(f'{stopped}; the state is saved, go on with --resume')
    sys.exit(130)
  report(outcome)
  return outcome


def start(config_class: type, main: Callable[..., None], *more: type) -> None:
  """Runs main(config, ...) with the flags; user errors are one line, status 2.

  Args:
    config_class: Of the settings, on which `--preset` acts if there is one.
    main: Called with an object of each class.
    *more: Further classes of flags.
  """

  def run(_):
    try:
      preset = getattr(flags.FLAGS, 'preset', '')
      main(read(config_class, presets.find(preset) if preset else None),
           *(read(other) for other in more))
    except errors.UserError as error:
      print(f'error: {error}', file=sys.stderr)
      raise SystemExit(2) from error
    except KeyboardInterrupt as error:
      raise SystemExit(130) from error

  allocator.start_anew()
  logging.set_verbosity(logging.WARNING)  # JAX tells of absent TPUs at INFO.
  app.run(run, flags_parser=_parse)
