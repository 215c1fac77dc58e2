"""Runs a grid of an experiment: grouped where faster, or on a cluster."""

import dataclasses

from adapters_jax import errors
from adapters_jax.api import expand
from adapters_jax.api import flags
from adapters_jax.api import written
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import options
from adapters_jax.runs import presets
from adapters_jax.sweeps import engine
from adapters_jax.sweeps import grid

EXPERIMENTS = ('glue', 'text_classification', 'squad', 'tagging')


@dataclasses.dataclass(frozen=True)
class Sweep:
  """Subject of the sweep."""
  HELP = 'many runs'

  experiment: str = options.option(
      'glue', f'Experiment to run: {", ".join(EXPERIMENTS)}.')


def configs_of(
    experiment: str, config: config_lib.Config, folders: expand.Folders
) -> list[config_lib.Config]:
  """Returns the settings of each task of an experiment.

  Args:
    experiment: One of EXPERIMENTS.
    config: Settings.
    folders: Data folders, for text classification.

  Raises:
    errors.UserError: folders are missing, or given to another experiment.
  """
  if (experiment == 'text_classification') != bool(folders.folder):
    raise errors.UserError(
        '`folder` goes with `experiment=text_classification`, which needs it')
  if experiment == 'glue':
    return expand.tasks(config)
  if experiment == 'text_classification':
    return expand.folders(config, folders)
  return [config]


def main(
    config: config_lib.Config, many: grid.Options, how: engine.HowToRun,
    sweep: Sweep, folders: expand.Folders, predictions: written.Predictions,
) -> None:
  """Makes the runs, and prints the tables.

  Args:
    config: Settings.
    many: Grid, seeds and pick.
    how: Execution of the runs.
    sweep: Subject of the sweep.
    folders: Data folders, for text classification.
    predictions: Predictions to write.
  """
  name = sweep.experiment
  if name not in EXPERIMENTS:
    raise errors.unknown('`experiment`', name, EXPERIMENTS)
  # Before the data and JAX are loaded.
  engine.check(how)
  kind = None
  if name == 'squad':
    preset = presets.find(many.preset) if many.preset else {}
    # Read again with SQuAD's defaults; a preset overrides them.
    config = flags.read(config_lib.Config, {**expand.SQUAD, **preset})
    from adapters_jax.runs.kinds import question_answering  # Imports JAX.
    kind = question_answering.KIND
  if name == 'tagging':
    from adapters_jax.runs.kinds import tagging  # Imports JAX.
    kind = tagging.KIND
  configs = configs_of(name, config, folders)
  outcome = flags.launch(configs, name, many, kind, how)
  written.write_if_wanted(outcome, configs, predictions, kind)
  if outcome.failures:
    raise SystemExit(1)


def start() -> None:
  """Runs the command with the flags of the command line."""
  classes = (grid.Options, engine.HowToRun, Sweep, expand.Folders,
             written.Predictions)
  for flag_class in (config_lib.Config, *classes):
    flags.define(flag_class)
  flags.start(config_lib.Config, main, *classes)
