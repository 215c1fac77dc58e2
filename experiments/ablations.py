"""What the paper's ablations share: a grid of runs, on few examples by default.

Their runs are those of `experiments.glue`, in its folders and with its records,
so that a run which two ablations need is made once. By default one seed trains
on 1,000 examples, which takes minutes; `--train_examples=0 --seeds=0-2` takes
all, and `--checkpoint=bert-base-uncased --task=mnli,cola` are the paper's.
"""

from collections.abc import Callable
import dataclasses

from adapters_jax.api import flags
from adapters_jax.runs import config as config_lib
from adapters_jax.sweeps import grid
from adapters_jax.sweeps import outcome as outcome_lib

EXPERIMENT = 'glue'


def make_runs(
    config: config_lib.Config, many: grid.Options
) -> outcome_lib.Outcome:
  """Makes the runs of each task that `--task` names, with commas."""
  names = [name.strip() for name in config.task.split(',')]
  configs = [dataclasses.replace(config, task=name) for name in names]
  return flags.launch(configs, EXPERIMENT, many)


def main(config: config_lib.Config, many: grid.Options) -> None:
  """Makes the runs; exit status 1 if one of them failed."""
  if make_runs(config, many).failures:
    raise SystemExit(1)


def start(
    points: str, main: Callable[..., None] = main, *more: type
) -> None:
  """Runs an ablation as its flags say.

  Args:
    points: The default of `--grid`.
    main: Called with the settings, the grid, and an object of each of `more`.
    *more: Further classes of flags.
  """
  flags.define(config_lib.Config, train_examples=1000)
  flags.define(grid.Options, grid=points)
  for flag_class in more:
    flags.define(flag_class)
  flags.start(config_lib.Config, main, grid.Options, *more)
