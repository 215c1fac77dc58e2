"""Trains adapters (or a baseline) to find answers in paragraphs: SQuAD v1.1.

  python -m experiments.squad --learning_rate=1e-3
  python -m experiments.squad --train_file=train.json --dev_file=dev.json

Without files TFDS' `squad` is downloaded.
"""

from adapters_jax.runs import config as config_lib
from adapters_jax.sweeps import grid
from experiments import flags

DEFAULTS = {'task': 'squad', 'max_length': 384}


def main(config: config_lib.Config, many: grid.Options) -> None:
  """Makes the runs."""
  from adapters_jax import spans  # Slow to import: after --help and parsing.
  if flags.launch([config], 'squad', many, spans.KIND).failures:
    raise SystemExit(1)


if __name__ == '__main__':
  flags.define(config_lib.Config, **DEFAULTS)
  flags.define(grid.Options)
  flags.start(config_lib.Config, main, grid.Options)
