"""Trains adapters (or a baseline) to tag words: entities, parts of speech.

  python -m experiments.tagging --train_file=train.conll --dev_file=dev.conll

A line of a file is a word and its tag, a blank line ends a sentence; see
docs/data.md.
"""

from adapters_jax.api import flags
from adapters_jax.api import written
from adapters_jax.runs import config as config_lib
from adapters_jax.sweeps import grid


def main(
    config: config_lib.Config, many: grid.Options,
    predictions: written.Predictions,
) -> None:
  """Trains the runs.

  Args:
    config: Settings.
    many: Grid, seeds and pick.
    predictions: Predictions to write.
  """
  from adapters_jax.runs.kinds import tagging  # Imports JAX.
  outcome = flags.launch([config], 'tagging', many, tagging.KIND)
  written.write_if_wanted(outcome, predictions, tagging.KIND)
  if outcome.failures:
    raise SystemExit(1)


if __name__ == '__main__':
  classes = (grid.Options, written.Predictions)
  for flag_class in (config_lib.Config, *classes):
    flags.define(flag_class)
  flags.start(config_lib.Config, main, *classes)
