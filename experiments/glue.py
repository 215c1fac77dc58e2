"""Trains adapters (or a baseline) on tasks and reports dev and test scores.

  python -m experiments.glue --adapter_size=64
  python -m experiments.glue --task=all --seeds=0-2 --write_predictions

`--task` names one task, several with commas, or 'all' for GLUE's nine.
"""

import dataclasses
import os

from adapters_jax.analysis import tables
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import options
from adapters_jax.sweeps import grid
from experiments import flags


@dataclasses.dataclass(frozen=True)
class Glue:
  """What GLUE alone has."""
  write_predictions: bool = options.option(
      False, 'Write the test predictions as files for the GLUE server.')


def expand_tasks(config: config_lib.Config) -> list[config_lib.Config]:
  """Returns the settings of each task that `--task` names."""
  if config.files:
    return [config]
  names = (tables.GLUE_TASKS if config.task == 'all'
           else [name.strip() for name in config.task.split(',')])
  return [dataclasses.replace(config, task=name) for name in names]


def main(
    config: config_lib.Config, many: grid.Options, glue: Glue
) -> None:
  """Makes the runs, and writes the predictions of the best of each task."""
  configs = expand_tasks(config)
  outcome = flags.launch(configs, 'glue', many)
  if len(configs) > 1:
    print(tables.glue_mean(tables.points(outcome.records)))
  if glue.write_predictions:
    from adapters_jax.analysis import glue_submission
    root = os.path.abspath(config.workdir or os.path.join('runs', 'glue'))
    for path in glue_submission.write_best(
        outcome, config, os.path.join(root, 'submission.zip')):
      print(f'predictions: {path}')
  if outcome.failures:
    raise SystemExit(1)


if __name__ == '__main__':
  for flag_class in (config_lib.Config, grid.Options, Glue):
    flags.define(flag_class)
  flags.start(config_lib.Config, main, grid.Options, Glue)
