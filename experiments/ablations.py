"""Common parts of the paper's ablations: a grid of runs, on few examples.

The runs share folders and records with `experiments.glue`, so that a run which
two ablations need is trained once. By default one seed trains on 1,000
examples, which takes minutes; `--train_examples=0 --seeds=0-2` trains on all,
and `--checkpoint=bert-base-uncased --task=mnli,cola` are the paper's.
"""

from collections.abc import Callable
import dataclasses

from adapters_jax.api import flags
from adapters_jax.api import launch
from adapters_jax.runs import config as config_lib
from adapters_jax.sweeps import grid
from adapters_jax.sweeps import outcome as outcome_lib

EXPERIMENT = 'glue'  # Part of folders and records.


def make_runs(
    config: config_lib.Config, many: grid.Options
) -> outcome_lib.Outcome:
  """Trains the runs of each task.

  Args:
    config: Settings; `task` holds names with commas.
    many: Grid, seeds and pick.

  Returns:
    Records and failures, in the order of the runs.
  """
  names = [name.strip() for name in config.task.split(',')]
  configs = [dataclasses.replace(config, task=name) for name in names]
  return launch.run_all(configs, EXPERIMENT, many)


def main(config: config_lib.Config, many: grid.Options) -> None:
  """Trains the runs; exit status 1 if one of them failed.

  Args:
    config: Settings.
    many: Grid, seeds and pick.
  """
  if make_runs(config, many).failures:
    raise SystemExit(1)


def start(
    points: str, main: Callable[..., None] = main, *more: type
) -> None:
  """Runs an ablation as its flags say.

  Args:
    points: Default of `--grid`.
    main: Function of the settings, the grid options, and an object of each of
      `more`.
    *more: Further classes of flags.
  """
  flags.start(config_lib.Config, main, grid.Options, *more,
              defaults={'train_examples': 1000, 'grid': points})
