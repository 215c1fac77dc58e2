"""Trains adapters (or a baseline) on a task and reports dev and test scores.

  python -m experiments.glue --adapter_size=64
"""

import sys

from adapters_jax import config as config_lib
from experiments import flags


def main(config: config_lib.Config) -> None:
  """Runs once; a run that was asked to stop exits with status 130."""
  from adapters_jax import run  # Slow to import: after --help and parsing.
  from adapters_jax import training
  try:
    run.run(config, 'glue')
  except training.Interrupted as stopped:
    print(f'{stopped}; the state is saved, go on with --resume')
    sys.exit(130)


if __name__ == '__main__':
  flags.define(config_lib.Config)
  flags.start(config_lib.Config, main)
