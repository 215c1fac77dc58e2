"""Trains adapters (or a baseline) on tasks and reports dev and test scores."""

import dataclasses
import os

from adapters_jax.analysis import points
from adapters_jax.analysis import tables
from adapters_jax.api import expand
from adapters_jax.api import flags
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import options
from adapters_jax.sweeps import grid


@dataclasses.dataclass(frozen=True)
class Glue:
  """Options of GLUE alone."""
  write_predictions: bool = options.option(
      False, 'Write the test predictions as files for the GLUE server.')


def main(
    config: config_lib.Config, many: grid.Options, glue: Glue
) -> None:
  """Makes the runs, and writes the predictions of the best of each task.

  Args:
    config: Settings; `task` names one task, several with commas, or 'all'.
    many: Grid, seeds and pick.
    glue: Options of GLUE.
  """
  configs = expand.tasks(config)
  outcome = flags.launch(configs, 'glue', many)
  if len(configs) > 1:
    print(tables.glue_mean(points.points(outcome.records)))
  if glue.write_predictions:
    # Imports JAX.
    from adapters_jax.analysis import glue_submission
    # The default folder of this experiment's runs.
    root = os.path.abspath(config.workdir or os.path.join('runs', 'glue'))
    for path in glue_submission.write_best(
        outcome, config, os.path.join(root, 'submission.zip')):
      print(f'predictions: {path}')
  if outcome.failures:
    raise SystemExit(1)


def start() -> None:
  """Runs the command with the flags of the command line."""
  for flag_class in (config_lib.Config, grid.Options, Glue):
    flags.define(flag_class)
  flags.start(config_lib.Config, main, grid.Options, Glue)
