"""Scores without the adapters of the lowest layers (AdapterDrop).

  python -m experiments.adapter_drop --figure=drop.svg

Trains adapters as usual, and with a random number of lower layers without
adapters in each step (Rücklé et al., 2021). Scores both on test, or on dev if
test has no labels, without the adapters and layer norms of the lowest 0, 1, ...
layers, and measures the training step by processor time and XLA's count of
operations. Prints the table and draws it; the figure needs the extra
'notebooks'.
"""

import dataclasses
import os
from typing import Any

from adapters_jax import errors
from adapters_jax.api import flags
from adapters_jax.api import launch
from adapters_jax.downloads import atomic
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import extras
from adapters_jax.runs import options
from adapters_jax.runs import records
from adapters_jax.sweeps import grid
from experiments import ablations


@dataclasses.dataclass(frozen=True)
class Output:
  """Files of this experiment."""
  out: str = options.option(
      '', 'JSON file of scores and costs; drop/TASK.json next to the runs when '
      'empty.')
  figure: str = options.option('', 'Figure to draw: .svg, .png or .pdf.')


def main(
    config: config_lib.Config, many: grid.Options, output: Output
) -> None:
  """Trains, scores and measures.

  Args:
    config: Settings; `adapter_drop` is that of the robust training.
    many: Seeds.
    output: Files.

  Raises:
    errors.UserError: several settings.
  """
  for name in ('grid', 'pick'):
    if getattr(many, name):
      raise errors.UserError(
          f'`{name}`: a line of scores is the mean over seeds of one setting; '
          'leave it out')
  if output.figure:
    extras.demand('notebooks', 'matplotlib', 'pandas')
  from adapters_jax.model import pretrained  # Imports JAX.
  from adapters_jax.analysis import dropped_layers
  layers = pretrained.config_of(config.checkpoint).layers
  drop = config.adapter_drop or f'0-{layers - 1}'
  found: dict[str, Any] = {}
  for name, text, folder in (
      ('trained as usual', '', 'usual'), (f'AdapterDrop {drop}', drop, 'drop')):
    # A single run fills the folder that `workdir` names.
    workdir = config.workdir and os.path.join(config.workdir, folder)
    outcome = launch.run_all(
        [dataclasses.replace(config, adapter_drop=text, workdir=workdir)],
        ablations.EXPERIMENT, many)
    if outcome.failures:
      raise SystemExit(1)
    first = outcome.records[0]
    split = 'test' if 'test' in first.metrics else 'dev'
    found = found or _about(config, first, split)
    found['scores'][name] = [
        dropped_layers.scores(*run, split) for run in outcome.runs()]
  found['costs'], found['batch'] = dropped_layers.costs(
      config, range(layers + 1))
  atomic.write_json(output.out or os.path.join(
      many.records or 'runs', 'drop', f'{config.task_name}.json'), found)
  for name, runs in found['scores'].items():
    print(name, *(f'{100 * sum(run[number] for run in runs) / len(runs):6.1f}'
                  for number in runs[0]))
  for field in ('flops', 'cpu_seconds'):
    print(f'{field:12}', *(f'{cost[field] / found["costs"]["0"][field]:6.2f}'
                           for cost in found['costs'].values()))
  if output.figure:
    from experiments.analysis import drops
    with atomic.replacing(output.figure) as file:
      drops.draw(found).savefig(
          file, format=os.path.splitext(output.figure)[1][1:] or None)


def _about(
    config: config_lib.Config, record: records.Record, split: str
) -> dict[str, Any]:
  """Returns the settings of the runs, and an empty entry for their scores.

  Args:
    config: Settings of a run.
    record: Its record.
    split: Split that is scored.
  """
  settings = {name: getattr(config, name) for name in (
      'checkpoint', 'train_examples', 'epochs', 'learning_rate', 'batch_size',
      'adapter_size')}
  return {'task': config.task_name, **settings, 'split': split,
          'metric': next(iter(record.metrics['dev'])),
          'computation': record.computation, 'machine': record.machine,
          'commit': record.commit, 'scores': {}}


if __name__ == '__main__':
  flags.start(config_lib.Config, main, grid.Options, Output,
              defaults={'train_examples': 1000})
