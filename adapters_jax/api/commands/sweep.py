"""Runs a grid of an experiment, grouped where faster, here or on a cluster."""

import dataclasses

from adapters_jax import errors
from adapters_jax.api import expand
from adapters_jax.api import experiments
from adapters_jax.api import flags
from adapters_jax.api import started
from adapters_jax.api import written
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import options
from adapters_jax.runs import presets
from adapters_jax.sweeps import execution
from adapters_jax.sweeps import grid


@dataclasses.dataclass(frozen=True)
class Sweep:
  """Experiment of the sweep; its field is a flag."""
  HELP = 'many runs'

  experiment: str = options.option(
      'glue', f'Experiment to run: {", ".join(experiments.EXPERIMENTS)}.')


def configs_of(
    experiment: str, config: config_lib.Config, folders: expand.Folders
) -> list[config_lib.Config]:
  """Returns the settings of each task of an experiment.

  Args:
    experiment: One of `experiments.EXPERIMENTS`.
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
    config: config_lib.Config, many: grid.Options, how: execution.HowToRun,
    sweep: Sweep, folders: expand.Folders, predictions: written.Predictions,
) -> None:
  """Trains the runs, and prints the tables.

  Args:
    config: Settings.
    many: Grid, seeds and pick.
    how: Launcher, groups and halving.
    sweep: Experiment of the sweep.
    folders: Data folders, for text classification.
    predictions: Predictions to write.
  """
  name = sweep.experiment
  if name not in experiments.EXPERIMENTS:
    raise errors.unknown('`experiment`', name, experiments.EXPERIMENTS)
  chosen = experiments.EXPERIMENTS[name]
  if predictions.write_predictions and not chosen.predicts:
    raise errors.UserError(
        f'`write_predictions`: experiment={name} trains adapters without '
        'predictions; leave it out')
  # Check before data and JAX are loaded, which takes seconds.
  execution.check(how)
  if chosen.defaults:
    preset = presets.find(many.preset) if many.preset else {}
    # Read again with the experiment's defaults, which win over a preset.
    config = flags.read(
        config_lib.Config, {**preset, **chosen.defaults},
        started.settings(config.start, config.checkpoint))
  experiments.make_runs(
      name, configs_of(name, config, folders), many, predictions, how)


def start() -> None:
  """Runs the command with the flags of the command line."""
  flags.start(config_lib.Config, main, grid.Options, execution.HowToRun, Sweep,
              expand.Folders, written.Predictions)
