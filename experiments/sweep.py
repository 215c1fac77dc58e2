"""Runs a grid of an experiment: grouped where that is faster, or on a cluster.

  python -m experiments.sweep --experiment=glue --seeds=0-4 \\
    --grid='adapter_size=8,64,256 learning_rate=1e-4,3e-4,1e-3'
  python -m experiments.sweep --launcher=ray --workers=2 --grid='seed=0-4'

Finished runs are skipped and begun ones go on, so the same command again is how
to resume. With Ray (extra 'sweep') the workdirs must be on a file system that
all machines share.
"""

import dataclasses

from adapters_jax import errors
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import options
from adapters_jax.runs import presets
from adapters_jax.sweeps import engine
from adapters_jax.sweeps import grid
from experiments import flags
from experiments import glue
from experiments import squad
from experiments import text_classification

EXPERIMENTS = ('glue', 'text_classification', 'squad')


@dataclasses.dataclass(frozen=True)
class Sweep:
  """What is swept."""
  experiment: str = options.option(
      'glue', f'What to run: {", ".join(EXPERIMENTS)}.')


def configs_of(
    experiment: str, config: config_lib.Config,
    folders: text_classification.Folders,
) -> list[config_lib.Config]:
  """Returns the settings of each task of an experiment."""
  if (experiment == 'text_classification') != bool(folders.folder):
    raise errors.UserError(
        '--folder goes with --experiment=text_classification, which needs it')
  if experiment == 'glue':
    return glue.expand_tasks(config)
  if experiment == 'text_classification':
    return text_classification.expand_folders(config, folders)
  return [config]


def main(
    config: config_lib.Config, many: grid.Options, how: engine.Options,
    sweep: Sweep, folders: text_classification.Folders,
) -> None:
  """Makes the runs, and prints the tables."""
  name = sweep.experiment
  if name not in EXPERIMENTS:
    raise errors.unknown('--experiment', name, EXPERIMENTS)
  engine.check(how, many)
  if name == 'squad':
    config = flags.read(config_lib.Config, {
        **squad.DEFAULTS,
        **(presets.find(many.preset) if many.preset else {})})
  configs = configs_of(name, config, folders)
  runs = engine.expand(configs, name, many)
  from adapters_jax import run  # Slow to import: after --help and parsing.
  from adapters_jax.runs.kinds import question_answering
  from adapters_jax.training import loop
  kind = question_answering.KIND if name == 'squad' else run.CLASSIFICATION
  flags.check_all(runs, configs, name, kind)
  try:
    outcome = engine.go(runs, name, many.records, how, kind)
  except loop.Interrupted as stopped:
    print(f'{stopped}; the state is saved, the same command goes on')
    raise SystemExit(130) from stopped
  flags.report(outcome)
  if outcome.failures:
    raise SystemExit(1)


if __name__ == '__main__':
  for flag_class in (config_lib.Config, grid.Options, engine.Options, Sweep,
                     text_classification.Folders):
    flags.define(flag_class)
  flags.start(config_lib.Config, main, grid.Options, engine.Options, Sweep,
              text_classification.Folders)
