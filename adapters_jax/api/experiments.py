"""Table of the experiments, and the program of those on one task."""

from collections.abc import Mapping, Sequence
import dataclasses
import importlib
from typing import Any

from adapters_jax.api import flags
from adapters_jax.api import launch
from adapters_jax.api import written
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import presets
from adapters_jax.sweeps import execution
from adapters_jax.sweeps import grid


@dataclasses.dataclass(frozen=True)
class Experiment:
  """A row of EXPERIMENTS.

  Attributes:
    kind_module: Module of the tasks' kind in `runs.kinds`; '' for
      classification.
    defaults: Defaults of settings, in place of those of Config.
    predicts: Whether its adapters have predictions to write.
  """
  kind_module: str = ''
  defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  predicts: bool = True

  def kind(self) -> Any:
    """Returns the kind of the tasks, None for classification."""
    if not self.kind_module:
      return None
    return importlib.import_module(  # Imports JAX.
        f'adapters_jax.runs.kinds.{self.kind_module}').KIND


EXPERIMENTS = {
    'glue': Experiment(),
    'text_classification': Experiment(),
    'squad': Experiment('question_answering', presets.SQUAD),
    'tagging': Experiment('tagging'),
    'embeddings': Experiment(
        'embeddings', presets.EMBEDDINGS, predicts=False),
    'language_modeling': Experiment(
        'language_modeling', presets.LANGUAGE_MODELING, predicts=False),
}


def make_runs(
    name: str, configs: Sequence[config_lib.Config], many: grid.Options,
    predictions: written.Predictions | None = None,
    how: execution.HowToRun = execution.ALONE,
) -> None:
  """Makes the runs of an experiment; exit status 1 if one of them failed.

  Args:
    name: One of EXPERIMENTS.
    configs: Settings, one for each task.
    many: Grid, seeds and pick.
    predictions: Predictions to write, None for none.
    how: Execution of several runs.
  """
  kind = EXPERIMENTS[name].kind()
  outcome = launch.run_all(configs, name, many, kind, how)
  if predictions:
    written.write_if_wanted(outcome, predictions, kind)
  if outcome.failures:
    raise SystemExit(1)


def start(name: str) -> None:
  """Runs an experiment on one task with the flags of the command line.

  Args:
    name: One of EXPERIMENTS.
  """
  chosen = EXPERIMENTS[name]
  classes = [grid.Options, *([written.Predictions] if chosen.predicts else [])]
  flags.start(
      config_lib.Config,
      lambda config, *options: make_runs(name, [config], *options), *classes,
      defaults=chosen.defaults)
