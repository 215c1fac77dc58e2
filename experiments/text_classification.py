"""Trains on folders of train, dev and test files, one task each.

  python -m experiments.text_classification --folder=DIR --adapter_size=64

A folder has train.tsv and dev.tsv, and optionally test.tsv (.csv and .jsonl
work too), with the columns that `--text_columns` and `--label_column` name. Its
name becomes the task's. Commas separate several folders. Corporate
messaging (77 steps an epoch) takes about 4 minutes on one core and scores about
93 % on dev.
"""

from adapters_jax.api import expand
from adapters_jax.api import experiments
from adapters_jax.api import flags
from adapters_jax.api import written
from adapters_jax.runs import config as config_lib
from adapters_jax.sweeps import grid


def main(
    config: config_lib.Config, many: grid.Options, named: expand.Folders,
    predictions: written.Predictions,
) -> None:
  """Trains the runs of every folder.

  Args:
    config: Settings.
    many: Grid, seeds and pick.
    named: Folders.
    predictions: Predictions to write.
  """
  experiments.make_runs(
      'text_classification', expand.folders(config, named), many, predictions)


if __name__ == '__main__':
  flags.start(config_lib.Config, main, grid.Options, expand.Folders,
              written.Predictions)
