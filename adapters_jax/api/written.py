"""Predictions that an experiment writes after its runs."""

import dataclasses
from typing import Any

from adapters_jax import errors
from adapters_jax.runs import options
from adapters_jax.sweeps import outcome as outcome_lib


@dataclasses.dataclass(frozen=True)
class Predictions:
  """Predictions to write; every field is a flag."""
  HELP = 'task and data'

  write_predictions: bool = options.option(
      False, "Write the predictions of each task's best run on dev and test "
      'into its workdir, for GLUE also the files for its server.')
  predictions_format: str = options.option(
      'tsv', "Format of the predictions: 'tsv' or 'jsonl'.")

  def __post_init__(self):
    from adapters_jax.data import predicted  # Imports numpy.
    if self.predictions_format not in predicted.FORMATS:
      raise errors.unknown('`predictions_format`', self.predictions_format,
                           predicted.FORMATS)


def write_if_wanted(
    outcome: outcome_lib.Outcome, chosen: Predictions, kind: Any = None
) -> None:
  """Writes predictions if the options ask for them, and prints the paths.

  With several hosts, the first one writes while the others wait.

  Args:
    outcome: Finished runs.
    chosen: Options.
    kind: Kind of the tasks; classification when None.
  """
  if not chosen.write_predictions:
    return
  from adapters_jax.analysis import predictions  # Imports JAX.
  from adapters_jax.runs.kinds import classification
  from adapters_jax.training import hosts

  def write():
    for path in predictions.write_best(
        outcome, kind or classification.KIND, chosen.predictions_format):
      print(f'predictions: {path}')

  hosts.by_first(write)
