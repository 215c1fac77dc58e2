"""Runs a grid of an experiment, grouped where faster, here or on a cluster."""

import dataclasses
from typing import Any

from adapters_jax import errors
from adapters_jax.api import expand
from adapters_jax.api import flags
from adapters_jax.api import written
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import options
from adapters_jax.runs import presets
from adapters_jax.sweeps import execution
from adapters_jax.sweeps import grid

EXPERIMENTS = ('glue', 'text_classification', 'squad', 'tagging',
               'embeddings', 'language_modeling')
# Experiments whose adapters label no texts; `predict` refuses them too.
_WITHOUT_PREDICTIONS = ('embeddings', 'language_modeling')
# {experiment: its defaults}
_DEFAULTS = {'squad': presets.SQUAD, 'embeddings': presets.EMBEDDINGS,
             'language_modeling': presets.LANGUAGE_MODELING}


@dataclasses.dataclass(frozen=True)
class Sweep:
  """Experiment of the sweep; its field is a flag."""
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
  if name not in EXPERIMENTS:
    raise errors.unknown('`experiment`', name, EXPERIMENTS)
  if predictions.write_predictions and name in _WITHOUT_PREDICTIONS:
    raise errors.UserError(
        f'`write_predictions`: experiment={name} trains adapters without '
        'predictions; leave it out')
  # Check before data and JAX are loaded, which takes seconds.
  execution.check(how)
  if name in _DEFAULTS:
    preset = presets.find(many.preset) if many.preset else {}
    # Read again with the experiment's defaults, which win over a preset.
    config = flags.read(config_lib.Config, {**preset, **_DEFAULTS[name]})
  kind = _kind_of(name)
  configs = configs_of(name, config, folders)
  outcome = flags.launch(configs, name, many, kind, how)
  written.write_if_wanted(outcome, predictions, kind)
  if outcome.failures:
    raise SystemExit(1)


def _kind_of(experiment: str) -> Any:
  """Returns the kind of an experiment's task, None for classification."""
  # Imported on demand, as each imports JAX.
  if experiment == 'squad':
    from adapters_jax.runs.kinds import question_answering
    return question_answering.KIND
  if experiment == 'tagging':
    from adapters_jax.runs.kinds import tagging
    return tagging.KIND
  if experiment == 'embeddings':
    from adapters_jax.runs.kinds import embeddings
    return embeddings.KIND
  if experiment == 'language_modeling':
    from adapters_jax.runs.kinds import language_modeling
    return language_modeling.KIND
  return None


def start() -> None:
  """Runs the command with the flags of the command line."""
  classes = (grid.Options, execution.HowToRun, Sweep, expand.Folders,
             written.Predictions)
  for flag_class in (config_lib.Config, *classes):
    flags.define(flag_class)
  flags.start(config_lib.Config, main, *classes)
