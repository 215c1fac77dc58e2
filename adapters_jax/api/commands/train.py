"""Trains adapters (or a baseline) on tasks and reports dev and test scores."""

import os
from typing import Any

from adapters_jax.analysis import points
from adapters_jax.api import expand
from adapters_jax.api import flags
from adapters_jax.api import launch
from adapters_jax.api import written
from adapters_jax.downloads import paths
from adapters_jax.runs import config as config_lib
from adapters_jax.sweeps import grid


def main(
    config: config_lib.Config, many: grid.Options,
    predictions: written.Predictions,
) -> None:
  """Trains the runs, and writes the predictions of the best run of each task.

  Args:
    config: Settings; `task` names one task, several with commas, or 'all'.
    many: Grid, seeds and pick.
    predictions: Predictions to write.
  """
  configs = expand.tasks(config)
  outcome = launch.run_all(configs, 'glue', many)
  if len(configs) > 1:
    from adapters_jax.analysis import tables  # Imports numpy.
    print(tables.glue_mean(points.points(outcome.records)))
  written.write_if_wanted(outcome, predictions)
  if predictions.write_predictions:
    # Imports JAX.
    from adapters_jax.analysis import glue_submission
    from adapters_jax.training import hosts
    # The default folder of this experiment's runs.
    root = os.path.abspath(paths.expanded(
        config.workdir or os.path.join('runs', 'glue'), 'workdir'))

    def write():
      for path in glue_submission.write_zip(
          outcome, os.path.join(root, 'submission.zip'),
          predictions.predictions_format):
        print(f'predictions: {path}')

    hosts.by_first(write)
  if outcome.failures:
    raise SystemExit(1)


def start(**defaults: Any) -> None:
  """Runs the command with the flags of the command line.

  Args:
    **defaults: Defaults that replace those of the fields.
  """
  flags.start(config_lib.Config, main, grid.Options, written.Predictions,
              defaults=defaults)
