"""Trains adapters (or a baseline) for question answering: SQuAD v1.1.

  python -m experiments.squad --learning_rate=1e-3
  python -m experiments.squad --train_file=train.json --dev_file=dev.json

Without files, TFDS' `squad` is downloaded. On 973 questions of XQuAD two epochs
take about 7 minutes on one core and reach an F1 of 8.7: this base needs all of
SQuAD's 87,599 questions.
"""

from adapters_jax.api import flags
from adapters_jax.api import written
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import presets
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
  from adapters_jax.runs.kinds import question_answering  # Imports JAX.
  kind = question_answering.KIND
  outcome = flags.launch([config], 'squad', many, kind)
  written.write_if_wanted(outcome, predictions, kind)
  if outcome.failures:
    raise SystemExit(1)


if __name__ == '__main__':
  # Longer inputs than in the other experiments.
  flags.define(config_lib.Config, **presets.SQUAD)
  classes = (grid.Options, written.Predictions)
  for flag_class in classes:
    flags.define(flag_class)
  flags.start(config_lib.Config, main, *classes)
